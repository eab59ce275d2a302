"""Stage `search`: one search of the sweep or of an ablation, through the flow that `memnas search` runs.

    python -m experiments.run_search --arm full --lambda 0.5 --seed 0

Its name in the store digests what decides its result: a stopped search is continued, a finished one is not repeated,
and one with other settings or older code is not mistaken for it. Its small files are copied to
`results/searches/FOLDER/` (`experiments.search_results`).
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import click

from experiments.code_version import code_version
from experiments.plan import Plan, load_plan
from experiments.search_results import SEARCHES, Arm, SearchKey, SearchMetrics, copy_result
from experiments.stage import run_stage
from flows.cli import ENVIRONMENT
from memnas_core.pictures.values import shown_bytes, shown_percent, shown_seconds
from memnas_core.results.folder import SearchFolder
from memnas_core.settings.file import load_settings
from memnas_core.settings.schema import Settings


def name_in_store(label: str, settings: Settings) -> str:
    """Return the name of a search in the store.

    Args:
        label: What the search is called elsewhere.
        settings: Its settings.
    """
    deciding = f"{settings.result_digest()} {code_version('search')}"
    return f"{label}-{hashlib.sha256(deciding.encode()).hexdigest()[:12]}"


def finished_search(label: str, params: Path, overrides: Sequence[str] = ()) -> SearchFolder:
    """Run or continue a search unless it is finished, and return its folder in the store.

    Args:
        label: What the search is called elsewhere.
        params: Settings file.
        overrides: `section.key=value` strings that replace single settings.

    Raises:
        MemnasError: As for the flow.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # The import is here because Prefect reads the environment once, when it is imported.
    from flows.interrupt import ending_on_signals
    from flows.prefect_errors import explained
    from flows.prefect_server import prefect_server
    from flows.start import plan_search

    name = name_in_store(label, load_settings(params, overrides))
    planned = plan_search(params, overrides, name, resume=True)
    if planned.is_finished:
        click.echo(f"{label}: finished before, in {planned.folder.path}.")
    else:
        click.echo(f"{label}: searching in {planned.folder.path}. Starting Prefect and the workers ...")
        stopped = "Stopped before the search began; nothing is lost."
        with ending_on_signals(stopped), explained(), prefect_server(Path(planned.settings.store)):
            from flows.changes import as_changes
            from flows.search import memnas_search

            memnas_search(str(params), name, True, as_changes(overrides))
    return planned.folder


def run_search(key: SearchKey, plan: Plan) -> SearchMetrics:
    """Run or continue a search of the sweep unless it is finished, then copy its small files.

    Raises:
        MemnasError: As for the flow and `copy_result`.
    """
    folder = finished_search(key.folder_name, Path(plan.settings), key.overrides)
    return copy_result(key, folder, SEARCHES / key.folder_name)


@click.command()
@click.option("--arm", type=click.Choice([arm.value for arm in Arm]), required=True, help="The way to search.")
@click.option("--lambda", "accuracy_weight", type=click.FloatRange(0, 1), required=True, help="The paper's lambda.")
@click.option("--seed", type=click.IntRange(min=0), required=True, help="Decides all random choices.")
def main(arm: str, accuracy_weight: float, seed: int) -> None:
    """Run or continue one search of `experiments.yaml`, and write results/searches/FOLDER."""
    key = SearchKey(Arm(arm), accuracy_weight, seed)
    found = run_search(key, load_plan())
    click.echo(
        f"{key.folder_name}: {found.arch_id} of round {found.chosen_round}, test accuracy "
        f"{shown_percent(found.test_accuracy)}, weights {shown_bytes(found.memory.param_bytes)}, peak activations "
        f"{shown_bytes(found.activation_bytes)} ({found.activation_convention}); "
        f"{found.images_seen_search:,} images in {found.trained} trainings, "
        f"{shown_seconds(found.search_seconds + found.final_seconds)}: {SEARCHES / key.folder_name}"
    )


if __name__ == "__main__":
    run_stage(main)
