"""Stage `search`: one search of the sweep or of an ablation, through the flow that `memnas search` runs.

    python -m experiments.run_search --arm full --lambda 0.5 --seed 0

Its name in the store digests what decides its result: a stopped search is continued, a finished one is not repeated,
and one with other settings or older code is not mistaken for it. Its small files are copied to
`results/searches/FOLDER/` (`experiments.search_results`).
"""

import hashlib
import os
from pathlib import Path

import click

from experiments.code_version import code_version
from experiments.plan import Plan, load_plan
from experiments.search_results import SEARCHES, Arm, SearchKey, SearchMetrics, copy_result
from experiments.stage import run_stage
from flows.cli import ENVIRONMENT
from memnas_core.pictures.values import shown_bytes, shown_percent, shown_seconds


def search_name(key: SearchKey, plan: Plan) -> str:
    """Return the name of a search in the store."""
    deciding = f"{plan.load_settings(*key.overrides).result_digest()} {code_version('search')}"
    return f"{key.folder_name}-{hashlib.sha256(deciding.encode()).hexdigest()[:12]}"


def run_search(key: SearchKey, plan: Plan) -> SearchMetrics:
    """Run or continue a search unless it is finished, then copy its small files.

    Raises:
        MemnasError: As for the flow and `copy_result`.
    """
    # The import is here because Prefect reads the environment once, when it is imported.
    from flows.interrupt import ending_on_signals
    from flows.start import plan_search

    params, name = Path(plan.settings), search_name(key, plan)
    planned = plan_search(params, key.overrides, name, resume=True)
    if planned.is_finished:
        click.echo(f"{key.folder_name}: finished before, in {planned.folder.path}.")
    else:
        click.echo(f"{key.folder_name}: searching in {planned.folder.path}. Starting Prefect and the workers ...")
        with ending_on_signals("Stopped before the search began; nothing is lost."):
            from flows.changes import as_changes
            from flows.search import memnas_search

            memnas_search(str(params), name, True, as_changes(key.overrides))
    return copy_result(key, planned.folder, SEARCHES / key.folder_name)


@click.command()
@click.option("--arm", type=click.Choice([arm.value for arm in Arm]), required=True, help="The way to search.")
@click.option("--lambda", "accuracy_weight", type=click.FloatRange(0, 1), required=True, help="The paper's lambda.")
@click.option("--seed", type=click.IntRange(min=0), required=True, help="Decides all random choices.")
def main(arm: str, accuracy_weight: float, seed: int) -> None:
    """Run or continue one search of `experiments.yaml`, and write results/searches/FOLDER."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
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
