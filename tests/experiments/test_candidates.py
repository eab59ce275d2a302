"""The table of trained candidates: a tiny real one, made, interrupted and read back."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.progress import Progress

from experiments.candidates import draw, read_table, train_candidates, write_table
from experiments.plan import Plan, load_plan
from memnas_core.errors import RecordError
from memnas_core.memory.figures import measure
from memnas_core.space.architecture_json import from_json
from memnas_core.space.layers import Shape, Workload
from memnas_core.workers.places import cpu_places
from memnas_core.workers.processes import Workers

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    settings = (ROOT / "params.yaml").read_text()
    (tmp_path / "small.yaml").write_text(settings)
    whole = load_plan(ROOT / "experiments.yaml")
    small = replace(whole.candidates, lineages=1, rounds=1, children=2, trainings=2)
    return replace(whole, settings="small.yaml", candidates=small)


def test_a_table_is_made_and_a_second_run_trains_nothing(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ("network.filters=2", "network.strides=[2, 1]", "training.epochs=1", "data.max_training_images=256")
    settings = plan.load_settings(*small)
    monkeypatch.setattr(Plan, "load_settings", lambda _plan: settings)
    with Workers(cpu_places(1)) as workers, Progress(disable=True) as progress:
        rows = train_candidates(plan, workers, progress)
        trainings = {path: path.stat().st_mtime_ns for path in Path("store/candidates").glob("*/training.json")}
        assert len(trainings) == 2 * len(rows)
        again = train_candidates(plan, workers, progress)
    assert again == rows
    assert trainings == {path: path.stat().st_mtime_ns for path in Path("store/candidates").glob("*/training.json")}
    assert [row.arch_id for row in rows] == [d.candidate.arch_id for d in draw(settings, plan.candidates)]
    for row in rows:
        assert len(set(row.accuracies)) <= 2
        assert all(accuracy is not None and 0 <= accuracy <= 1 for accuracy in row.accuracies)
        assert row.images_seen == (256, 256)
        figures = measure(from_json(row.architecture), Workload(Shape(1, 8, 8), 10, 4, 4))
        assert (row.memory.param_bytes, row.memory.minimum_bytes) == (figures.param_bytes, figures.minimum_bytes)
    write_table(Path("table.parquet"), rows)
    assert read_table(Path("table.parquet")) == rows


def test_a_missing_table_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="make it with dvc repro candidates"):
        read_table(tmp_path / "candidates.parquet")
