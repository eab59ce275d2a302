"""The benchmark of whole searches, without searching."""

import json
from dataclasses import asdict
from pathlib import Path

from benchmarks.make_search import SETTINGS, Row, perform, table
from memnas_core.settings.file import load_settings

PARAMS = Path("params.yaml")


def row(settings: str, seed: int, seconds: float, accuracy: float) -> Row:
    return Row(settings, 0.5, seed, seconds, 1000, "a", accuracy, 6_000, 4_000)


def test_table_gives_medians_and_ranges() -> None:
    rows = [row("before", seed, seconds, 0.9) for seed, seconds in enumerate((90.0, 130.0, 110.0))]
    rows += [row("now", seed, 50.0, accuracy) for seed, accuracy in enumerate((0.97, 0.95, 0.99))]
    assert list(table(rows))[2:] == [
        "| 0.5 | before | 110 (90 to 130) | 1,000 (1,000 to 1,000) | 0.9000 (0.9000 to 0.9000) | 10.0 (10.0 to 10.0) |",
        "| 0.5 | now | 50 (50 to 50) | 1,000 (1,000 to 1,000) | 0.9700 (0.9500 to 0.9900) | 10.0 (10.0 to 10.0) |",
    ]


def test_before_trains_every_candidate_fully_from_nothing() -> None:
    before, now = (load_settings(PARAMS, SETTINGS[name]) for name in ("before", "now"))
    assert (before.search.weights, before.search.rungs, before.search.aim) == ("fresh", (1.0,), "score")
    assert (before.search.top_k, before.search.rounds, before.training) == (
        now.search.top_k,
        now.search.rounds,
        now.training,
    )


def test_a_search_that_has_ended_is_not_repeated(tmp_path: Path) -> None:
    done = row("now", 3, 12.5, 0.98)
    (tmp_path / "row.json").write_text(json.dumps(asdict(done)))
    assert perform("now", 0.5, 3, tmp_path) == done
