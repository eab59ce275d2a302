"""The rounds without services, against `memnas search`."""

from pathlib import Path

from benchmarks.search_methods.plain_rounds import search_plainly
from benchmarks.search_methods.product import add_rows, run_search
from benchmarks.search_methods.tally import Tally
from benchmarks.search_methods.trainer import Task
from memnas_core.config import load_settings

PARAMS = Path("benchmarks/search.digits.yaml")
SMALL = (
    "data.max_training_images=200",
    "network.filters=4",
    "training.epochs=2",
    "training.batch_size=32",
    "search.top_k=4",
    "search.max_training_images=900",
    "objective.accuracy_floor=0.1",
)


def test_trains_what_the_product_trains(tmp_path: Path) -> None:
    settings = load_settings(PARAMS, [*SMALL, "search.seed=3"])
    limit = settings.search.max_training_images
    assert limit is not None
    task = Task.prepare(settings, tmp_path)
    plain = Tally("digits", "memnas", 3, task.box)
    search_plainly(task, plain, limit, tmp_path / "plain")
    whole = Tally("digits", "memnas", 3, task.box)
    add_rows(run_search(PARAMS, SMALL, 3, limit, tmp_path / "store"), whole)

    def found(tally: Tally) -> set[tuple[str, float | None, int]]:
        return {(row.arch_id, row.accuracy, row.total_bytes) for row in tally.rows}

    assert len(plain.rows) > len(settings.search.seed_cells) + settings.search.top_k  # more than a round
    assert found(plain) == found(whole)
    assert plain.images == whole.images
    assert plain.rows[-1].hypervolume == whole.rows[-1].hypervolume
