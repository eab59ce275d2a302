"""Tables and round summaries are read back as they were written; what is damaged is refused."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memnas_core.errors import RecordError, StorageError
from memnas_core.memory.figures import MemoryFigures
from memnas_core.records.candidates import CandidateRow, read_candidates, write_candidates
from memnas_core.records.rounds import RoundSummary, round_from_json, round_to_json
from memnas_core.records.trainings import Status
from tests.core.faults import fill, small_disk
from tests.core.made_up_records import ROW, SUMMARY

UNTRAINED = replace(
    ROW,
    predicted_score=None,
    predicted_accuracy=None,
    measured_accuracy=None,
    measured_score=None,
    measured_rank=None,
    status=Status.GENERATED,
    training_seconds=None,
    images_seen=0,
    is_winner=False,
    training_key=None,
)

# The list: id, architecture, parent, move, bytes under each convention, predicted and measured
# figures, ranks, status, seconds, images seen. Other programs read these files: names and types stay.
COLUMNS = {
    "arch_id": ("string", False),
    "architecture": ("string", False),
    "parent_id": ("string", False),
    "move": ("string", False),
    "round": ("int64", False),
    "param_bytes": ("int64", False),
    "paper_bytes": ("int64", False),
    "sequential_bytes": ("int64", False),
    "minimum_bytes": ("int64", False),
    "arena_bytes": ("int64", True),
    "predicted_score": ("double", True),
    "predicted_accuracy": ("double", True),
    "predicted_rank": ("int64", True),
    "measured_accuracy": ("double", True),
    "measured_score": ("double", True),
    "measured_rank": ("int64", True),
    "status": ("string", False),
    "training_seconds": ("double", True),
    "images_seen": ("int64", False),
    "is_winner": ("bool", False),
    "training_key": ("string", True),
}

whole = st.integers(min_value=0, max_value=2**63 - 1)
real = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]))
STRATEGIES: dict[object, st.SearchStrategy[object]] = {
    str: text,
    int: whole,
    float: real,
    bool: st.booleans(),
    Status: st.sampled_from(Status),
    float | None: st.none() | real,
    int | None: st.none() | whole,
    str | None: st.none() | text,
}
ids = st.from_regex(r"[0-9A-Za-z_-]{1,64}", fullmatch=True)
STRATEGIES[MemoryFigures] = st.builds(
    MemoryFigures, **{name: STRATEGIES[hint] for name, hint in get_type_hints(MemoryFigures).items()}
)
share = st.floats(0, 1)
length = st.floats(0, allow_infinity=False)
rows = st.builds(
    CandidateRow,
    **{name: STRATEGIES[h] for name, h in get_type_hints(CandidateRow).items()}
    | {"arch_id": ids, "training_key": st.none() | ids}
    | {"predicted_accuracy": st.none() | share, "measured_accuracy": st.none() | share}
    | {"training_seconds": st.none() | length},
)
summaries = st.builds(
    RoundSummary,
    **{name: STRATEGIES[hint] for name, hint in get_type_hints(RoundSummary).items()}
    | {"accuracy": share, "wall_seconds": length.filter(bool)}
    | {"training_wall_seconds": length, "training_cpu_seconds": length},
)


def test_columns(tmp_path: Path) -> None:
    write_candidates(tmp_path / "candidates.parquet", [ROW])
    schema = pq.read_schema(tmp_path / "candidates.parquet")
    assert {field.name: (str(field.type), field.nullable) for field in schema} == COLUMNS


def test_nulls_are_nulls_for_other_readers(tmp_path: Path) -> None:
    write_candidates(tmp_path / "candidates.parquet", [ROW, UNTRAINED])
    table = pq.read_table(tmp_path / "candidates.parquet")
    empty = {name for name in table.column_names if table[name].null_count}
    assert empty == {
        "predicted_score",
        "predicted_accuracy",
        "measured_accuracy",
        "measured_score",
        "measured_rank",
        "training_seconds",
        "training_key",
    }
    assert table["status"].to_pylist() == ["trained", "generated"]
    assert table["measured_score"].to_pylist() == [-0.125, None]


@given(st.lists(rows, max_size=5))
@settings(max_examples=40, deadline=None)
def test_candidates_round_trip(table: list[CandidateRow]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candidates.parquet"
        write_candidates(path, table)
        found = read_candidates(path)
    assert found == tuple(table)
    assert [type(row.status) for row in found] == [Status] * len(table)


@given(summaries)
def test_summary_round_trip(summary: RoundSummary) -> None:
    assert round_from_json(round_to_json(summary), "here") == summary


def damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def damage_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 4 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 4)
    path.write_bytes(content)


def damage_columns(path: Path) -> None:
    pq.write_table(pa.table({"arch_id": ["c0ffee"]}), path)


def damage_status(path: Path) -> None:
    table = pq.read_table(path)
    names = table.column_names
    pq.write_table(table.set_column(names.index("status"), "status", pa.array(["asleep"] * len(table))), path)


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        damage_truncate,
        damage_middle,
        damage_columns,
        damage_status,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("not parquet at all"),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["missing", "truncated", "overwritten", "columns", "status", "empty", "text", "folder"],
)
def test_a_damaged_table_is_refused_with_advice(damage: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "candidates.parquet"
    write_candidates(path, [replace(ROW, arch_id=f"{number:06}") for number in range(500)])
    damage(path)
    with pytest.raises(RecordError) as caught:
        read_candidates(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: expected a table of candidates, found ")
    assert "dvc checkout" in message
    assert "--resume" in message


@pytest.mark.parametrize("broken", ["", "{", "[]", "null", "7", '{"round": 1}', '{"rounds": 1}'])
def test_a_damaged_summary_is_refused(broken: str) -> None:
    with pytest.raises(RecordError, match=r"^round\.json: expected the summary of a round, found "):
        round_from_json(broken, "round.json")


def test_a_table_without_arenas_is_read_without_them(tmp_path: Path) -> None:
    path = tmp_path / "candidates.parquet"
    write_candidates(path, [ROW, UNTRAINED])
    pq.write_table(pq.read_table(path).drop_columns(["arena_bytes"]), path)
    assert read_candidates(path) == tuple(
        replace(row, memory=replace(row.memory, arena_bytes=None)) for row in (ROW, UNTRAINED)
    )
    assert read_candidates(path)[0].memory.minimum_bytes == 200


def test_a_full_disk_keeps_the_old_table(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        path = disk / "candidates.parquet"
        write_candidates(path, [ROW])
        fill(disk)
        with pytest.raises(StorageError, match="the disk is full"):
            write_candidates(path, [replace(ROW, architecture=f"{n * n}") for n in range(20_000)])
        assert read_candidates(path) == (ROW,)
        assert {entry.name for entry in disk.iterdir()} == {"candidates.parquet", "filler"}


def test_derived_figures() -> None:
    summary = replace(SUMMARY, param_bytes=3000, activation_bytes=500, wall_seconds=20.0, training_wall_seconds=19.0)
    assert summary.total_bytes == 3500
    assert summary.overhead_share == pytest.approx(0.05)
