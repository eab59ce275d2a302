"""The peers of the search benchmark, on a function in place of a trainer."""

import random
from itertools import pairwise

import numpy as np
import pytest
from syne_tune.optimizer.schedulers.multiobjective.non_dominated_priority import nondominated_sort

from benchmarks.search_methods import evolution, moasha
from benchmarks.search_methods.box import Box
from benchmarks.search_methods.encoding import decode, encode, parameters
from benchmarks.search_methods.evolution import Member, crowding, domination_ranks, tournament
from benchmarks.search_methods.interface import Figures, Rungs, SpentError
from benchmarks.search_methods.space import Space, first_population, random_child, random_lineage
from benchmarks.search_methods.tally import Tally
from benchmarks.search_runs import PEERS
from memnas_core.architecture import Architecture, Operation, canonical
from memnas_core.graph import Shape
from memnas_core.grow_trim import seed_architecture
from memnas_core.measure import MemoryFigures, measure

STRIDES, FILTERS = (1, 2, 1), 4
BOX = Box(accuracy_floor=0.5, smallest_bytes=2_000, largest_bytes=24_000)


def total_bytes(network: Architecture) -> int:
    memory = measure(network, Shape(1, 8, 8), 10, 4, 4)
    return memory.param_bytes + memory.activation_bytes("arena")


@pytest.fixture
def space() -> Space:
    pairs = ((Operation.CONV_3X3, Operation.CONV_3X3), (Operation.DEPTHWISE_3X3, Operation.AVERAGE_POOL_3X3))
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
    ids = asked("evolution", space, seed=0, trainings=evolution.POPULATION + 15)
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
    names = dict(parameters(len(STRIDES), space.max_cells))
    for _ in range(100):
        network = random_lineage(space, rng)
        values = encode(network)
        assert all(value in names[name] for name, value in values.items())
        padded = {name: values.get(name, choices[0]) for name, choices in names.items()}
        assert canonical(decode(padded, STRIDES, FILTERS)) == canonical(network)


def test_any_parameters_are_an_architecture(space: Space) -> None:
    rng = random.Random(2)
    names = dict(parameters(len(STRIDES), space.max_cells))
    for _ in range(200):
        network = decode({name: rng.choice(choices) for name, choices in names.items()}, STRIDES, FILTERS)
        assert network.arch_id  # a block checks itself when it is made
        assert total_bytes(network) > 0


def test_moasha_stops_most_and_trains_some_fully(space: Space) -> None:
    trainer = FakeTrainer(60)
    with pytest.raises(SpentError):
        PEERS["moasha"](space, trainer, 0)
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


def test_rows_rise_in_images_and_hypervolume() -> None:
    tally = Tally("digits", "random", 0, BOX)
    rng = random.Random(0)
    networks = []
    for number in range(40):
        accuracy, size = rng.uniform(0.4, 1), rng.randint(2_000, 30_000)
        networks.append((accuracy, size))
        memory = MemoryFigures(size - 500, 0, 0, 0, 500)
        tally.add(f"n{number}", accuracy if number % 7 else None, memory, images=rng.randint(1, 100), seconds=0.1)
    assert all(before.images < after.images for before, after in pairwise(tally.rows))
    assert all(before.hypervolume <= after.hypervolume for before, after in pairwise(tally.rows))
    trained = [network for number, network in enumerate(networks) if number % 7]
    assert tally.rows[-1].hypervolume == pytest.approx(BOX.hypervolume(trained))
    assert all(row.total_bytes == row.param_bytes + row.activation_bytes for row in tally.rows)
