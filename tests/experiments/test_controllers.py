"""The controller study: its protocol, its figures against scipy and by hand, its learners, and a row made again."""

import csv
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress
from scipy.stats import kendalltau

from experiments.candidates import write_table
from experiments.controllers import judge
from experiments.controllers.features import FlatEncoding, structural_features
from experiments.controllers.figures import curve_svg, table_svg
from experiments.controllers.judge import Judged, bootstrap_at_k, bootstrap_tau, tau_within
from experiments.controllers.learners import CONTESTANTS, DEFAULT, LEARNERS
from experiments.controllers.notes import notes
from experiments.controllers.protocol import Benchmark, benchmark_of, check_cutoffs, load_benchmark, splits
from experiments.controllers.study import ControllerRun, read_runs, run_study, write_runs
from experiments.controllers.table import Runs, curve_rows, leads, read_table3, rounded, rows_of, table_rows
from experiments.tidy import read_paper, write_rows
from memnas_core.controller.rank_metrics import average_precision, kendall_tau, ndcg
from memnas_core.errors import RecordError
from memnas_core.settings.schema import ControllerSettings
from tests.experiments.made_up_candidates import good_layers, made_up_rows

RESULTS = Path("results")
SETTINGS = ControllerSettings("improved", "accuracy", embedding_size=16, hidden_size=16, epochs=20, learning_rate=0.01)


class Here:
    """Workers' stand-in that runs a fitting in this process: nothing is to be learned from spawning."""

    count = 1

    @staticmethod
    def run(function: Callable[..., None], *arguments: object) -> None:
        function(*arguments)


@pytest.fixture(scope="module")
def benchmark() -> Benchmark:
    return benchmark_of(made_up_rows(), "minimum", "made up")


def study(folder: Path, *learners: str) -> tuple[ControllerRun, ...]:
    """Run the study of two seeds on a table in a folder."""
    contestants = [contestant for contestant in CONTESTANTS if contestant.learner in learners]
    table = folder / "candidates.parquet"
    if not table.exists():
        write_table(table, made_up_rows())
    with Progress(disable=True) as progress:
        return run_study(table, SETTINGS, "minimum", folder, Here(), progress, contestants, seeds=(0, 1))


def test_who_learns_and_who_is_ranked(benchmark: Benchmark) -> None:
    n = len(benchmark.known)
    found = [*splits(benchmark, (0, 1))]
    assert [(split.name, split.seed, split.last_round) for split in found] == [
        ("random", 0, 0),
        ("rounds", 0, 1),
        ("random", 1, 0),
        ("rounds", 1, 1),
    ]
    for split in found:
        assert not set(split.train) & set(split.test)
        if split.name == "random":
            assert len(split.test) == n // 3
            assert len(split.train) + len(split.test) == n
        else:
            assert set(split.train) == set(np.flatnonzero(benchmark.rounds <= 1))
            assert split.test.tolist() == np.flatnonzero(benchmark.rounds == 2).tolist()
    assert found[0].test.tolist() != found[2].test.tolist()


def test_what_is_ranked_by_hand() -> None:
    rows = list(made_up_rows())
    rows[0] = replace(
        rows[0], accuracies=(0.8, 0.75), memory=replace(rows[0].memory, param_bytes=1000, minimum_bytes=500)
    )
    rows[-1] = replace(
        rows[-1], accuracies=(0.88, 0.9), memory=replace(rows[-1].memory, param_bytes=1200, minimum_bytes=450)
    )
    rows[-2] = replace(rows[-2], accuracies=(None, 0.9))  # it failed, and is no candidate
    benchmark = benchmark_of(rows, "minimum", "made up")
    assert len(benchmark.known) == len(rows) - 2
    index = np.array([benchmark.arch_ids.index(rows[-1].arch_id)])
    # lambda * gain - (1 - lambda) * (peaks 450/500 - 1 + weights 1200/1000 - 1), each relative to its own training
    assert benchmark.first_y(index, 0.5) == pytest.approx([0.5 * 0.08 / 0.8 - 0.5 * (-0.1 + 0.2)])
    assert benchmark.second_y(index, 0.5) == pytest.approx([0.5 * 0.15 / 0.75 - 0.5 * (-0.1 + 0.2)])
    assert benchmark.second_y(index, 1.0) == pytest.approx([0.15 / 0.75])
    with pytest.raises(RecordError, match="expected the seed network"):
        benchmark_of(rows[1:], "minimum", "made up")


def test_tau_within_groups() -> None:
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 6, 40).astype(float), rng.random(40)
    one_group = np.zeros(40, dtype=np.int64)
    assert tau_within(true, predicted, one_group) == pytest.approx(kendalltau(true, predicted).statistic)
    # Two pairs within a group: one in order, one reversed. The pairs between groups would all be reversed.
    assert tau_within(np.array([1.0, 2, 3, 4]), np.array([5.0, 6, 2, 1]), np.array([0, 0, 1, 1])) == 0
    assert tau_within(np.array([1.0, 2, 3, 4]), np.array([5.0, 6, 1, 2]), np.array([0, 0, 1, 1])) == 1


def test_replicates_are_the_figures_of_resampled_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "REPLICATES", 20)
    judge._drawn.cache_clear()
    judge._times_drawn.cache_clear()
    rng = np.random.default_rng(1)
    true = rng.integers(0, 30, 60).astype(float)  # with ties
    judged = Judged(true, np.argsort(np.argsort(-true + rng.normal(0, 5, 60))) + 1.0)
    drawn = judge._drawn(60, 0)
    (value, taus) = bootstrap_tau([[judged]])
    _, ((ap, aps), (gain, gains)) = bootstrap_at_k([[judged]], [10, 20])
    samples = [(true[row], -judged.ranks[row]) for row in drawn]
    np.testing.assert_allclose(taus, [kendalltau(*sample).statistic for sample in samples])
    np.testing.assert_allclose(aps, [average_precision(*sample, 20) for sample in samples])
    np.testing.assert_allclose(gains, [ndcg(*sample, 20) for sample in samples])
    assert value == pytest.approx(kendalltau(true, -judged.ranks).statistic)
    assert (ap, gain) == (average_precision(true, -judged.ranks, 20), ndcg(true, -judged.ranks, 20))
    judge._drawn.cache_clear()
    judge._times_drawn.cache_clear()


def test_the_interval_covers_the_tau_of_all_candidates() -> None:
    """Of 40 samples from a large population about 38 intervals hold its tau."""
    rng = np.random.default_rng(2)
    true = rng.normal(size=3000)
    predicted = true + rng.normal(size=3000)
    population = kendall_tau(true, predicted)
    held = 0
    for _ in range(40):
        sample = rng.choice(3000, 80, replace=False)
        found = judge.interval(*bootstrap_tau([[Judged(true[sample], (-predicted[sample]).argsort().argsort() + 1.0)]]))
        held += found.low <= population <= found.high
    assert 33 <= held <= 40


def test_flat_encoding_and_structural_features(benchmark: Benchmark) -> None:
    early = [known for known, number in zip(benchmark.known, benchmark.rounds, strict=True) if number <= 1]
    encode = FlatEncoding(early)
    rows = encode(benchmark.known)
    assert len(rows) == len(structural_features(benchmark.known)) == len(benchmark.known)
    # A wider set of candidates does not change a row.
    np.testing.assert_array_equal(encode(early), rows[benchmark.rounds <= 1])
    assert set(np.unique(rows)) == {0.0, 1.0}
    distinct = {row.tobytes() for row in encode(early)}
    assert len(distinct) == len(early)


@pytest.mark.parametrize("learner", [name for name in LEARNERS if name != "random"])
def test_learners_learn(benchmark: Benchmark, learner: str) -> None:
    split = next(splits(benchmark, [0]))
    train, test = ([benchmark.known[index] for index in indices] for indices in (split.train, split.test))
    predicted = LEARNERS[learner](SETTINGS, train, benchmark.first[split.train], 0)(test)
    true = [good_layers(known.architecture) for known in test]
    assert kendall_tau(true, predicted) > 0.3


def test_a_study_is_not_done_twice_and_its_rows_hold_what_was_found(tmp_path: Path) -> None:
    runs = study(tmp_path, "random", "parameters")
    finished = [*(tmp_path / "controllers").iterdir()]
    assert len(finished) == len({path.name for path in finished}) > 0
    for path in finished:
        os.utime(path, (0, 0))
    assert study(tmp_path, "random", "parameters") == runs
    assert all(path.stat().st_mtime == 0 for path in finished)  # nothing was fitted again

    write_runs(tmp_path / "runs.parquet", runs)
    assert read_runs(tmp_path / "runs.parquet") == runs
    benchmark = load_benchmark("minimum", tmp_path / "candidates.parquet")
    of_splits = {(split.name, split.seed, split.last_round): split for split in splits(benchmark, (0, 1))}
    for run in runs:
        test = of_splits[run.split, run.seed, run.last_round].test
        true, first = (y(test, run.accuracy_weight) for y in (benchmark.second_y, benchmark.first_y))
        assert run.tau == pytest.approx(kendall_tau(true, -np.array(run.predicted_ranks)))
        assert run.ceiling == pytest.approx(kendall_tau(true, first))
    exact = [run for run in runs if run.controller.endswith("exact memory") and run.accuracy_weight == 0.5]
    assert np.mean([run.tau for run in exact]) > 0.9  # memory decides nearly all of Eq. 4 there
    by_chance = [run for run in runs if run.controller == "random order"]
    assert abs(np.mean([run.tau for run in by_chance])) < 0.2


def test_tables_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("table", "study"):
        monkeypatch.setattr(f"experiments.controllers.{module}.CUTOFFS", (5, 10))
    monkeypatch.setattr(judge, "REPLICATES", 50)
    judge._drawn.cache_clear()
    judge._times_drawn.cache_clear()
    learners = ("random", "parameters", "single-rnn", "scc-paper", "default")
    runs = Runs(benchmark_of(made_up_rows(), "minimum", "made up"), study(tmp_path, *learners))
    rows, curve = [*table_rows(runs)], [*curve_rows(runs)]
    assert {row.controller for row in rows} == {one.name for one in CONTESTANTS if one.learner in learners}
    sets = [
        {(row.split, row.accuracy_weight, row.k) for row in rows if row.controller == name} for name in runs.controllers
    ]
    assert all(found == sets[0] for found in sets)
    assert len(sets[0]) == 2 * 2 * 2
    for row in rows:
        assert row.tau_low <= row.tau <= row.tau_high
        assert 0 <= row.ap_low <= row.ap_high <= 1
    ahead = [*leads(runs, "parameters alone", ["random order"])]
    assert [lead.tau.value > 0 for lead in ahead] == [True] * 4
    write_rows(tmp_path / "table3.csv", [rounded(row) for row in rows])
    assert read_table3(tmp_path / "table3.csv") == [rounded(row) for row in rows]
    said = notes(rows, runs)
    (tau,) = {row.tau for row in rows if (row.split, row.accuracy_weight, row.controller) == ("rounds", 1.0, DEFAULT)}
    assert any(f"λ = 1, the next round: {DEFAULT} reaches tau {tau:.3f}" in note for note in said)
    assert (
        sum(note.startswith("The paper's own controller, SCC (paper: metric), against Single-RNN") for note in said)
        == 1
    )
    assert sum("A random order of the" in note for note in said) == 2
    for text in (table_svg(rows), curve_svg(curve)):
        assert text.startswith("<svg")
        assert "parameters alone" in text
    judge._drawn.cache_clear()
    judge._times_drawn.cache_clear()


def test_what_the_paper_printed() -> None:
    printed = {(line["controller"], line["k"]): (line["ap"], line["ndcg"]) for line in read_paper("table3")}
    assert printed["SCC", "50"] == ("0.196", "0.135")
    assert len(printed) == 6


@pytest.mark.parametrize(("split", "accuracy_weight"), [("random", 0.5), ("rounds", 1.0)])
def test_rows_of_the_committed_table_come_from_the_committed_runs(split: str, accuracy_weight: float) -> None:
    benchmark = load_benchmark("minimum", RESULTS / "candidates.parquet")
    runs = Runs(benchmark, read_runs(RESULTS / "controllers.parquet"))
    with (RESULTS / "table3.csv").open(encoding="utf-8", newline="") as file:
        lines = [*csv.DictReader(file)]
    name = CONTESTANTS[-1].name
    made_again = [rounded(row) for row in rows_of(runs, name, split, accuracy_weight)]
    committed = [
        line
        for line in lines
        if (line["controller"], line["split"], float(line["lambda"])) == (name, split, accuracy_weight)
    ]
    assert len(committed) == len(made_again) == 2
    for line, row in zip(committed, made_again, strict=True):
        for column in ("k", "ap", "ap_low", "ndcg", "tau", "tau_low", "tau_high", "ceiling", "train_n", "n"):
            assert float(line[column]) == pytest.approx(getattr(row, column), abs=1e-4), column


def test_rounds_too_small_for_k_are_refused() -> None:
    check_cutoffs(benchmark_of(made_up_rows(children=17), "minimum", "made up"))  # 51 in a round of three lineages
    with pytest.raises(RecordError, match=r"at least 50 .* in round 2.*, found 48; raise candidates.lineages"):
        check_cutoffs(benchmark_of(made_up_rows(children=16), "minimum", "made up"))
