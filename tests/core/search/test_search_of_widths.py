"""A short search on digits that widens and narrows blocks, as the core's plain loop plays it."""

from dataclasses import replace
from pathlib import Path

from memnas_core.data import open_dataset, prepare_dataset
from memnas_core.memory.figures import measure
from memnas_core.records.candidates import CandidateRow
from memnas_core.search.loop import Steps, run_rounds
from memnas_core.search.state import SearchState
from memnas_core.settings.file import load_settings
from memnas_core.space import operations as ops
from memnas_core.space.architecture_json import from_json
from memnas_core.space.moves import scaled_seed

SETTINGS = load_settings(
    Path(__file__).parents[3] / "params.yaml",
    [
        *("search.widths=true", "search.rounds=3", "search.top_k=8", "search.rungs=[1.0]", "search.keep=1.0"),
        *("network.filters=8", "network.strides=[1, 2]", "network.stem_stride=2", "data.max_training_images=300"),
        *("search.seed_cells=[[separable_3x3, average_pool_3x3]]", "search.seed_shares=[1.0, 0.3]"),
        *("search.choice=controller", "training.epochs=1", "training.device=cpu"),
    ],
)


def searched(folder: Path) -> tuple[SearchState, list[CandidateRow]]:
    settings = replace(SETTINGS, store=str(folder))
    dataset = prepare_dataset(settings.data, settings.search.seed, folder)
    search = SearchState(settings, dataset, open_dataset(dataset).info, folder / "trainings")
    assert "3 rounds done" in run_rounds(search, Steps())
    return search, search.rows


def test_a_search_widens_and_narrows_and_is_the_same_again(tmp_path: Path) -> None:
    search, rows = searched(tmp_path / "one")
    trained = [row for row in rows if row.measured_accuracy is not None]
    large, small = search.first.candidates
    assert large.architecture.widths == (16, 32)
    sizes = [memory.param_bytes + memory.activation_bytes("arena") for memory in search.first.memory]
    assert sizes[1] <= 0.3 * sizes[0]
    wider = scaled_seed((1, 2), small.architecture.widths[0] / 2 + 0.5, (ops.SEPARABLE_3X3, ops.AVERAGE_POOL_3X3), 2)
    more = measure(wider, search.workload)
    assert more.param_bytes + more.activation_bytes("arena") > 0.3 * sizes[0], "there is no larger one"
    assert {"widen", "narrow", "grow"} <= kinds(rows)
    assert {"widen", "grow"} <= kinds(trained)
    for row in trained:
        architecture = from_json(row.architecture)
        assert architecture.arch_id == row.arch_id
        assert measure(architecture, search.workload) == row.memory
    assert len({width for row in trained for width in from_json(row.architecture).widths}) > 2

    _, again = searched(tmp_path / "two")
    assert [figures(row) for row in again] == [figures(row) for row in rows]


def kinds(rows: list[CandidateRow]) -> set[str]:
    return {move.split()[0] for row in rows for move in row.move.split(" + ")}


def figures(row: CandidateRow) -> CandidateRow:
    """Return a row without what differs from run to run."""
    return replace(row, training_seconds=None, training_key=None)
