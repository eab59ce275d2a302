"""The peers of the search benchmark, on a function in place of a trainer."""

import random

import numpy as np
import pytest
import torch
from syne_tune.optimizer.schedulers.multiobjective.non_dominated_priority import nondominated_sort

from benchmarks.search.methods import dvolver, evolution, moasha, monas
from benchmarks.search.methods.box import Box
from benchmarks.search.methods.encoding import decode, encode, parameters
from benchmarks.search.methods.evolution import Member, crowding, domination_ranks, tournament
from benchmarks.search.methods.interface import Figures, Rungs, SpentError
from benchmarks.search.methods.space import Space, first_population, random_child, random_lineage
from benchmarks.search.methods.tally import Tally
from benchmarks.search.runs import PEERS
from memnas_core.memory.figures import MemoryFigures, measure
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, canonical
from memnas_core.space.layers import Shape, Workload
from memnas_core.space.moves import seed_architecture

STRIDES, FILTERS = (1, 2, 1), 4
BOX = Box(accuracy_floor=0.5, smallest_bytes=2_000, largest_bytes=24_000)


def total_bytes(network: Architecture) -> int:
    memory = measure(network, Workload(Shape(1, 8, 8), 10, 4, 4))
    return memory.param_bytes + memory.activation_bytes("arena")


@pytest.fixture
def space() -> Space:
    pairs = ((ops.CONV_3X3, ops.CONV_3X3), (ops.DEPTHWISE_3X3, ops.AVERAGE_POOL_3X3))
    return Space(tuple(seed_architecture(STRIDES, FILTERS, pair) for pair in pairs), 3, total_bytes, BOX)


class FakeTrainer:
    """Accuracies that follow from the id; so many trainings, and the networks that it was asked for."""

    def __init__(self, trainings: int) -> None:
        self.asked: list[Architecture] = []
        self.ended_at: list[int | None] = []
        self._left = trainings

    def __call__(self, architecture: Architecture, rungs: Rungs | None = None) -> Figures:
        if not self._left:
            raise SpentError
        self._left -= 1
        self.asked.append(architecture)
        self.ended_at.append(None)
        figures = Figures(random.Random(architecture.arch_id).uniform(0.3, 1), total_bytes(architecture))
        for rung in range(len(rungs.shares) if rungs else 0):
            assert rungs is not None
            if not rungs.goes_on(rung, figures):
                self.ended_at[-1] = rung
                break
        return figures


def asked(method: str, space: Space, seed: int, trainings: int = 30) -> list[str]:
    trainer = FakeTrainer(trainings)
    with pytest.raises(SpentError):
        PEERS[method](space, trainer, seed)
    assert all(space.has(network) for network in trainer.asked)
    return [network.arch_id for network in trainer.asked]


@pytest.mark.parametrize("method", PEERS)
def test_proposes_networks_of_the_space_each_once(method: str, space: Space) -> None:
    ids = asked(method, space, seed=0)
    assert len(set(ids)) == len(ids) == 30
    assert ids[:2] == [network.arch_id for network in space.seeds]


@pytest.mark.parametrize("method", PEERS)
def test_seed_decides_everything(method: str, space: Space) -> None:
    first = asked(method, space, seed=3, trainings=20)
    assert asked(method, space, seed=3, trainings=20) == first
    assert asked(method, space, seed=4, trainings=20) != first


def test_a_child_is_one_move_away_and_in_the_space(space: Space) -> None:
    rng = random.Random(0)
    network = space.seeds[0]
    for _ in range(50):
        child = random_child(space, network, rng)
        assert space.has(child)
        assert child.arch_id != network.arch_id
        network = child


def test_first_population_has_the_seeds_and_no_network_twice(space: Space) -> None:
    found = first_population(space, 12, random.Random(0))
    assert len({network.arch_id for network in found}) == 12
    assert tuple(found[:2]) == space.seeds


def test_evolution_removes_the_oldest(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    populations: list[list[str]] = []
    real = evolution.tournament

    def spying(population: list[Member], rng: random.Random) -> Member:
        populations.append([member.architecture.arch_id for member in population])
        return real(population, rng)

    monkeypatch.setattr(evolution, "tournament", spying)
    ids = asked("regularised evolution", space, seed=0, trainings=evolution.POPULATION + 15)
    # Whatever it is worth: the population is always the last ten that were trained.
    assert populations[:15] == [ids[end - evolution.POPULATION : end] for end in range(evolution.POPULATION, len(ids))]


def test_tournament_prefers_rank_then_distance_and_puts_useless_networks_last(space: Space) -> None:
    network = space.seeds[0]
    # The last is the smallest, hence on the front, but below the accuracy floor.
    losses = [(0.2, 0.8), (0.3, 0.7), (0.8, 0.2), (0.9, 0.9), (1.1, 0.1)]
    population = [Member(network, place) for place in losses]
    wins = {tournament(population, random.Random(seed)).losses for seed in range(200)}
    # Four of five take part, so that one of the front's two ends always does.
    assert wins == {(0.2, 0.8), (0.8, 0.2)}


def test_domination_ranks_and_crowding() -> None:
    #   0.8 | a . e        a, b, c are the first front, d and e the second
    #   0.5 | . b d
    #   0.2 | . . . c
    a, b, c, d, e = (0.2, 0.8), (0.3, 0.5), (0.9, 0.2), (0.5, 0.5), (0.4, 0.8)
    assert domination_ranks([a, b, c, d, e]) == [0, 0, 0, 1, 1]
    distances = crowding([a, b, c, d, e])
    assert distances[:3] == [float("inf"), pytest.approx(2.0), float("inf")]  # b: both neighbours are the ends


def test_encoding_goes_both_ways(space: Space) -> None:
    rng = random.Random(1)
    names = dict(parameters(len(STRIDES), space.max_cells, space.filters))
    for _ in range(100):
        network = random_lineage(space, rng)
        values = encode(network)
        assert all(value in names[name] for name, value in values.items())
        padded = {name: values.get(name, choices[0]) for name, choices in names.items()}
        assert canonical(decode(padded, space.seeds[0])) == canonical(network)


def test_any_parameters_are_an_architecture(space: Space) -> None:
    rng = random.Random(2)
    names = dict(parameters(len(STRIDES), space.max_cells, space.filters))
    for _ in range(200):
        network = decode({name: rng.choice(choices) for name, choices in names.items()}, space.seeds[0])
        assert network.arch_id  # a block checks itself when it is made
        assert total_bytes(network) > 0


def test_moasha_stops_most_and_trains_some_fully(space: Space) -> None:
    trainer = FakeTrainer(60)
    with pytest.raises(SpentError):
        PEERS["MOASHA (Syne Tune)"](space, trainer, 0)
    stopped_early, stopped_later, full = (trainer.ended_at.count(end) for end in (0, 1, None))
    assert stopped_early > 30
    assert stopped_later > 0
    assert full > 0


def test_moasha_ranks_the_newest_network_rightly() -> None:
    losses = np.array([[0.6, 0.6], [0.9, 0.9], [0.1, 0.1]])
    assert moasha.RankPriority()(losses).tolist() == [1, 2, 0]
    # What Syne Tune 0.16.0 takes for ranks: the places in sorted order. Should this fail, its own order may do.
    assert nondominated_sort(losses, dim=0) == [2, 0, 1]


def brute_force(box: Box, networks: list[tuple[float, int]], steps: int = 400) -> float:
    """Count the cells of a grid over the box that a network dominates."""
    middles = (np.arange(steps) + 0.5) / steps
    loss, memory = np.meshgrid(middles, middles)
    covered = np.zeros_like(loss, dtype=bool)
    for accuracy, size in networks:
        x = (1 - accuracy) / (1 - box.accuracy_floor)
        y = np.log(size / box.smallest_bytes) / np.log(box.largest_bytes / box.smallest_bytes)
        covered |= (loss >= x) & (memory >= y)
    return float(covered.mean())


def test_hypervolume_is_what_counting_gives() -> None:
    rng = random.Random(0)
    for count in (1, 2, 5, 30):
        networks = [(rng.uniform(0.3, 1), rng.randint(2_000, 40_000)) for _ in range(count)]
        assert BOX.hypervolume(networks) == pytest.approx(brute_force(BOX, networks), abs=0.01)


def test_hypervolume_of_known_networks() -> None:
    # Half of the accuracies and, on the log scale, half of the sizes: a quarter of the box.
    middle = round((BOX.smallest_bytes * BOX.largest_bytes) ** 0.5)
    assert BOX.hypervolume([(0.75, middle)]) == pytest.approx(0.25, abs=1e-4)
    assert BOX.hypervolume([(1.0, BOX.smallest_bytes)]) == pytest.approx(1)
    assert BOX.hypervolume([]) == 0
    assert BOX.hypervolume([(0.5, 2_000), (0.99, 24_000), (0.4, 1_000)]) == 0  # outside, or at its edge


def test_a_tally_keeps_what_each_network_reached_last(space: Space) -> None:
    first, second = space.seeds
    memory = MemoryFigures(10, 0, 0, 0, 500)
    tally = Tally()
    tally.add(first, 0.5, memory, 100, "a")
    tally.add(second, None, memory, 30, None)  # diverged
    tally.add(first, 0.4, memory, 200, "b")
    assert (tally.images, tally.trainings) == (330, 3)
    assert [(one.accuracy, one.key) for one in tally.networks.values()] == [(0.4, "b")]


def test_a_crossed_network_has_each_block_of_either_parent(space: Space) -> None:
    first, second = space.seeds
    for seed in range(20):
        child = dvolver.crossed(space, first, second, random.Random(seed))
        assert all(block in pair for block, *pair in zip(child.blocks, first.blocks, second.blocks, strict=True))


def test_a_policy_that_is_rewarded_for_one_value_learns_to_write_it() -> None:
    policy = monas.Policy([2, 3], seed=0)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.05)
    for _ in range(150):
        values, log_probability = policy.write()
        loss = -(float(values == [1, 2]) - 0.5) * log_probability
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert [policy.write()[0] for _ in range(20)].count([1, 2]) > 15
