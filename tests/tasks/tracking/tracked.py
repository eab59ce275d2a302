"""A candidate to track, and what SQLite has of it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from memnas_core.records.trainings import EpochFigures, Status
from tasks.tracking.candidate_log import CandidateLog
from tests.core.made_up_records import ROW

SETTINGS = {"search.seed": "0", "network.strides": "(1, 2)", "tracking.uri": "None"}


def history(epochs: int) -> tuple[EpochFigures, ...]:
    return tuple(EpochFigures(e, 2.0 / e, 0.5, 0.01 * e, 0.05, 1.5) for e in range(1, epochs + 1))


def candidate(arch_id: str = "c0ffee") -> CandidateLog:
    return CandidateLog(
        arch_id=arch_id,
        name=arch_id[:4],
        round=3,
        parent_id="ba5e",
        move="grow (r0 conv_3x3, r1 max_pool_3x3) concat",
        status=Status.TRAINED,
        memory=ROW.memory,
        peak_bytes=200,
        predicted_rank=2,
        predicted_score=0.25,
        predicted_accuracy=None,
        accuracy=0.875,
        training_started=1_700_000_000.0,
        training_seconds=12.5,
        images_seen=60_000,
        history=history(2),
        artifacts=None,
    )


def rows(store: Path, query: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(store / "mlflow.db")) as connection:
        return connection.execute(query, values).fetchall()


def children(store: Path, run_id: str) -> list[object]:
    query = (
        "select tags.run_uuid from tags join runs using (run_uuid) "
        "where key = 'mlflow.parentRunId' and value = ? and lifecycle_stage = 'active'"
    )
    return [row[0] for row in rows(store, query, run_id)]
