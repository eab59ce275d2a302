"""A store with one finished search on digits, which trained nothing: its accuracies are made up."""

from dataclasses import replace
from pathlib import Path

from memnas_core.data import open_dataset, prepare_dataset
from memnas_core.results.folder import Chosen, SearchFolder
from memnas_core.settings.file import dump_settings
from tests.core.small_search import START, SmallSearch, small_settings


def write_store(folder: Path) -> None:
    """Write params.yaml, and a store with a search `digits`, into the current folder, which is `folder`."""
    settings = small_settings(Path("store"))
    (folder / "params.yaml").write_text(dump_settings(settings))
    data = prepare_dataset(settings.data, settings.search.seed, Path("store"), divisible_by=2)
    search_folder = SearchFolder(Path("store/searches/digits"))
    search_folder.begin(settings, replace(START, dataset=open_dataset(data).info))
    search = SmallSearch(settings, search_folder)
    search.write_round([0.5])
    seed = search.rows[0].arch_id
    search_folder.write_chosen(Chosen(seed, 0, 0.5, 0.25, None, START.started), search.job(seed, 0).path, {})
    search_folder.write_metrics({})
