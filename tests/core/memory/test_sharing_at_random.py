"""Random graphs, run in their arenas on a memory that remembers who wrote each byte."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from memnas_core.memory.arena import plan_shared
from memnas_core.memory.arena_rules import ArenaRules, LayerRoles, shared_graph
from memnas_core.memory.lifetimes import lifetimes
from memnas_core.memory.sharing import Home, unshared, with_direct_concats, with_in_place
from tests.core.arenas import plan_arena
from tests.core.memory.run_in_arena import ALL_RULES, ALONE, Layers, Program, profile, run


def random_program(rng: random.Random, count: int) -> Program:
    """Return a graph of element-wise layers, concatenations and others; the same tensors are often read again."""
    sizes = {f"in{n}": rng.choice((2, 4)) for n in range(rng.randint(1, 2))}
    layers: Layers = {}
    elementwise, concats = set(), set()
    for number in range(count):
        name, output = f"l{number}", f"t{number}"
        readable = list(sizes)[-rng.choice((2, 4, 99)) :]
        reads = tuple(rng.choices(readable, k=rng.randint(1, 3)))
        kind = rng.choice(("elementwise", "concat", "other"))
        if kind == "elementwise":
            elementwise.add(name)
            sizes[output] = sizes[reads[0]]
        elif kind == "concat" and sum(sizes[tensor] for tensor in reads) < 40:
            concats.add(name)
            sizes[output] = sum(sizes[tensor] for tensor in reads)
        else:
            sizes[output] = rng.choice((0, 2, 4, 6))
        layers[name] = reads, (output,)
    outputs = frozenset(sizes) - {tensor for reads, _ in layers.values() for tensor in reads}
    return Program(layers, sizes, LayerRoles(frozenset(elementwise), frozenset(concats), outputs))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    return random_program(random.Random(draw(st.integers(0, 2**32))), draw(st.integers(1, 14)))


@given(programs(), st.sampled_from(ALL_RULES), st.sampled_from((1, 2, 4)))
@settings(max_examples=300, deadline=None)
def test_programs_run_in_their_arenas(program: Program, rules: ArenaRules, alignment: int) -> None:
    graph = shared_graph(program.layers, program.sizes, program.roles, rules, alignment=alignment)
    plan = plan_shared(graph, alignment)
    assert plan.lower_bound <= plan.bytes
    assert all(p.offset % alignment == 0 and p.offset + p.bytes <= plan.bytes for p in plan.placements)
    produced = {tensor for _, writes in program.layers.values() for tensor in writes}
    provided = (set() if rules.counts_inputs else program.sizes.keys() - produced) | (
        set() if rules.counts_outputs else program.roles.outputs & produced
    )
    assert plan.offsets.keys() == program.sizes.keys() - provided
    run(program, plan.layers, plan.offsets)


@given(programs(), st.sampled_from(ALL_RULES), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_sharing_is_right_in_every_order_that_the_plain_graph_allows(
    program: Program, rules: ArenaRules, rng: random.Random
) -> None:
    graph = shared_graph(program.layers, program.sizes, program.roles, rules)
    layers, sizes = graph.plain()
    order = random_order(rng, layers)
    base = {home: 1000 * number for number, home in enumerate(program.sizes)}  # no two memories touch
    run(program, order, {tensor: base[home.tensor] + home.offset for tensor, home in graph.homes.items()})
    # In memory is what the reserved pieces say.
    pieces = plan_shared(graph).reserved()
    expected = [
        sum(piece.bytes for piece in pieces if piece.born <= step <= piece.last)
        for step in range(1, len(program.layers) + 1)
    ]
    assert list(lifetimes(layers, sizes, "sequential").profile) == expected


@given(programs(), st.lists(st.booleans(), max_size=3), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_rewrites_may_follow_one_another_in_any_way(program: Program, kinds: list[bool], rng: random.Random) -> None:
    graph = unshared(program.layers, program.sizes)
    for is_concat in kinds:
        if is_concat:
            graph = with_direct_concats(graph, program.roles.concats)
        else:
            graph = with_in_place(graph, program.roles.elementwise)
    plan = plan_shared(graph)
    run(program, plan.layers, plan.offsets)
    order = random_order(rng, graph.plain()[0])
    base = {home: 1000 * number for number, home in enumerate(program.sizes)}
    run(program, order, {tensor: base[home.tensor] + home.offset for tensor, home in graph.homes.items()})


def random_order(rng: random.Random, layers: Mapping[str, tuple[Sequence[str], Sequence[str]]]) -> list[str]:
    producer = {tensor: layer for layer, (_, writes) in layers.items() for tensor in writes}
    order: list[str] = []
    while len(order) < len(layers):
        left = layers.keys() - order
        order.append(rng.choice(sorted(n for n in left if all(producer.get(t) not in left for t in layers[n][0]))))
    return order


@given(programs())
def test_in_place_never_raises_the_peak(program: Program) -> None:
    alone = unshared(program.layers, program.sizes)
    shared = with_in_place(alone, program.roles.elementwise)
    assert all(less <= more for less, more in zip(profile(shared), profile(alone), strict=True))


@given(programs())
def test_without_rules_every_tensor_is_alone(program: Program) -> None:
    graph = shared_graph(program.layers, program.sizes, program.roles, ALONE)
    assert graph.homes == {tensor: Home(tensor, 0) for tensor in program.sizes}
    assert graph.plain() == (program.layers, program.sizes)
    assert plan_shared(graph) == plan_arena(program.layers, program.sizes)


def test_random_programs_share_memory() -> None:
    # Else the tests above would show nothing.
    rng, in_place, parts, lower = random.Random(1), 0, 0, 0
    for _ in range(50):
        program = random_program(rng, 14)
        rules = replace(ALONE, in_place=True, direct_concats=True)
        graph = shared_graph(program.layers, program.sizes, program.roles, rules)
        in_place += len(graph.overwritten)
        parts += len(graph.part_of)
        lower += plan_shared(graph).bytes < plan_arena(program.layers, program.sizes).bytes
    assert in_place > 50
    assert parts > 50
    assert lower > 20
