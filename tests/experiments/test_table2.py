"""Table 2: extended networks, and a row made anew."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments.extend import extend, lower_extended
from experiments.latency import LatencyRun, NetworkLatency, write_latency
from experiments.networks import LARGE
from experiments.plan import RESULTS, load_plan
from experiments.search_results import read_search
from experiments.table2 import TABLE, source_and_memory, table2_notes, table2_rows
from experiments.table_rows import memory_of, memory_of_network
from memnas_core.errors import GraphError, RecordError
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Branch, Cell, Combiner
from memnas_core.space.layers import Shape
from memnas_core.space.moves import seed_architecture
from memnas_core.training.network import build_network
from tests.experiments.made_up_searches import full, make_search

ROOT = Path(__file__).parents[2]


def five_blocks() -> Architecture:
    """Five blocks that differ: block i has i cells."""
    cell = Cell(Branch(0, ops.DEPTHWISE_3X3), Branch(0, ops.MAX_POOL_3X3), Combiner.SUM, included=True)
    root = seed_architecture((2, 1, 2, 1, 1), 8)
    return replace(root, blocks=tuple(replace(b, cells=(cell,) * n) for n, b in enumerate(root.blocks, start=1)))


def test_sixteen_blocks_repeat_the_five_in_place() -> None:
    extended = extend(five_blocks())
    assert [len(block.cells) for block in extended.blocks] == [1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]
    assert [number for number, block in enumerate(extended.blocks, start=1) if block.stride == 2] == [6, 11]
    assert extended.filters == 256
    with pytest.raises(GraphError, match="at least 5"):
        extend(five_blocks(), blocks=4)


def test_a_blocks_own_filters_grow_as_all_do() -> None:
    found = five_blocks()
    own = replace(found, blocks=(*found.blocks[:4], replace(found.blocks[4], filters=12)))
    assert extend(own).widths == (256,) * 13 + (384,) * 3


def test_an_extended_network_at_224() -> None:
    graph = lower_extended(extend(five_blocks()))
    shapes = graph.shapes()
    assert [shapes[f"stem{n}"] for n in (1, 2, 3)] == [(64, 112, 112), (128, 56, 56), (256, 28, 28)]
    assert shapes["b5_output"][1:] == (28, 28)
    assert shapes["b6_output"][1:] == shapes["b10_output"][1:] == (14, 14)
    assert shapes["b16_output"] == (5 * 256, 7, 7)
    # The head's weights: 1280 features for each of 1000 classes, and a bias.
    assert graph.layers[-1].weights == 1281 * 1000
    with pytest.raises(GraphError, match="multiples of 32"):
        lower_extended(extend(five_blocks()), Shape(3, 100, 100))


def test_the_graph_of_an_extended_network_is_what_torch_runs() -> None:
    graph = lower_extended(extend(five_blocks(), filters=16), Shape(3, 32, 32), 10)
    traced = memory_of_network(lambda: build_network(graph, seed=0), Shape(3, 32, 32))
    assert memory_of(graph) == traced
    assert build_network(graph, seed=0).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LatencyRun]:
    """Both searches and made-up latencies; networks and memory are real."""
    folder = tmp_path_factory.mktemp("table2")
    for weight in (0.5, 0.8):
        make_search(folder, full(weight), [[0.5]])
    arch_id = read_search(full(0.5), folder / RESULTS / "searches").architecture.arch_id
    networks = [
        NetworkLatency(model, which, ((50.0 * ratio,),), 50.0 * ratio, 0.0, 0.0, ratio, ratio - 0.1, ratio + 0.1)
        for model, which, ratio in (
            ("MobileNet V2 (1.0x)", None, 1.0),
            ("NASNet (Mobile)", None, 3.0),
            ("MemNAS-A (ours)", arch_id, 2.0),
        )
    ]
    run = LatencyRun("Abacus, 1 core", (), 1, (3, 224, 224), 1, 1, tuple(networks))
    write_latency(run, folder / RESULTS / "latency.json")
    return folder / RESULTS, run


def test_rows_and_notes(results: tuple[Path, LatencyRun]) -> None:
    folder, run = results
    plan = load_plan(ROOT / "experiments.yaml")
    rows = {row.model: row for row in table2_rows(plan, folder)}
    assert len(rows) == 21
    assert sum(row.sequential_bytes is not None for row in rows.values()) == len(LARGE) + 2
    assert rows["NASNet (Mobile)"].latency_ratio == 3.0
    assert rows["MemNAS-A (ours)"].latency_ratio == 2.0
    assert all(row.accuracy is None for row in rows.values())
    assert rows["EMNAS"].source.startswith("no public definition")
    # torchvision's own figure of its MobileNet V2: 3,504,872 weights.
    assert rows["MobileNet V2 (1.0x)"].param_bytes == 4 * 3_504_872
    notes = " ".join(table2_notes(plan, folder))
    assert "26.5 %" in notes
    assert "NASNet (Mobile) 2.44 printed, 3.00 measured" in notes  # 183/75
    strange = replace(run, networks=(*run.networks[:2], replace(run.networks[2], arch_id="0" * 16)))
    try:
        write_latency(strange, folder / "latency.json")
        with pytest.raises(RecordError, match="which the search found"):
            table2_rows(plan, folder)
    finally:
        write_latency(run, folder / "latency.json")


@pytest.mark.parametrize("model", ["ShuffleNet V2 (1.5x)", "FBNet-A"])
def test_a_committed_row_is_traced_anew(model: str) -> None:
    with (ROOT / TABLE).open(encoding="utf-8", newline="") as file:
        (line,) = (line for line in csv.DictReader(file) if line["model"] == model)
    source, memory = source_and_memory(model, {}, load_plan(ROOT / "experiments.yaml"))
    assert line["source"] == source
    names = ("param_bytes", "paper_bytes", "sequential_bytes", "minimum_bytes")
    assert [int(line[name]) for name in names] == [getattr(memory, name) for name in names]
