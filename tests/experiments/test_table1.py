"""Table 1: intervals, contradictions, and a row from real trainings of a tiny plan."""

import csv
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from experiments.accuracy import intervals, pooled_deviation
from experiments.network_jobs import file_name, finished, make_job, read_result
from experiments.plan import RESULTS, NetworksPlan, Plan, load_plan
from experiments.search_results import read_search
from experiments.small_networks import resnet_small
from experiments.table1 import CIFAR, TABLE, table1_notes, table1_rows
from experiments.table_rows import contradictions, memory_of_network, read_printed
from experiments.train_networks import train_networks, training_settings
from memnas_core.data import DatasetInfo, open_dataset
from memnas_core.errors import RecordError
from memnas_core.settings.file import dump_settings
from memnas_core.settings.schema import TrainingSettings
from memnas_core.space.architecture import Architecture
from memnas_core.space.moves import seed_architecture
from memnas_core.workers.places import cpu_places
from memnas_core.workers.processes import Workers
from tests.core.small_search import small_settings
from tests.experiments.made_up_searches import full, make_search

ROOT = Path(__file__).parents[2]
FOUND = "MemNAS (λ = 0.5)"
REFERENCE = "CondenseNet-50"

Models = dict[str, Architecture | None]
Trained = tuple[Path, Plan, Models]


def test_the_interval_by_hand() -> None:
    # Squares: 2 · 0.01² + 0 over 2 degrees of freedom, so s = 0.01; t(0.975, 2) = 4.302653.
    # First: 4.302653 · sqrt(0.0001/2 + 0.81 · 0.19/10000) = 4.302653 · sqrt(0.00006539) = 0.034793
    accuracies = {"first": [0.80, 0.82], "second": [0.70, 0.70]}
    assert pooled_deviation(accuracies) == (pytest.approx(0.01), 2)
    first = intervals(accuracies, 10_000)["first"]
    assert (first.mean, first.low, first.high) == pytest.approx((0.81, 0.775207, 0.844793), abs=1e-6)
    # One training each: 1.959964 · sqrt(0.81 · 0.19/10000) = 0.007689
    alone = intervals({"first": [0.81], "failed": []}, 10_000)
    assert alone.keys() == {"first"}
    assert alone["first"].high - 0.81 == pytest.approx(0.007689, abs=1e-6)


def test_the_interval_covers_new_trainings_on_new_images() -> None:
    # Eight networks, two trainings each, seeds scatter by 0.01, 10,000 images: the true accuracy lies in 95 of 100.
    generator = np.random.default_rng(0)
    truth = {f"network {i}": 0.75 + 0.02 * i for i in range(8)}
    hits = []
    for _ in range(300):
        images = {m: generator.normal(0, np.sqrt(p * (1 - p) / 10_000)) for m, p in truth.items()}
        drawn = {m: list(p + images[m] + generator.normal(0, 0.01, 2)) for m, p in truth.items()}
        hits += [found.low <= truth[m] <= found.high for m, found in intervals(drawn, 10_000).items()]
    assert 0.93 < fmean(hits) < 0.98


def test_three_savings_contradict_their_own_tables() -> None:
    found = {
        cell.model: (cell.printed, cell.computed)
        for t in ("table1", "table2")
        for cell in contradictions(read_printed(t))
    }
    # 1 - 5.8/16.3, 1 - 5.8/8.1, 1 - 22.8/31.0
    assert found == {"MobileNet-V2": (60.7, 64.4), "CondenseNet-86": (21.0, 28.4), "DARTS": (38.7, 26.5)}


def test_resnet_56_needs_what_its_layers_say() -> None:
    # Its widest moment is an addition at 16x32x32: two inputs and one output of 65,536 bytes each.
    memory = memory_of_network(lambda: resnet_small(56, CIFAR.channels, 10), CIFAR)
    assert memory.sequential_bytes == memory.minimum_bytes == 3 * 16 * 32 * 32 * 4
    assert memory.minimum_exact


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A search's network and a reference network, each trained twice on a few digits by the stage itself."""
    folder = tmp_path_factory.mktemp("networks")
    make_search(folder, full(0.5), [[0.5]])
    settings = small_settings(folder / "store")
    settings = replace(
        settings,
        data=replace(settings.data, max_training_images=128),
        network=replace(settings.network, strides=(1, 2)),
    )
    (folder / "params.yaml").write_text(dump_settings(settings), encoding="utf-8")
    plan = replace(
        load_plan(ROOT / "experiments.yaml"), settings=str(folder / "params.yaml"), networks=NetworksPlan(1, (0, 1))
    )
    models: Models = {REFERENCE: None, FOUND: found_in(folder)}
    run_stage(models, plan, folder)
    return folder, plan, models


def found_in(folder: Path) -> Architecture:
    return read_search(full(0.5), folder / RESULTS / "searches").architecture


def run_stage(models: Models, plan: Plan, folder: Path) -> None:
    with Workers(cpu_places(1)) as workers, Progress(console=Console(quiet=True)) as progress:
        train_networks(models, plan, workers, progress, folder / RESULTS / "networks")


def test_rows_come_from_the_trainings(trained: Trained) -> None:
    folder, plan, models = trained
    rows = {row.model: row for row in table1_rows(plan, folder / RESULTS)}
    for model in models:
        result = read_result(folder / RESULTS / "networks", model)
        assert [training.seed for training in result.trainings] == [0, 1]
        assert len({training.test_correct for training in result.trainings}) == 2
        shares = [training.test_correct / result.data.test_size for training in result.trainings]
        assert rows[model].accuracy == pytest.approx(fmean(shares), abs=1e-5)
        assert rows[model].accuracy_low < rows[model].accuracy < rows[model].accuracy_high
        assert rows[model].images_seen == 128
    assert rows[FOUND].param_bytes > 0
    assert rows["ResNet-56"].accuracy is None
    assert rows["DPPNet-P"].sequential_bytes is None
    notes = " ".join(table1_notes(plan, folder / RESULTS))
    assert "cannot be reproduced" in notes
    assert "128 images (1 pass over 128)" in notes
    assert "64.4 %" in notes


def test_nothing_is_trained_twice(trained: Trained) -> None:
    folder, plan, models = trained
    files = sorted((folder / "store" / "networks").glob("*.json"))
    assert len(files) == 4
    before = [(file.name, file.stat().st_mtime_ns) for file in files]
    result = folder / RESULTS / "networks" / file_name(REFERENCE)
    text = result.read_text(encoding="utf-8")
    result.unlink()
    run_stage(models, plan, folder)
    assert [(file.name, file.stat().st_mtime_ns) for file in files] == before
    assert result.read_text(encoding="utf-8") == text


def test_the_key_holds_what_decides_a_training(trained: Trained) -> None:
    folder, plan, _ = trained
    dataset = next((folder / "store" / "data").glob("digits-*/"))
    info = open_dataset(dataset).info
    settings = training_settings(plan)

    def path(
        model: str = REFERENCE,
        architecture: Architecture | None = None,
        info: DatasetInfo = info,
        settings: TrainingSettings = settings,
        seed: int = 0,
    ) -> Path:
        return make_job(model, architecture, dataset, info, settings, seed, folder / "store" / "networks").path

    same = path()
    assert same == path()
    assert same.exists()
    others = [
        path(seed=1),
        path(settings=replace(settings, epochs=2)),
        path(model="CondenseNet-86"),
        path(architecture=seed_architecture((1, 2), 4)),
        path(info=replace(info, digest="0" * 64)),
    ]
    assert len({same, *others}) == 6


def test_a_damaged_training_is_trained_again(trained: Trained) -> None:
    folder, plan, _ = trained
    dataset = next((folder / "store" / "data").glob("digits-*/"))
    job = make_job(
        REFERENCE, None, dataset, open_dataset(dataset).info, training_settings(plan), 0, folder / "elsewhere"
    )
    job.path.parent.mkdir()
    job.path.write_text('{"seed": 0}', encoding="utf-8")
    assert finished(job) is None


def test_trainings_of_another_network_are_refused(trained: Trained) -> None:
    folder, plan, _ = trained
    path = folder / RESULTS / "networks" / file_name(FOUND)
    text = path.read_text(encoding="utf-8")
    arch_id = read_result(path.parent, FOUND).arch_id
    try:
        path.write_text(text.replace(arch_id, "0" * 16), encoding="utf-8")
        with pytest.raises(RecordError, match=f"expected trainings of {arch_id}"):
            table1_rows(plan, folder / RESULTS)
    finally:
        path.write_text(text, encoding="utf-8")


def test_the_committed_table_comes_from_the_committed_results() -> None:
    with (ROOT / TABLE).open(encoding="utf-8", newline="") as file:
        committed = list(csv.DictReader(file))
    made = table1_rows(load_plan(ROOT / "experiments.yaml"), ROOT / RESULTS)
    assert [row["model"] for row in committed] == [row.model for row in made]
    for line, row in zip(committed, made, strict=True):
        assert line == {name: "" if getattr(row, name) is None else str(getattr(row, name)) for name in line}
