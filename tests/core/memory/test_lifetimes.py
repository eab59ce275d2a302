"""Activation memory against hand-worked tables, of large graphs, and what is refused."""

import random
import time
from collections.abc import Sequence

import pytest

from memnas_core.errors import GraphError
from memnas_core.memory.lifetimes import (
    least_peak,
    lifetimes,
    minimum_peak,
    peak_activation_bytes,
    peaks,
)
from tests.core.memory.naive_lifetimes import Layers, Sizes, all_orders, least_by_subsets, naive_sequential, shuffled

# ---- Figure 3

C1_AND_C2: Layers = {
    "l2": (["r1"], ["r2"]),
    "l3": (["r1"], ["r3"]),
    "C1": (["r2", "r3"], ["r4"]),
    "l5": (["r1"], ["r5"]),
    "l6": (["r4"], ["r6"]),
    "C2": (["r5", "r6"], ["r7"]),
}


def figure_3(reads: tuple[str, str], included: Sequence[str]) -> tuple[Layers, Sizes]:
    """Return the block of Figure 3 for one reading of C3; all sizes 1.

    A last layer reads what is in the block's output and writes nothing, so that it lives until then.
    """
    first, second = reads
    layers: Layers = C1_AND_C2 | {
        "l8": ([first], ["r8"]),
        "l9": ([second], ["r9"]),
        "C3": (["r8", "r9"], ["r10"]),
        "output": (list(included), []),
    }
    return layers, {f"r{n}": 1 for n in range(1, 11)}


READINGS = [
    # C3 reads, in the block's output, profile under `paper`
    (("r4", "r4"), ("r7", "r10"), (1, 3, 2, 4, 2)),
    (("r4", "r7"), ("r4", "r10"), (1, 3, 2, 4, 3, 3, 2)),
    (("r4", "r7"), ("r4", "r7", "r10"), (1, 3, 2, 4, 3, 4, 3)),
    (("r7", "r7"), ("r4", "r7", "r10"), (1, 3, 2, 3, 2, 4, 3)),
]


@pytest.mark.parametrize(("reads", "included", "profile"), READINGS)
def test_figure_3(reads: tuple[str, str], included: tuple[str, ...], profile: tuple[int, ...]) -> None:
    layers, sizes = figure_3(reads, included)
    table = lifetimes(layers, sizes, "paper")
    assert table.profile == (*profile, 0)  # the last layer takes a step of its own and keeps nothing
    assert table.peak == peak_activation_bytes(layers, sizes, "paper") == max(profile) == 4
    # T=1 is r1 alone, T=2 is what the three layers that read it made.
    assert [row.tensor for row in table.rows if row.born == 1] == ["r1"]
    assert {row.tensor for row in table.rows if row.born == 2} == {"r2", "r3", "r5"}
    assert table.steps[:2] == ((), ("l2", "l3", "l5"))


@pytest.mark.parametrize(("reads", "included", "profile"), READINGS)
def test_figure_3_one_layer_at_a_time_needs_4_or_5(
    reads: tuple[str, str], included: tuple[str, ...], profile: tuple[int, ...]
) -> None:
    layers, sizes = figure_3(reads, included)
    least, order = minimum_peak(layers, sizes)
    assert least in (4, 5)
    assert least == min(naive_sequential(layers, sizes, order)[0] for order in all_orders(layers))
    assert peak_activation_bytes(layers, sizes, "sequential", order) == least
    assert least >= max(profile)


def test_the_lifetime_table_of_figure_3_by_hand() -> None:
    layers, sizes = figure_3(("r4", "r4"), ("r7", "r10"))
    table = lifetimes(layers, sizes, "paper")
    spans = {row.tensor: (row.born, row.last) for row in table.rows}
    # T:  1    2          3       4              5        6
    #     r1   r2 r3 r5   r4 r5   r5 r6 r8 r9    r7 r10   (output)
    # r5 waits at T=3 and T=4 for r6, which C2 reads with it.
    assert spans == {
        "r1": (1, 1),
        "r2": (2, 2),
        "r3": (2, 2),
        "r5": (2, 4),
        "r4": (3, 3),
        "r6": (4, 4),
        "r8": (4, 4),
        "r9": (4, 4),
        "r7": (5, 5),
        "r10": (5, 5),
    }


# ---- small graphs by hand


def test_a_chain_by_hand() -> None:
    layers: Layers = {"a": (["x"], ["t"]), "b": (["t"], ["u"]), "c": (["u"], ["y"])}
    sizes = {"x": 3, "t": 5, "u": 1, "y": 2}
    assert lifetimes(layers, sizes, "paper").profile == (3, 5, 1, 2)
    sequential = lifetimes(layers, sizes, "sequential")
    assert sequential.profile == (3 + 5, 5 + 1, 1 + 2)
    assert [(row.tensor, row.bytes, row.born, row.last) for row in sequential.rows] == [
        ("x", 3, 1, 1),
        ("t", 5, 1, 2),
        ("u", 1, 2, 3),
        ("y", 2, 3, 3),
    ]
    assert sequential.steps == (("a",), ("b",), ("c",))
    assert peaks(layers, sizes) == (5, 8, 8)


def test_order_matters_by_hand() -> None:
    # Two branches of the same input, each wide inside and narrow at its end.
    layers: Layers = {
        "wide1": (["x"], ["w1"]),
        "wide2": (["x"], ["w2"]),
        "narrow1": (["w1"], ["n1"]),
        "narrow2": (["w2"], ["n2"]),
        "sum": (["n1", "n2"], ["y"]),
    }
    sizes = {"x": 1, "w1": 10, "w2": 10, "n1": 1, "n2": 1, "y": 1}
    # x w1 | x w1 w2 | w1 w2 n1 | w2 n1 n2 | n1 n2 y
    assert lifetimes(layers, sizes, "sequential").profile == (11, 21, 21, 12, 3)
    # x w1 | x w1 n1 | x n1 w2 | n1 w2 n2 | n1 n2 y
    order = ["wide1", "narrow1", "wide2", "narrow2", "sum"]
    assert lifetimes(layers, sizes, "sequential", order).profile == (11, 12, 12, 12, 3)
    assert minimum_peak(layers, sizes)[0] == 12
    assert lifetimes(layers, sizes, "minimum").peak == 12
    # x | w1 w2 | n1 n2 | y
    assert lifetimes(layers, sizes, "paper").profile == (1, 20, 2, 1)


def test_inputs_live_from_the_start_and_unread_tensors_to_the_end() -> None:
    layers: Layers = {"a": (["x"], ["t", "side"]), "b": (["t", "late"], ["y"])}
    sizes = {"x": 1, "t": 10, "side": 100, "late": 1000, "y": 10_000, "unused": 100_000}
    assert lifetimes(layers, sizes, "sequential").profile == (101_111, 111_110)
    assert lifetimes(layers, sizes, "paper").profile == (101_001, 101_110, 110_100)


def test_a_layer_that_reads_a_tensor_twice_needs_it_once() -> None:
    layers: Layers = {"double": (["x", "x"], ["y"])}
    assert peaks(layers, {"x": 3, "y": 4}) == (4, 7, 7)


def test_a_graph_without_layers_holds_its_inputs() -> None:
    assert peaks({}, {"x": 3}) == (3, 3, 3)
    assert lifetimes({}, {}, "sequential").peak == 0
    assert minimum_peak({}, {}) == (0, ())


# ---- large graphs


def residual_network(blocks: int) -> tuple[Layers, Sizes]:
    """Return a chain of residual blocks, three layers and a sum each."""
    layers: Layers = {}
    sizes = {"x0": 64}
    for n in range(blocks):
        layers[f"a{n}"] = [f"x{n}"], [f"a{n}"]
        layers[f"b{n}"] = [f"a{n}"], [f"b{n}"]
        layers[f"c{n}"] = [f"b{n}"], [f"c{n}"]
        layers[f"s{n}"] = [f"x{n}", f"c{n}"], [f"x{n + 1}"]
        sizes |= {f"a{n}": 16, f"b{n}": 16, f"c{n}": 64, f"x{n + 1}": 64}
    return layers, sizes


def inverted_tree(leaves: int) -> tuple[Layers, Sizes]:
    """Return a tree of sums over branches that are wide inside: the hardest shape for the search."""
    layers: Layers = {}
    sizes = {"x": 8}
    level = []
    for n in range(leaves):
        layers |= {f"wide{n}": (["x"], [f"w{n}"]), f"narrow{n}": ([f"w{n}"], [f"n{n}"])}
        sizes |= {f"w{n}": 20 + n % 3, f"n{n}": 4}
        level.append(f"n{n}")
    while len(level) > 1:
        joined = []
        for left, right in zip(level[::2], level[1::2], strict=True):
            name = f"{left}+{right}"
            layers[name] = [left, right], [name]
            sizes[name] = 4
            joined.append(name)
        level = joined
    return layers, sizes


def test_two_hundred_layers_in_a_chain_of_blocks_are_exact() -> None:
    layers, sizes = residual_network(50)
    found = least_peak(shuffled(random.Random(0), layers), sizes)
    # x and c are held while their sum is written.
    assert (found.bytes, found.exact) == (3 * 64, True)


def test_the_minimum_of_a_tree() -> None:
    layers, sizes = inverted_tree(4)
    # x is 8, the wide tensors are 20 and 21, 22 and 20, all others 4. Depth first; the pair with 22 goes
    # first, its 22 first: x 22 4 = 34, then x 4 20 4 = 36. Then the other pair beside the first one's sum, 21
    # first: x 4 21 4 = 37, and the last wide tensor, x 4 4 20 = 36. The other way round 22 would stand beside
    # the sum.
    assert minimum_peak(layers, sizes)[0] == least_by_subsets(layers, sizes) == 37


def test_a_search_without_end_is_cut_short_in_time() -> None:
    layers, sizes = inverted_tree(32)
    begin = time.process_time()
    found = least_peak(layers, sizes)
    assert time.process_time() - begin < 10  # takes 0.5 s
    assert found.lower_bound <= found.bytes <= peak_activation_bytes(layers, sizes, "sequential")


# ---- what is refused


@pytest.mark.parametrize(
    ("layers", "sizes", "message"),
    [
        (
            {"a": (["x"], ["y"])},
            {"x": 1},
            "tensor 'y' of layer 'a': expected its bytes, found none",
        ),
        ({"a": (["x"], ["y"])}, {"x": 1, "y": -2}, "tensor 'y': expected its bytes, found -2"),
        (
            {"a": (["x"], ["y"]), "b": (["x"], ["y"])},
            {"x": 1, "y": 1},
            "tensor 'y': expected one layer to write it, found 'a' and 'b'",
        ),
        (
            {"a": (["x", "z"], ["y"]), "b": (["y"], ["z"])},
            {"x": 1, "y": 1, "z": 1},
            "layers 'a', 'b': expected an order in which they can run, found a cycle",
        ),
        (
            {"a": (["x"], ["x"])},
            {"x": 1},
            "layers 'a': expected an order in which they can run, found a cycle",
        ),
    ],
)
def test_impossible_graphs_are_refused(layers: Layers, sizes: Sizes, message: str) -> None:
    for convention in ("paper", "sequential", "minimum"):
        with pytest.raises(GraphError) as caught:
            peak_activation_bytes(layers, sizes, convention)
        assert str(caught.value) == message
    with pytest.raises(GraphError):
        minimum_peak(layers, sizes)


CHAIN: Layers = {"a": (["x"], ["t"]), "b": (["t"], ["y"])}


@pytest.mark.parametrize(
    ("convention", "order", "message"),
    [
        ("sequential", ["b", "a"], "order: expected 'a' before 'b', which reads its output"),
        ("sequential", ["a"], "order: expected each of the 2 layers once, found ['a']"),
        ("sequential", ["a", "a"], "order: expected each of the 2 layers once, found ['a', 'a']"),
        ("sequential", ["a", "z"], "order: expected each of the 2 layers once, found ['a', 'z']"),
        ("minimum", ["a", "b"], "order: only the convention sequential takes one, found it with 'minimum'"),
        ("best", None, "convention: expected one of paper, sequential, minimum, found 'best'"),
    ],
)
def test_impossible_orders_and_conventions_are_refused(convention: str, order: list[str] | None, message: str) -> None:
    with pytest.raises(GraphError) as caught:
        peak_activation_bytes(CHAIN, {"x": 1, "t": 1, "y": 1}, convention, order)
    assert str(caught.value) == message


def test_the_order_of_layers_must_be_possible_where_it_is_the_order() -> None:
    backwards = dict(reversed(CHAIN.items()))
    sizes = {"x": 1, "t": 2, "y": 4}
    with pytest.raises(GraphError, match="expected 'a' before 'b'"):
        peak_activation_bytes(backwards, sizes, "sequential")
    assert peak_activation_bytes(backwards, sizes, "paper") == 4
    assert minimum_peak(backwards, sizes) == (6, ("a", "b"))
