"""Spoilt files in the folder of a finished search, and in the prepared images.

Each entry: which file, how it is spoilt, the command that reads it.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.security.conftest import SEARCH
from tests.security.spoiling import (
    ANY_FILE,
    JSON_FILE,
    Spoil,
    changed,
    dangling,
    emptied,
    endless,
    gone,
    pickled,
    torch_pickled,
    truncated,
    without,
    written,
)

REPORT = ("report", "--name", SEARCH)
EXPORT = ("export", SEARCH, "--format", "pt2")


class Case(NamedTuple):
    file: str
    spoil: Spoil
    command: tuple[str, ...]
    named: str  # in the message

    @property
    def label(self) -> str:
        return f"{self.command[0]} {self.file} {self.spoil.__qualname__}"


def column(name: str, kind: pa.DataType | None, value: object) -> Spoil:
    """Return a way to replace a column of a table by one of another type or content; without a type it is removed."""

    def spoil(path: Path) -> None:
        table = pq.read_table(path)
        place = table.schema.get_field_index(name)
        table = table.remove_column(place)
        if kind is not None:
            table = table.add_column(place, name, pa.array([value] * len(table), kind))
        pq.write_table(table, path)

    return spoil


def a_table_of_others(path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), path)


def many_rows(path: Path) -> None:
    """Write two million equal rows into a small file."""
    row = pq.read_table(path).slice(0, 1)
    for name in ("architecture", "move"):
        row = row.set_column(row.schema.get_field_index(name), row.schema.field(name), pa.array([""]))
    pq.write_table(row.take(pa.array(np.zeros(2_000_000, dtype=np.int64))), path, compression="zstd")
    assert path.stat().st_size < 2_000_000


IMAGES = ("../../data/*/train.arrow", "../../data/*/test.arrow")
ARROW_FILE = (truncated, emptied, pickled, a_table_of_others)
ROUND = "rounds/round-01/round.json"
TABLE = "rounds/round-01/candidates.parquet"
TEXTS = ("start.json", ROUND, "chosen/chosen.json", "chosen/training.json")

CASES = (
    *(Case(file, spoil, REPORT, file) for file in (*TEXTS, TABLE, "settings.yaml") for spoil in ANY_FILE),
    *(Case(file, spoil, REPORT, file) for file in TEXTS for spoil in JSON_FILE),
    *(
        Case(file, spoil, REPORT, file)
        for file, spoil in (
            ("start.json", gone),
            ("start.json", changed(started=1e300)),
            ("start.json", changed(started="yesterday")),
            ("start.json", changed(dataset=None)),
            ("start.json", changed(versions=[["python"]])),
            ("start.json", changed(versions={"python": "3.11"})),
            ("start.json", changed(machine=["a"])),
            (ROUND, gone),
            (ROUND, changed(round="1")),
            (ROUND, changed(accuracy=None)),
            (ROUND, changed(wall_seconds="long")),
            (ROUND, changed(run="touch ran")),
            (ROUND, without("winner_id")),
            ("chosen/chosen.json", changed(finished=-1e300)),
            ("chosen/chosen.json", changed(arch_id=7)),
            ("chosen/chosen.json", changed(round=1.5)),
            ("chosen", lambda path: (path / "chosen.json").unlink()),
            ("chosen/training.json", changed(history=[{"epoch": 1}])),
            ("chosen/training.json", changed(history="none")),
            ("chosen/training.json", changed(status="done")),
            ("chosen/training.json", changed(seconds=None)),
            (TABLE, gone),
            (TABLE, a_table_of_others),
            (TABLE, many_rows),
            (TABLE, column("arch_id", None, None)),
            (TABLE, column("arch_id", pa.int64(), 5)),
            (TABLE, column("arch_id", pa.string(), "../../../../outside")),
            (TABLE, column("arch_id", pa.string(), "a\nb")),
            (TABLE, column("training_key", pa.string(), "../../../../outside")),
            (TABLE, column("training_key", pa.string(), "/etc")),
            (TABLE, column("round", pa.string(), "1")),
            (TABLE, column("round", pa.float64(), 1.5)),
            (TABLE, column("param_bytes", pa.int64(), None)),
            (TABLE, column("status", pa.string(), "done")),
            (TABLE, column("move", pa.binary(), b"\xff")),
            (TABLE, column("measured_accuracy", pa.string(), "high")),
        )
    ),
    *(
        Case(file, spoil, EXPORT, file)
        for file in ("chosen/weights.safetensors",)
        for spoil in (*ANY_FILE, torch_pickled)
    ),
    *(
        Case("chosen/weights.safetensors", written(content), EXPORT, "weights.safetensors")
        for content in (
            b"\xff" * 8,
            (2**40).to_bytes(8, "little") + b"{}",
            (100).to_bytes(8, "little")
            + b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]}}'.ljust(100),
            (100).to_bytes(8, "little")
            + b'{"a":{"dtype":"PICKLE","shape":[1],"data_offsets":[0,4]}}'.ljust(100)
            + bytes(4),
            (100).to_bytes(8, "little")
            + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}'.ljust(100)
            + bytes(4),
        )
    ),
    *(Case("settings.yaml", spoil, EXPORT, "settings.yaml") for spoil in (ANY_FILE[2], ANY_FILE[3], written(b"["))),
    *(Case("start.json", spoil, EXPORT, "start.json") for spoil in ANY_FILE),
    *(Case(file, spoil, EXPORT, Path(file).name) for file in IMAGES for spoil in ARROW_FILE),
    *(Case(file, spoil, EXPORT, "data") for file in IMAGES for spoil in (dangling, endless, gone)),
    *(Case("../../data/*/dataset.json", spoil, EXPORT, "data") for spoil in (*ANY_FILE, *JSON_FILE, gone)),
)
