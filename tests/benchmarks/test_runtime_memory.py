"""The committed rows of the runtime benchmark: this code predicts them, and ExecuTorch's figures repeat."""

import statistics
from pathlib import Path

import pytest

from benchmarks.page import marks, with_tables
from benchmarks.runtime_memory import predictions as runtime_predictions
from benchmarks.runtime_memory.networks import CLASSES, Measured, Subject
from benchmarks.runtime_memory.predictions import Row, rows_of
from benchmarks.runtime_memory.report import ratio_picture, tables
from memnas_core.errors import RecordError
from memnas_core.files.parquet import read_parquet
from memnas_core.space.architecture_json import from_json
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape

COMMITTED = Path(__file__).parents[2] / "benchmarks" / "results" / "runtime_memory.parquet"


@pytest.fixture(scope="module")
def rows() -> tuple[Row, ...]:
    return read_parquet(COMMITTED, Row, "the benchmark's rows", "run python -m benchmarks.runtime_memory")


def rows_of_networks(rows: tuple[Row, ...]) -> dict[str, list[Row]]:
    networks: dict[str, list[Row]] = {}
    for row in rows:
        networks.setdefault(row.arch_id, []).append(row)
    return networks


def measured_from(rows: list[Row]) -> Measured:
    """Return what was measured of a network, as its rows tell it."""
    found = {row.runtime: row.runtime_bytes for row in rows}
    best = {name: found[name] for name in ("executorch", "onnxruntime", "onnxruntime basic")}
    plan = "executorch, memnas's plan"
    return Measured(
        Subject(rows[0].source, from_json(rows[0].architecture), Shape(*rows[0].input_shape)),
        best | {plan: found["executorch memnas plan"]},
        {"executorch": found["executorch plain order"], plan: found["executorch memnas plan plain order"]},
        {row.runtime.split()[0]: row.runtime_version for row in rows},
    )


def test_there_are_enough_networks(rows: tuple[Row, ...]) -> None:
    networks = rows_of_networks(rows)
    assert sum(found[0].source == "random" for found in networks.values()) >= 200
    assert any(found[0].source != "random" for found in networks.values())
    assert {len(found) for found in networks.values()} == {len(next(iter(networks.values())))}


def test_predictions_are_this_codes(rows: tuple[Row, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    # The committed rows are from a processor whose ONNX Runtime has channels in blocks of 8 (docs/runtime-memory.md).
    monkeypatch.setattr(runtime_predictions, "processor_flags", frozenset)
    networks = list(rows_of_networks(rows).values())
    for found in networks[:: len(networks) // 5]:
        assert list(rows_of(measured_from(found))) == found


def test_arena_is_executorchs_plan(rows: tuple[Row, ...]) -> None:
    for runtime in {row.runtime for row in rows if row.runtime.startswith("executorch")}:
        ratios = [
            row.predicted_bytes / row.runtime_bytes
            for row in rows
            if (row.runtime, row.convention) == (runtime, "arena")
        ]
        assert statistics.mean(abs(ratio - 1) <= 0.01 for ratio in ratios) >= 0.95


def test_no_arena_is_below_its_bound(rows: tuple[Row, ...]) -> None:
    assert all(row.predicted_bytes >= (row.lower_bound_bytes or 0) for row in rows)


def test_executorch_plans_the_same_again(rows: tuple[Row, ...]) -> None:
    pytest.importorskip("executorch")
    from benchmarks.runtime_memory.measurement import executorch_bytes
    from memnas_core.training.deployed import deploy
    from memnas_core.training.network import build_network

    found = min(rows_of_networks(rows).values(), key=lambda found: len(found[0].architecture))
    subject = measured_from(found).subject
    network = deploy(build_network(lower(subject.architecture, subject.shape, CLASSES), seed=1))
    real = {row.runtime: row.runtime_bytes for row in found}
    assert executorch_bytes(network) == {
        "executorch": real["executorch"],
        "executorch, memnas's plan": real["executorch memnas plan"],
    }


def test_tables_and_picture(rows: tuple[Row, ...]) -> None:
    text = "\n".join(tables(rows))
    assert "| executorch | arena |" in text
    assert "`minimum`" in text
    assert ratio_picture(rows).startswith("<svg")


def test_tables_go_between_the_marks() -> None:
    (begin, end), (other_begin, other_end) = marks(), marks("choices")
    choices = f"{other_begin}\nold\n{other_end}\n"
    page = f"before\n{begin}\nold\n{end}\nafter\n{choices}"
    new = with_tables(page, ["one", "two"], Path("page.md"))
    assert new == f"before\n{begin}\n\none\ntwo\n\n{end}\nafter\n{choices}"
    assert with_tables(page, ["new"], Path("page.md"), "choices") == page.replace(
        choices, f"{other_begin}\n\nnew\n\n{other_end}\n"
    )
    with pytest.raises(RecordError, match="expected the marks"):
        with_tables("no marks", [], Path("page.md"))
