"""Figures 3 to 5 and the ablations from the results of searches: tables, sentences and pictures."""

import csv
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from scipy.stats import kendalltau

from experiments import ablations, figure3, figure4, figure5
from experiments.ablations import AblationPoint, hypervolume
from experiments.figure5 import ChosenPoint, Trend
from experiments.search_results import SEARCHES, Arm, SearchKey, read_search
from experiments.tidy import paper_quantities, read_paper
from memnas_core.errors import RecordError
from memnas_core.memory.figures import MemoryFigures, PeakFigures
from tests.core.objective.plain_objective import OBJECTIVE as UNLIMITED
from tests.experiments.made_up_searches import full, make_search

ROOT = Path(__file__).parents[2]
PLAN = """
settings: settings.yaml
sweep: {lambdas: [0.5, 1.0], seeds: [0, 1]}
ablations: {lambdas: [1.0], seeds: [0, 1]}
"""
OBJECTIVE = replace(UNLIMITED, accuracy_weight=1.0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Searches of two lambdas and two seeds, and of the other arms; in the last of them one training fails."""
    folder = tmp_path_factory.mktemp("sweep")
    for seed in (0, 1):
        make_search(folder, full(0.5, seed), [[0.5], [0.52, 0.51], [0.55 + 0.01 * seed, 0.5]])
        make_search(folder, full(1.0, seed), [[0.5], [0.6, 0.55], [0.7 - 0.02 * seed, 0.5]])
        make_search(folder, SearchKey(Arm.GROW_ONLY, 1.0, seed), [[0.5], [0.6, 0.5], [0.65, 0.6]])
        last = [0.8, None] if seed else [0.6, 0.6]
        make_search(folder, SearchKey(Arm.RANDOM_CHOICE, 1.0, seed), [[0.5], [0.55, 0.5], last])
    plan = yaml.safe_load((ROOT / "experiments.yaml").read_text()) | yaml.safe_load(PLAN)
    (folder / "experiments.yaml").write_text(yaml.safe_dump(plan))
    settings = next((folder / "store" / "searches").glob("*/settings.yaml"))
    (folder / "settings.yaml").write_text(settings.read_text())
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def lines(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def words(path: Path) -> str:
    return " ".join(text.strip() for text in ElementTree.parse(path).getroot().itertext() if text.strip())


# -- Figure 3 -------------------------------------------------------------------------------------------------


def test_figure_3(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert figure3.example().profile == (1, 3, 2, 4, 2)
    figure3.main()
    said = capsys.readouterr().out
    assert "1 at T=1, 3 at T=2 and 4 at most: as the paper states" in said
    metrics = read_search(full(0.5)).metrics
    assert f"peak {metrics.memory.minimum_bytes:,} bytes" in words(here / figure3.FOUND)
    assert "peak 4 bytes" in words(here / figure3.EXAMPLE)


# -- Figure 4 -------------------------------------------------------------------------------------------------


def test_figure_4_says_what_the_rounds_handed_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure4.main()
    said = capsys.readouterr().out
    rows = lines(here / figure4.TABLE)
    assert len(rows) == 2 * 2 * 3
    for weight, seed in product((0.5, 1.0), (0, 1)):
        own = [row for row in rows if (float(row["lambda"]), int(row["seed"])) == (weight, seed)]
        theirs = lines(here / SEARCHES / full(weight, seed).folder_name / "rounds.csv")
        for row, source in zip(own, theirs, strict=True):
            assert row["arch_id"] == source["winner_id"]
            for name in ("round", "accuracy", "param_bytes", "activation_bytes"):
                assert row[name] == source[name]
        assert [int(row["images_seen"]) for row in own] == [100, 300, 500]
    last = {w: [r for r in rows if float(r["lambda"]) == w and r["round"] == "2"] for w in (0.5, 1.0)}
    less = 1 - sum(int(r["param_bytes"]) for r in last[0.5]) / sum(int(r["param_bytes"]) for r in last[1.0])
    assert f"need {100 * abs(less):.1f} % {'less' if less >= 0 else 'more'} for weights" in said
    assert "The paper states 96.7 % and 28.2 % less at the same accuracy of 94.02 %" in said
    means = lines(here / figure4.PLOT_TABLE)
    assert [row["round"] for row in means] == ["0", "1", "2"]
    assert float(means[2]["accuracy_lambda_1.0"]) == pytest.approx(0.69)
    assert "mean of 2 seeds" in words(here / figure4.PICTURE)


# -- Figure 5 -------------------------------------------------------------------------------------------------


def test_figure_5_says_what_the_searches_chose(here: Path) -> None:
    figure5.main()
    rows = lines(here / figure5.TABLE)
    assert len(rows) == 4
    for row in rows:
        metrics = read_search(full(float(row["lambda"]), int(row["seed"]))).metrics
        assert float(row["error"]) == pytest.approx(1 - metrics.test_accuracy)
        assert int(row["total_bytes"]) == metrics.memory.param_bytes + metrics.memory.minimum_bytes
        assert row["arch_id"] == metrics.arch_id
    ends = lines(here / figure5.PLOT_TABLE)
    assert [row["lambda"] for row in ends] == ["0.5", "1.0"]
    errors = [float(row["error"]) for row in rows if row["lambda"] == "1.0"]
    assert [float(ends[1][f"error_{name}"]) for name in ("low", "high")] == [min(errors), max(errors)]
    # The paper's figures are for another data set and are not on the axes.
    assert "9.5" not in words(here / figure5.PICTURE)


def chosen(weight: float, seed: int, accuracy: float, size: int) -> ChosenPoint:
    return ChosenPoint(
        weight, seed, "x", 1, 1 - accuracy, accuracy, 0.5, 0.5, PeakFigures(size, 0, 0, 0), size, 3, 10, 10
    )


def test_the_sentences_of_figure_5_say_when_it_rises_and_when_not() -> None:
    """Memory rises at every step; accuracy rises over all, but not from 0.5 to 1, and within the spread."""
    points = [
        *(chosen(0.0, seed, 0.60 + 0.1 * seed, 1000 + seed) for seed in (0, 1)),
        *(chosen(0.5, seed, 0.80, 2000) for seed in (0, 1)),
        *(chosen(1.0, seed, 0.68 + 0.04 * seed, 3000) for seed in (0, 1)),
    ]
    points[-1] = replace(points[-1], arch_id="y")
    memory, accuracy, why, paper = figure5.notes(points, "minimum")
    assert "rises with λ from each value to the next: 1.0 kB at 0, 2.0 kB at 0.5, 3.0 kB at 1" in memory
    assert "n = 6" in memory
    assert "beyond the spread" in memory
    assert "rises from λ = 0 to 1, but not from 0.5 to 1: 65.00 % at 0, 80.00 % at 0.5, 70.00 % at 1" in accuracy
    assert "within the spread" in accuracy
    assert "from λ = 0.5 to 1: 1 of 2 seeds choose the same network" in why
    assert "9.5 % at λ = 0 down to 4 % at λ = 1" in paper
    falling = [replace(point, total_bytes=5000 - point.total_bytes) for point in points]
    said = figure5.notes(falling, "minimum")
    assert "does not rise from λ = 0 to 1: 4.0 kB" in said[0]
    # At λ = 0.5 Eq. 4 has 0.5 for accuracy and 0.5 for each memory term: 2 x 10 % of memory are worth 20 % of accuracy.
    assert "λ = 0.5 a tenth less of both is worth as much as 20 % of the accuracy" in said[2]


def test_trend_against_scipy() -> None:
    rng = random.Random(0)
    for _ in range(50):
        weights = (0.0, 0.2, 0.5, 0.8, 1.0)
        groups = tuple(tuple(rng.randint(1, 6) + 3 * w for _ in range(3)) for w in weights)
        found = Trend(weights, groups)
        flat = [(w, value) for w, group in zip(weights, groups, strict=True) for value in group]
        assert found.tau == pytest.approx(kendalltau(*np.array(flat).T).statistic)
        rising = [b > a for a, b in zip(found.means, found.means[1:], strict=False)]
        assert len(found.falls) == rising.count(False)
    assert Trend((0.0, 1.0), ((1.0, 1.0), (1.0, 1.0))).tau == 0


# -- ablations ------------------------------------------------------------------------------------------------


def test_the_ablations_compare_arms_after_equal_budgets(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ablations.main()
    trimming, controller, budget = capsys.readouterr().out.splitlines()
    # λ = 1: the score is the relative gain in accuracy over 0.5
    assert "trimming helps with every seed: the score is 0.380 with and 0.300 without" in trimming
    assert "a difference of +0.080 (seeds +0.060 to +0.100, n = 2)" in trimming
    assert "the controller helps with some seeds and not with others" in controller
    assert "(seeds -0.240 to +0.200, n = 2)" in controller
    assert budget == "At λ = 1 all searches had then seen 500 training images each."
    rows = lines(here / ablations.TABLE)
    assert len(rows) == 3 * 2 * 3
    assert {row["arm"] for row in rows} == {"full", "grow-only", "random-choice"}
    assert {row["images_seen"] for row in rows if row["round"] == "2"} == {"500"}
    failed = next(r for r in rows if (r["arm"], r["seed"], r["round"]) == ("random-choice", "1", "2"))
    assert failed["trained"] == "4"
    grown = read_search(SearchKey(Arm.GROW_ONLY, 1.0, 0))
    assert all(row.move.startswith("grow ") for row in grown.candidates[1:])


def test_a_search_that_ended_early_sets_the_budget() -> None:
    def point(arm: Arm, number: int, score: float, images: int) -> AblationPoint:
        return AblationPoint(arm, 0.5, 0, number, 1, images, "x", 0.5, 1, 1, score, score / 2)

    points = [
        *(point(Arm.FULL, number, 0.1 * number, 100 * number) for number in range(4)),
        *(point(Arm.GROW_ONLY, number, 0.05 * number, 90 * number) for number in range(3)),
        *(point(Arm.RANDOM_CHOICE, number, 0.1 * number, 100 * number) for number in range(4)),
    ]
    trimming, controller, budget = ablations.notes(points)
    assert "after round 2, trimming helps with every seed: the score is 0.200 with and 0.100 without" in trimming
    assert "the controller makes no clear difference" in controller
    assert budget.startswith("At λ = 0.5 all searches had then seen 180 to 200 images. Some went on after round 2")


def test_hypervolume_by_hand_and_by_brute_force(place: Path) -> None:
    rows = read_search(full(1.0), place / SEARCHES).candidates
    first = replace(rows[0], memory=MemoryFigures(600, 0, 0, 400), measured_accuracy=0.5)
    # one network of 1000 bytes: guessing below it, 0.5 above; both halves are equally wide
    assert hypervolume([first], OBJECTIVE, 0.1) == pytest.approx(0.3)
    rng = random.Random(0)
    for _ in range(20):
        some = [first]
        for _ in range(rng.randint(0, 8)):
            size, accuracy = int(1000 * 2 ** rng.uniform(-4, 4)), rng.choice([None, rng.uniform(0, 0.9)])
            some.append(replace(first, memory=MemoryFigures(size - 1, 0, 0, 1), measured_accuracy=accuracy))
        budgets = [1000 * math.exp(math.log(8) * (2 * (i + 0.5) / 4000 - 1)) for i in range(4000)]
        sizes = [
            (r.memory.param_bytes + r.memory.minimum_bytes, r.measured_accuracy) for r in some if r.measured_accuracy
        ]
        best = [max([0.1, *(accuracy for size, accuracy in sizes if size <= budget)]) for budget in budgets]
        assert hypervolume(some, OBJECTIVE, 0.1) == pytest.approx(sum(best) / 4000, abs=1e-3)


# -- all of them ----------------------------------------------------------------------------------------------


def pictures() -> Iterator[Path]:
    for module in (figure3, figure4, figure5, ablations):
        module.main()
    yield from (figure3.EXAMPLE, figure3.FOUND, figure4.PICTURE, figure5.PICTURE, ablations.PICTURE)


def test_pictures_are_the_same_every_time_and_carry_no_date(here: Path) -> None:
    first = {path: (here / path).read_bytes() for path in pictures()}
    again = {path: (here / path).read_bytes() for path in pictures()}
    assert first == again
    for content in first.values():
        assert b"<dc:date>" not in content
        assert b'role="img"' in content


def test_the_papers_figures_are_what_its_text_says() -> None:
    """Against `shared/paper`'s words, typed here a second time."""
    assert list(paper_quantities("figure4").values()) == [94.02, 96.7, 28.2]
    assert list(paper_quantities("figure3").values()) == [1, 3, 4]
    low, high = read_paper("figure5")
    assert [low["error_percent"], low["memory_mb"], low["memory_is"]] == ["9.5", "0.5", "exactly"]
    assert [high["error_percent"], high["memory_mb"], high["memory_is"]] == ["4", "2.5", "over"]
    with pytest.raises(RecordError, match="expected figures of the paper"):
        read_paper("figure9")
