"""The improved SCC: a straight line over the size of a network, and a random forest for what the line leaves.

    symbol  here                                                               shape
    p_i     logarithm of candidate i's weights, standardised over the examples scalar
    x_i     facts and places of candidate i's structure                        (features,)
    y_i     standardised target of example i                                   scalar
    y_i^p   PRIOR p_i + F(x_i), F a random forest fitted to y_i - PRIOR p_i    scalar

That a larger network is usually more accurate is known before anything is trained. The line says so from the first
example on, and goes on beyond the largest example, where a forest cannot. What else structure tells the forest learns
from what is known of each block and of all together (operations, path lengths, weights, multiplications, peaks), and
from how often each layer stands in each place. No order of cells, branches or candidates enters.

Two structures are related to the forest if its trees put them into the same leaves, and a prediction is a mean over
related examples, which is the paper's idea of correlation between structures without its recurrent networks.

Source: stands in for the GRUs of section 3.3. docs/controller.md tells what else was tried and what each idea brought.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestRegressor

from memnas_core.architecture import Architecture
from memnas_core.errors import ArchitectureError
from memnas_core.examples import Example, in_order, targets_of
from memnas_core.facts import place_counts, whole_facts
from memnas_core.graph import Shape
from memnas_core.measure import measure_peaks

PRIOR = 0.6
"""Standard deviations of the target that one of the logarithm of weights is worth before anything is learned. On Table
3's candidates 0.5 and 0.7 rank as well and 0 ranks worse, the more so the fewer the examples."""

TREES = 200
LEAST_LEAF = 3
"""Examples in a leaf; single ones are noisy."""

FEATURE_SHARE = 0.3
"""Features that a split chooses from."""

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ForestModel:
    """What was learned from examples.

    Attributes:
        blocks: Number of blocks of every architecture.
        forest: For what the line leaves.
        mean_size: Of the logarithm of the examples' weights.
        size_scale: Its standard deviation; 1 where all are equal.
        centre: Target that 0 stands for.
        spread: Target units of 1.
    """

    blocks: int
    forest: RandomForestRegressor
    mean_size: float
    size_scale: float
    centre: float
    spread: float

    @classmethod
    def train(cls, examples: Sequence[Example], seed: int) -> Self:
        """Learn from examples; their order does not matter.

        Args:
            examples: At least one.
            seed: Of the forest.

        Raises:
            InputError: There is no example, or a target is not finite.
            ArchitectureError: The architectures' numbers of blocks differ.
        """
        ordered = in_order(examples)
        targets = targets_of(ordered)
        blocks = len(ordered[0].architecture.blocks)
        sizes, features = _known([example.architecture for example in ordered], blocks)
        mean_size, size_scale = float(sizes.mean()), float(sizes.std()) or 1.0
        rest = targets.standardised - PRIOR * (sizes - mean_size) / size_scale
        forest = RandomForestRegressor(
            TREES, min_samples_leaf=LEAST_LEAF, max_features=FEATURE_SHARE, random_state=seed
        ).fit(features, rest)
        return cls(blocks, forest, mean_size, size_scale, targets.centre, targets.spread)

    def predict(self, architectures: Sequence[Architecture]) -> _Array:
        """Return the predicted target of each architecture in the targets' unit, shape (n,).

        Raises:
            ArchitectureError: An architecture has another number of blocks than the examples.
        """
        if not architectures:
            return np.empty(0)
        sizes, features = _known(architectures, self.blocks)
        line = PRIOR * (sizes - self.mean_size) / self.size_scale
        return np.asarray(self.centre + self.spread * (line + self.forest.predict(features)))


def _known(architectures: Sequence[Architecture], blocks: int) -> tuple[_Array, _Array]:
    """Return the logarithm of the weights of n architectures, shape (n,), and their features, shape (n, features)."""
    for architecture in architectures:
        if len(architecture.blocks) != blocks:
            raise ArchitectureError(
                f"{architecture.arch_id}: expected {blocks} blocks, found {len(architecture.blocks)}"
            )
    sizes, rows = zip(*map(_features, architectures), strict=True)
    return np.array(sizes), np.stack(rows)


@lru_cache(maxsize=1 << 15)  # most candidates around a front are there in the next round too
def _features(architecture: Architecture) -> tuple[float, _Array]:
    # At the smallest image that the strides can halve: only how sizes differ counts.
    side = architecture.reduction
    memory = measure_peaks(architecture, Shape(1, side, side), 1)
    places = place_counts(architecture)
    features = np.concatenate([whole_facts(architecture, memory), places.ravel(), places.sum(axis=0)])
    return float(np.log(memory.param_bytes)), features
