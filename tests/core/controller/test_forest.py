"""The improved SCC on made-up accuracies: it learns, it starts from size alone, and nothing else matters."""

import random
from dataclasses import replace

import numpy as np
import pytest

from memnas_core.controller.examples import Example
from memnas_core.controller.forest import PRIOR, ForestModel
from memnas_core.controller.interface import Controller
from memnas_core.controller.rank_metrics import kendall_tau
from memnas_core.errors import ArchitectureError, InputError
from memnas_core.settings.schema import ControllerSettings
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape
from memnas_core.space.lineages import draw_growth
from memnas_core.space.moves import seed_architecture
from tests.core.random_architectures import random_walk, shuffled

SETTINGS = ControllerSettings("improved", "accuracy", embedding_size=4, hidden_size=4, epochs=1, learning_rate=0.01)


def accuracy(architecture: Architecture) -> float:
    operations = [branch.operation for block in architecture.blocks for cell in block.cells for branch in cell.branches]
    good = sum(operation in (ops.DEPTHWISE_5X5, ops.DILATED_3X3) for operation in operations)
    bad = operations.count(ops.AVERAGE_POOL_3X3)
    return float(0.9 - 0.1 * np.exp(-(good - bad) / 6))


def walks(count: int, seed: int) -> list[Architecture]:
    rng = random.Random(seed)
    found: dict[str, Architecture] = {}
    while len(found) < count:
        architecture = random_walk(rng, rng.randint(1, 9))
        found[architecture.arch_id] = architecture
    return list(found.values())


ARCHITECTURES = walks(160, seed=1)
TRUE = np.array([accuracy(architecture) for architecture in ARCHITECTURES])
NOISY = TRUE + np.random.default_rng(0).normal(0, 0.004, len(TRUE))
WEIGHTS = np.array([sum(layer.weights for layer in lower(a, Shape(1, 8, 8), 1).layers) for a in ARCHITECTURES])


def examples(count: int) -> list[Example]:
    return [Example(a, float(t)) for a, t in zip(ARCHITECTURES[:count], NOISY[:count], strict=True)]


def test_it_sees_widths_once_an_example_has_some() -> None:
    """Accuracies that rise with the filters of the first block and fall with those of the second."""
    base, rng = ARCHITECTURES[3], random.Random(4)

    def drawn() -> tuple[Architecture, float]:
        first, second = rng.choice((4, 8, 12)), rng.choice((4, 8, 12))
        one, two, *rest = random_walk(rng, 4).blocks
        blocks = replace(one, filters=first), replace(two, filters=second), *rest
        return Architecture(blocks, base.filters), 0.5 + 0.01 * (first - second)

    known, asked = [drawn() for _ in range(80)], [drawn() for _ in range(80)]
    model = ForestModel.train(SETTINGS, [Example(*one) for one in known], 0)
    assert model.widths
    true = np.array([accuracy for _, accuracy in asked])
    assert kendall_tau(true, model.predict([architecture for architecture, _ in asked])) > 0.6
    assert not ForestModel.train(SETTINGS, examples(8), 0).widths
    assert len(ForestModel.train(SETTINGS, examples(8), 0).predict([asked[0][0]])) == 1


def test_it_learns_what_size_does_not_tell() -> None:
    tau = {
        n: kendall_tau(TRUE[80:], ForestModel.train(SETTINGS, examples(n), 0).predict(ARCHITECTURES[80:]))
        for n in (8, 80)
    }
    assert tau[80] > tau[8] + 0.1
    assert tau[80] > kendall_tau(TRUE[80:], WEIGHTS[80:]) + 0.1
    assert tau[80] > 0.6


def test_targets_that_mean_nothing_teach_nothing() -> None:
    taus = []
    for seed in range(4):
        targets = np.random.default_rng(seed).permutation(NOISY[:80])
        misled = ForestModel.train(
            SETTINGS, [Example(a, float(t)) for a, t in zip(ARCHITECTURES, targets, strict=False)], 0
        )
        taus.append(kendall_tau(TRUE[80:], misled.predict(ARCHITECTURES[80:])))
    learned = kendall_tau(TRUE[80:], ForestModel.train(SETTINGS, examples(80), 0).predict(ARCHITECTURES[80:]))
    assert np.mean(taus) < learned - 0.3


def test_two_examples_give_the_line_by_hand() -> None:
    """Two examples are too few for a split: the forest is their mean, and the line alone tells networks apart."""
    model = ForestModel.train(SETTINGS, examples(2), seed=0)
    sizes = np.log(WEIGHTS)
    mean, scale = sizes[:2].mean(), sizes[:2].std()
    # Median and 1.4826 median absolute deviations of two targets; standardised they are -1/1.4826 and 1/1.4826.
    spread = 1.4826 * abs(NOISY[0] - NOISY[1]) / 2
    predicted = model.predict(ARCHITECTURES)
    line = NOISY[:2].mean() + spread * PRIOR * (sizes - mean) / scale
    # The forest draws its examples with replacement, so that its mean is not exactly 0.
    np.testing.assert_allclose(predicted - predicted.mean(), line - line.mean(), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(predicted, line, atol=0.2 * spread)


def test_larger_than_all_examples_is_better_than_all() -> None:
    """In round after round of growth candidates are larger than whatever was trained; predictions must go on."""
    grown = [draw_growth(ARCHITECTURES[0], cells, seed=0) for cells in range(1, 9)]
    model = ForestModel.train(
        SETTINGS, [Example(a, 0.5 + 0.05 * np.log(w)) for a, w in zip(ARCHITECTURES[:40], WEIGHTS[:40], strict=True)], 0
    )
    assert kendall_tau(np.array([_weights(a) for a in grown]), model.predict(grown)) > 0.7


def _weights(architecture: Architecture) -> int:
    return sum(layer.weights for layer in lower(architecture, Shape(1, 8, 8), 1).layers)


def test_isomorphic_networks_and_orders_do_not_matter() -> None:
    model = ForestModel.train(SETTINGS, examples(40), seed=0)
    rng = random.Random(0)
    others = [shuffled(rng, architecture) for architecture in ARCHITECTURES[40:60]]
    assert any(other != architecture for other, architecture in zip(others, ARCHITECTURES[40:60], strict=True))
    np.testing.assert_allclose(model.predict(others), model.predict(ARCHITECTURES[40:60]), rtol=1e-9)
    backwards = ForestModel.train(SETTINGS, examples(40)[::-1], seed=0)
    np.testing.assert_array_equal(backwards.predict(ARCHITECTURES[40:60]), model.predict(ARCHITECTURES[40:60]))
    assert (
        ForestModel.train(SETTINGS, examples(40), seed=1).predict(ARCHITECTURES) != model.predict(ARCHITECTURES)
    ).any()


def test_few_and_equal_examples() -> None:
    np.testing.assert_allclose(ForestModel.train(SETTINGS, examples(1), 0).predict(ARCHITECTURES[:5]), NOISY[0])
    equal = [Example(architecture, 0.7) for architecture in ARCHITECTURES[:6]]
    np.testing.assert_allclose(ForestModel.train(SETTINGS, equal, 0).predict(ARCHITECTURES[:9]), 0.7)
    assert ForestModel.train(SETTINGS, examples(3), 0).predict([]).shape == (0,)


def test_what_cannot_be_learned_from_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        ForestModel.train(SETTINGS, [], 0)
    other = seed_architecture((1, 2), 4)
    with pytest.raises(ArchitectureError, match="expected 3 blocks, found 2"):
        ForestModel.train(SETTINGS, examples(3), 0).predict([other])


def test_the_settings_choose_the_version() -> None:
    improved = Controller.train(SETTINGS, examples(20), seed=5)
    np.testing.assert_array_equal(
        improved.predict(ARCHITECTURES), ForestModel.train(SETTINGS, examples(20), 5).predict(ARCHITECTURES)
    )
    paper = Controller.train(replace(SETTINGS, version="paper"), examples(20), seed=5)
    assert not isinstance(paper.model, ForestModel)
