"""Finished searches for tests. Their accuracies are made up; networks, bytes and files are real."""

import json
from collections.abc import Sequence
from pathlib import Path

from experiments.search_results import SEARCHES, Arm, SearchKey, copy_result
from memnas_core.results.folder import Chosen, SearchFolder
from memnas_core.results.network_files import network_files
from memnas_core.search.choice import best_row, front_of
from memnas_core.settings.file import parse_settings
from memnas_core.space.architecture_json import from_json
from tests.core.small_search import START, WORKLOAD, SmallSearch, small_settings


def make_search(folder: Path, key: SearchKey, accuracies: Sequence[Sequence[float | None]]) -> SearchFolder:
    """Run a search to its end in `folder/store`, with the accuracies of each round, and copy its result.

    The result goes to `folder/results/searches`. The final weights are 0.1 better on the validation images than the
    search measured, and 0.05 better on the test images.
    """
    settings = small_settings(folder / "store")
    document = settings.as_dict()
    for override in key.overrides:
        dotted, _, text = override.partition("=")
        section, name = dotted.split(".")
        document[section][name] = type(document[section][name])(text)  # type: ignore[index]
    settings = parse_settings(json.loads(json.dumps(document)), "made_up_searches.py")
    search = SmallSearch(settings, SearchFolder(folder / "store" / "searches" / key.folder_name))
    search.folder.begin(settings, START)
    for round_accuracies in accuracies:
        search.write_round(round_accuracies)
    row = best_row(search.rows, settings.objective)
    assert row.measured_accuracy is not None
    search.folder.write_front(front_of(search.rows, settings.objective))
    chosen = Chosen(row.arch_id, row.round, row.measured_accuracy + 0.1, row.measured_accuracy + 0.05, 2, START.started)
    texts = network_files(from_json(row.architecture), WORKLOAD, settings.objective)
    search.folder.write_chosen(chosen, search.job(row.arch_id, row.round).path, texts)
    search.folder.write_metrics({})
    copy_result(key, search.folder, folder / SEARCHES / key.folder_name)
    return search.folder


def full(weight: float, seed: int = 0) -> SearchKey:
    return SearchKey(Arm.FULL, weight, seed)
