"""Figures that cannot be, in files with the right columns and checksums: NaN, infinities, an accuracy of 7."""

import json
import math
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from memnas_core.errors import RecordError
from memnas_core.records.candidates import CandidateRow, read_candidates, write_candidates
from memnas_core.records.rounds import round_from_json, round_to_json
from tests.core.made_up_records import ROW, SUMMARY

FLOATS = [field.name for field in fields(CandidateRow) if "float" in str(field.type)]


@pytest.mark.parametrize(
    "changed",
    [
        *({name: value} for name in FLOATS for value in (math.nan, math.inf, -math.inf)),
        {"measured_accuracy": 7.0},
        {"measured_accuracy": -0.1},
        {"predicted_accuracy": 1.0000001},
        {"training_seconds": -1.0},
        {"images_seen": -1},
        {"memory": replace(ROW.memory, param_bytes=-4000)},
    ],
)
def test_a_table_of_candidates(changed: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "candidates.parquet"
    write_candidates(path, [ROW, replace(ROW, arch_id="other")])
    assert len(read_candidates(path)) == 2
    write_candidates(path, [ROW, replace(ROW, **changed)])  # type: ignore[arg-type]
    with pytest.raises(RecordError, match=r"candidates\.parquet: expected figures of 'c0ffee', found .* dvc checkout"):
        read_candidates(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"accuracy": math.nan},
        {"accuracy": 2.0},
        {"score": math.inf},
        {"wall_seconds": 0.0},
        {"wall_seconds": -1.0},
        {"param_bytes": -1},
        {"rank_tau": math.nan},
        {"candidates": 10**600},  # no float holds it
    ],
)
def test_a_summary(changed: dict[str, object]) -> None:
    assert round_from_json(round_to_json(SUMMARY), "round.json") == SUMMARY
    text = json.dumps(asdict(SUMMARY) | changed)
    with pytest.raises(RecordError, match=r"^round\.json: expected the summary of a round, found "):
        round_from_json(text, "round.json")
