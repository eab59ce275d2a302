"""What a network in integers refuses: numbers that its layers cannot compute with."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from memnas_core.errors import GraphError
from memnas_core.firmware.quantised import Factor, Numbers, QuantisedNetwork, SumNumbers, WeightedNumbers
from memnas_core.space.layers import LayerKind, Shape
from tests.core.export.conftest import EVERY_LAYER
from tests.core.firmware.made_up import made_up_network

NETWORK = made_up_network(EVERY_LAYER, Shape(3, 8, 8), 5, seed=0)
SUM = next(layer.name for layer in NETWORK.graph.layers if layer.kind is LayerKind.SUM)


def changed(name: str, numbers: Numbers) -> QuantisedNetwork:
    return replace(NETWORK, numbers={**NETWORK.numbers, name: numbers})


def weighted(change: Callable[[WeightedNumbers], WeightedNumbers]) -> Callable[[], QuantisedNetwork]:
    return lambda: changed("stem", change(NETWORK.weighted(NETWORK.graph.layers[0])))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (weighted(lambda w: replace(w, weights=w.weights[:, :2])), r"stem.*weights of shape \(8, 3, 3, 3\), found"),
        (weighted(lambda w: replace(w, biases=w.biases[1:])), r"stem.*expected 8 biases, found an array of \(7,\)"),
        (weighted(lambda w: replace(w, shifts=w.shifts * 0 - 32)), "stem.*expected a shift from -31 to 30, found -32"),
        (weighted(lambda w: replace(w, biases=w.biases * 0 + (2**31 - 1))), "stem.*expected sums of 32 bits"),
        (weighted(lambda w: replace(w, shifts=w.shifts * 0 + 30)), "stem.*expected sums of 32 bits"),
        (
            lambda: changed("stem", NETWORK.numbers[SUM]),
            "stem.*expected the numbers of a convolution, found SumNumbers",
        ),
        (lambda: changed(SUM, NETWORK.numbers["stem"]), "expected the numbers of a sum, found WeightedNumbers"),
        (
            lambda: changed(SUM, SumNumbers((0, 0), (Factor(1, 31), Factor(1, 0)), 0, Factor(1, 0), -128)),
            "expected a shift from -31 to 30, found 31",
        ),
    ],
)
def test_numbers_that_do_not_fit(make: Callable[[], QuantisedNetwork], said: str) -> None:
    with pytest.raises(GraphError, match=said):
        make()


def test_groups_other_than_one_a_channel() -> None:
    stem, *rest = NETWORK.graph.layers
    graph = replace(NETWORK.graph, layers=(stem._replace(in_channels=4, groups=2), *rest))
    with pytest.raises(GraphError, match="expected one group, or one a channel and as many outputs, found 2 groups"):
        replace(NETWORK, graph=graph)


def test_what_integers_stand_for() -> None:
    """A score of 5 with zero 7 and scale 0.125 is -0.25; and back."""
    integers = np.array([[-128, 5, 127]], dtype=np.int8)
    real = NETWORK.scores.real(integers)
    np.testing.assert_array_equal(real, [[-16.875, -0.25, 15.0]])
    np.testing.assert_array_equal(NETWORK.scores.integers(real), integers)
