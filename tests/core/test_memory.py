"""Activation memory against hand-worked tables, naive simulations, and brute force over orders."""

import functools
import random
import time
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memnas_core.errors import GraphError
from memnas_core.memory import (
    LifetimeTable,
    least_peak,
    lifetimes,
    minimum_peak,
    peak_activation_bytes,
    peaks,
)

Layers = dict[str, tuple[list[str], list[str]]]
Sizes = dict[str, int]

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


# ---- random graphs against naive definitions


def producers(layers: Layers) -> dict[str, str]:
    return {tensor: layer for layer, (_, writes) in layers.items() for tensor in writes}


def naive_paper(layers: Layers, sizes: Sizes) -> list[int]:
    """Return the profile under `paper` from its definition, tensor by tensor and time by time."""
    producer = producers(layers)

    @functools.cache
    def appears(layer: str) -> int:
        return 1 + max((appears(producer[t]) for t in layers[layer][0] if t in producer), default=1)

    end = max(map(appears, layers), default=1)
    profile = []
    for now in range(1, end + 1):
        live = 0
        for tensor, size in sizes.items():
            readers = [appears(layer) for layer, (reads, _) in layers.items() if tensor in reads]
            exists = tensor not in producer or appears(producer[tensor]) <= now
            needed = not readers or now < max(readers)
            live += size if exists and needed else 0
        profile.append(live)
    return profile


def naive_sequential(layers: Layers, sizes: Sizes, order: Sequence[str]) -> tuple[int, list[int]]:
    """Return peak and profile of an order by keeping a set of what is in memory."""
    read = {tensor for reads, _ in layers.values() for tensor in reads}
    memory = set(sizes) - producers(layers).keys()
    profile = []
    for position, layer in enumerate(order):
        reads, writes = layers[layer]
        assert set(reads) <= memory, f"{layer} runs before its inputs exist"
        memory |= set(writes)
        profile.append(sum(sizes[tensor] for tensor in memory))
        later = {tensor for other in order[position + 1 :] for tensor in layers[other][0]}
        memory = {tensor for tensor in memory if tensor in later or tensor not in read}
    if not order:
        profile.append(sum(sizes[tensor] for tensor in memory))
    return max(profile), profile


def all_orders(layers: Layers) -> Iterator[list[str]]:
    """Yield all topological orders."""
    producer = producers(layers)

    def extend(order: list[str], left: frozenset[str]) -> Iterator[list[str]]:
        if not left:
            yield order
        for layer in left:
            if all(producer.get(tensor) not in left for tensor in layers[layer][0]):
                yield from extend([*order, layer], left - {layer})

    return extend([], frozenset(layers))


def random_graph(rng: random.Random, count: int) -> tuple[Layers, Sizes]:
    """Return a random graph with all that is allowed.

    Layers with none to three outputs, inputs read twice, inputs and outputs that nothing reads, sizes of
    zero, layers alike.
    """
    sizes = {f"in{n}": rng.choice((0, 1, 3, 7)) for n in range(rng.randint(1, 3))}
    layers: Layers = {}
    for number in range(count):
        readable = list(sizes)[-rng.choice((3, 5, 99)) :]
        reads = rng.choices(readable, k=rng.choice((0, 1, 1, 2, 2, 3)))
        writes = [f"t{number}_{n}" for n in range(rng.choice((0, 1, 1, 1, 1, 2, 3)))]
        sizes.update({tensor: rng.choice((0, 1, 1, 2, 5, rng.randint(1, 50))) for tensor in writes})
        layers[f"l{number}"] = reads, writes
    return layers, sizes


def shuffled(rng: random.Random, layers: Layers) -> Layers:
    return dict(rng.sample(list(layers.items()), len(layers)))


@st.composite
def graphs(draw: st.DrawFn, most: int = 12) -> tuple[Layers, Sizes]:
    seed, count = draw(st.integers(0, 2**32)), draw(st.integers(0, most))
    return random_graph(random.Random(seed), count)


@given(graphs(), st.randoms(use_true_random=False))
def test_paper_agrees_with_its_definition(graph: tuple[Layers, Sizes], rng: random.Random) -> None:
    layers, sizes = graph
    expected = naive_paper(layers, sizes)
    table = lifetimes(shuffled(rng, layers), sizes, "paper")
    assert list(table.profile) == expected
    assert peak_activation_bytes(layers, sizes, "paper") == max(expected)
    check_table(table, layers, sizes)


@given(graphs(), st.randoms(use_true_random=False))
def test_sequential_agrees_with_a_naive_simulation(graph: tuple[Layers, Sizes], rng: random.Random) -> None:
    layers, sizes = graph
    order = random_order(rng, layers)
    peak, profile = naive_sequential(layers, sizes, order)
    table = lifetimes(shuffled(rng, layers), sizes, "sequential", order)
    assert list(table.profile) == profile
    assert peak_activation_bytes(layers, sizes, "sequential", order) == peak
    assert [step for step in table.steps if step] == [(layer,) for layer in order]
    check_table(table, layers, sizes)


def random_order(rng: random.Random, layers: Layers) -> list[str]:
    producer, order = producers(layers), list[str]()
    while len(order) < len(layers):
        left = layers.keys() - order
        order.append(rng.choice(sorted(n for n in left if all(producer.get(t) not in left for t in layers[n][0]))))
    return order


def check_table(table: LifetimeTable, layers: Layers, sizes: Sizes) -> None:
    """Rows and profile say the same, and rows name each tensor once."""
    assert sorted(row.tensor for row in table.rows) == sorted(sizes)
    assert all(row.bytes == sizes[row.tensor] for row in table.rows)
    for time_step, total in enumerate(table.profile, start=1):
        assert total == sum(row.bytes for row in table.rows if row.born <= time_step <= row.last)
    assert sorted(layer for step in table.steps for layer in step) == sorted(layers)
    assert [row.born for row in table.rows] == sorted(row.born for row in table.rows)
    assert table.peak == max(table.profile)


@given(graphs(most=6), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_minimum_is_the_least_of_all_orders(graph: tuple[Layers, Sizes], rng: random.Random) -> None:
    layers, sizes = graph
    expected = min(naive_sequential(layers, sizes, order)[0] for order in all_orders(layers))
    found, order = minimum_peak(shuffled(rng, layers), sizes)
    assert found == expected
    assert naive_sequential(layers, sizes, order)[0] == found, "the order does not reach what is reported"
    assert least_peak(layers, sizes).exact
    assert peak_activation_bytes(layers, sizes, "minimum") == found
    assert lifetimes(layers, sizes, "minimum").peak == found


def least_by_subsets(layers: Layers, sizes: Sizes) -> int:
    """Return the least peak by dynamic programming over all sets of layers that can have run."""
    producer = producers(layers)
    names = list(layers)
    needs = [{producer[t] for t in layers[n][0] if t in producer} for n in names]
    readers = {t: {n for n in names if t in layers[n][0]} for t in sizes}

    def live(done: frozenset[str], running: str) -> int:
        return sum(
            size
            for tensor, size in sizes.items()
            if (tensor not in producer or producer[tensor] in done | {running})
            and (not readers[tensor] or readers[tensor] - done)
        )

    best = {frozenset[str](): 0}
    for _ in names:
        after: dict[frozenset[str], int] = {}
        for done, peak in best.items():
            for name, before in zip(names, needs, strict=True):
                if name not in done and before <= done:
                    now = done | {name}
                    after[now] = min(after.get(now, 2**60), max(peak, live(done, name)))
        best = after
    return best[frozenset(names)]


def test_minimum_agrees_with_dynamic_programming_on_larger_graphs() -> None:
    rng = random.Random(5)
    harder = 0
    for _ in range(60):
        layers, sizes = random_graph(rng, rng.randint(7, 10))
        found, order = minimum_peak(shuffled(rng, layers), sizes)
        assert found == least_by_subsets(layers, sizes)
        assert naive_sequential(layers, sizes, order)[0] == found
        harder += found < naive_sequential(layers, sizes, list(layers))[0]
    assert harder > 5, "in some graphs the order given should not be the best"


def test_minimum_of_graphs_full_of_layers_alike() -> None:
    # Layers that read and write alike are run in one order only: right also where their readers differ.
    rng = random.Random(6)
    for _ in range(60):
        layers: Layers = {f"a{n}": (["x"], [f"t{n}"]) for n in range(4)}
        sizes = {"x": 2} | {f"t{n}": rng.choice((3, 3, 4)) for n in range(4)}
        for n in range(4):
            reads = rng.sample([f"t{m}" for m in range(4)], rng.choice((1, 2)))
            layers[f"b{n}"] = reads, [f"u{n}"]
            sizes[f"u{n}"] = rng.choice((1, 1, 5))
        layers["join"] = rng.sample([f"u{n}" for n in range(4)], 3), ["y"]
        sizes["y"] = 1
        assert minimum_peak(layers, sizes)[0] == least_by_subsets(layers, sizes)


@given(graphs(), st.randoms(use_true_random=False))
def test_no_order_is_below_the_minimum_and_paper_is_not_above_it(
    graph: tuple[Layers, Sizes], rng: random.Random
) -> None:
    layers, sizes = graph
    least = minimum_peak(layers, sizes)[0]
    for _ in range(5):
        assert least <= peak_activation_bytes(layers, sizes, "sequential", random_order(rng, layers))
    assert peaks(layers, sizes) == (
        peak_activation_bytes(layers, sizes, "paper"),
        peak_activation_bytes(layers, sizes, "sequential"),
        least,
    )


@given(graphs(most=9), st.integers(1, 20))
def test_a_search_that_is_cut_short_says_so(graph: tuple[Layers, Sizes], state_limit: int) -> None:
    layers, sizes = graph
    found, least = least_peak(layers, sizes, state_limit), least_peak(layers, sizes)
    assert least.exact
    assert found.lower_bound <= least.bytes <= found.bytes
    assert found.exact == (found.lower_bound == found.bytes)
    assert naive_sequential(layers, sizes, found.order)[0] == found.bytes


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
