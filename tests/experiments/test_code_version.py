"""That the digests of results know the code that decides them, and no other."""

import pytest

from experiments.code_version import ENTRIES, code_version
from memnas_core.code_digest import reached

DECIDES = {
    "candidates": {("memnas_core.training.loop", "train"), ("memnas_core.space.lineages", "draw_lineages")},
    "search": {
        ("memnas_core.training.loop", "train"),
        ("memnas_core.training.inherit", "inherit"),
        ("memnas_core.search.score_aim", "rank_by_score"),
        ("memnas_core.search.front_aim", "rank_for_front"),
        ("memnas_core.memory.block_arena", "block_arena"),
        ("memnas_core.controller.forest", "ForestModel"),
        ("memnas_core.controller.scc", "PaperModel"),
        ("memnas_core.search.halving", "going_on"),
        ("memnas_core.search.choice", "best_row"),
    },
    "controllers": {("memnas_core.controller.scc", "PaperModel"), ("experiments.controllers.judge", "tau_within")},
    "networks": {("memnas_core.training.loop", "train"), ("experiments.networks", "SMALL")},
}
"""For each result some definitions, in several files, that plainly decide it."""

WITHOUT_INFLUENCE = ("memnas_core.pictures", "memnas_core.results.page", "tasks.display", "tasks.tracking", "flows")


@pytest.mark.parametrize("result", ENTRIES)
def test_code_that_decides_a_result_is_in_its_version(result: str) -> None:
    found = reached(*ENTRIES[result])
    assert DECIDES[result] <= found
    assert [module for module, _ in found if module.startswith(WITHOUT_INFLUENCE)] == []


def test_each_result_has_a_version_of_its_own() -> None:
    assert len({code_version(result) for result in ENTRIES}) == len(ENTRIES)
