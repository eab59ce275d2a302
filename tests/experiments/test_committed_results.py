"""What is committed in `results/` comes from the raw results beside it: made again, it is the same."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments import ablations, figure3, figure4, figure5, headlines, resolved_settings, table1
from experiments.candidates import read_table
from experiments.page import main as make_page
from experiments.plan import load_plan
from experiments.search_results import SearchKey, ablation_keys, read_search, sweep_keys
from memnas_core.memory.figures import measure
from memnas_core.space.architecture_json import from_json
from memnas_core.space.layers import Shape, Workload

ROOT = Path(__file__).parents[2]
RAW = ("candidates.parquet", "controllers.parquet", "latency.json", "networks", "searches", "table1.csv", "table2.csv")
PLAN = load_plan(ROOT / "experiments.yaml")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the settings and the raw results, but nothing that a later stage makes of them."""
    folder = tmp_path_factory.mktemp("made-again")
    (folder / "results").mkdir()
    for path in (ROOT / "experiments.yaml", *ROOT.glob("params*.yaml")):
        shutil.copy(path, folder)
    for name in RAW:
        source, target = ROOT / "results" / name, folder / "results" / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    return folder


@pytest.mark.parametrize(
    ("main", "written"),
    [
        (figure3.main, ["figures/figure3-example.svg"]),
        (figure4.main, ["figure4.csv", "plots/figure4.csv"]),
        (figure5.main, ["figure5.csv", "plots/figure5.csv"]),
        (ablations.main, ["ablations.csv"]),
        (table1.main, ["table1.csv"]),
        (resolved_settings.main, ["settings.yaml"]),
    ],
    ids=["figure3", "figure4", "figure5", "ablations", "table1", "settings"],
)
def test_a_stage_makes_the_committed_files_again(
    main: Callable[[], None], written: list[str], copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copy)
    main()
    for name in written:
        assert (copy / "results" / name).read_text() == (ROOT / "results" / name).read_text(), name


def test_the_headline_figures_are_those_of_the_tables() -> None:
    committed = json.loads((ROOT / "results" / "metrics.json").read_text())
    assert committed == json.loads(json.dumps(headlines.headlines(ROOT / "results")))


@pytest.mark.parametrize("key", [*sweep_keys(PLAN)[::4], ablation_keys(PLAN)[-1]], ids=lambda key: key.folder_name)
def test_the_memory_of_a_search_is_that_of_its_architectures(key: SearchKey) -> None:
    search = read_search(key, ROOT / "results" / "searches")
    metrics = search.metrics
    shape = Shape(metrics.channels, metrics.image_size, metrics.image_size)
    chosen = next(row for row in search.candidates if row.arch_id == metrics.arch_id)
    for row in (chosen, *search.candidates[::6]):
        figures = measure(from_json(row.architecture), Workload(shape, metrics.classes, 4, 4))
        assert figures.peaks == row.memory.peaks
    assert search.architecture.arch_id == metrics.arch_id


def test_the_benchmark_has_at_least_600_candidates_trained_at_least_twice() -> None:
    rows = read_table(ROOT / "results" / "candidates.parquet")
    assert len({row.arch_id for row in rows}) == len(rows) >= 600
    assert all(len(row.accuracies) == PLAN.candidates.trainings >= 2 for row in rows)
    assert len({row.round for row in rows}) >= 4


def test_the_page_shows_every_table_and_figure(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("table3.csv", "table3_learning_curve.csv", "figure4.csv", "figure5.csv", "ablations.csv"):
        shutil.copy(ROOT / "results" / name, copy / "results" / name)
    shutil.copytree(ROOT / "results" / "figures", copy / "results" / "figures", dirs_exist_ok=True)
    monkeypatch.chdir(copy)
    make_page()
    assert (copy / "results" / "README.md").read_text() == (ROOT / "results" / "README.md").read_text()
    with (ROOT / "results" / "table1.csv").open(encoding="utf-8", newline="") as file:
        models = [line["model"] for line in csv.DictReader(file)]
    page = (copy / "results" / "index.html").read_text()
    assert [model for model in models if model not in page] == []
