"""Activation memory of random graphs against naive simulations and brute force over orders."""

import functools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from memnas_core.memory.lifetimes import (
    LifetimeTable,
    least_peak,
    lifetimes,
    minimum_peak,
    peak_activation_bytes,
    peaks,
)
from tests.core.memory.naive_lifetimes import (
    Layers,
    Sizes,
    all_orders,
    least_by_subsets,
    naive_sequential,
    producers,
    shuffled,
)


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
