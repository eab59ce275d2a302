"""The improved SCC: a fixed linear term in the size of a network, and a random forest for the residual.

    symbol  here                                                               shape
    p_i     logarithm of candidate i's weights, standardised over the examples scalar
    x_i     features of candidate i's structure                                (features,)
    y_i     standardised target of example i                                   scalar
    y_i^p   PRIOR p_i + F(x_i), F a random forest fitted to y_i - PRIOR p_i    scalar

It is known before any training that larger networks are usually more accurate. The linear term holds from the first
example on, and extrapolates beyond the largest example, which a forest cannot. The forest learns the rest from features
of each block and of the whole network (operations, path lengths, weights, multiplications, peaks), and from counts of
each layer in each place. If an example has blocks with their own numbers of filters, these are features too. Nothing
depends on the order of cells, branches or candidates.

To the forest, structures are correlated if its trees put them into the same leaves; a prediction is a mean over such
examples. This is the paper's idea of correlation between structures without its recurrent networks.

Source: replaces the GRUs of section 3.3. docs/controller.md tells what is shown of it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestRegressor

from memnas_core.controller.examples import Example, in_order, targets_of
from memnas_core.controller.features import optional_columns, place_counts, whole_features, width_features
from memnas_core.errors import ArchitectureError
from memnas_core.memory.figures import measure_peaks
from memnas_core.settings.schema import ControllerSettings
from memnas_core.space.architecture import Architecture
from memnas_core.space.layers import Shape
from memnas_core.space.operations import OPERATIONS, Operation

PRIOR = 0.6
"""Slope of the linear term: standard deviations of the target per standard deviation of the logarithm of weights. On
Table 3's candidates 0.5 and 0.7 rank as well and 0 ranks worse, especially with few examples."""

TREES = 200
LEAST_LEAF = 3
"""Smallest number of examples in a leaf; single examples are noisy."""

FEATURE_SHARE = 0.3
"""Share of the features that each split chooses from."""

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ForestModel:
    """A trained model of the improved SCC.

    Attributes:
        blocks: Number of blocks of every architecture.
        widths: Whether the filters of each block are among the features.
        unknown: Optional operations that no example has, and no feature counts.
        forest: Random forest for the residual of the linear term.
        mean_size: Mean logarithm of the examples' weights.
        size_scale: Standard deviation of that logarithm; 1 if all are equal.
        centre: Target that is standardised to 0.
        spread: Target difference that is standardised to 1.
    """

    blocks: int
    widths: bool
    unknown: frozenset[Operation]
    forest: RandomForestRegressor
    mean_size: float
    size_scale: float
    centre: float
    spread: float

    @classmethod
    def train(cls, settings: ControllerSettings, examples: Sequence[Example], seed: int) -> Self:  # noqa: ARG003
        """Learn from examples; their order does not matter.

        Args:
            settings: The `controller` section, whose sizes this version does not use.
            examples: One or more trained architectures.
            seed: Seed of the forest.

        Raises:
            InputError: There is no example, or a target is not finite.
            ArchitectureError: The architectures' numbers of blocks differ.
        """
        ordered = in_order(examples)
        targets = targets_of(ordered)
        blocks = len(ordered[0].architecture.blocks)
        widths = any(set(example.architecture.widths) != {example.architecture.filters} for example in ordered)
        used = set().union(*(example.architecture.operations for example in ordered))
        unknown = frozenset(operation for operation in OPERATIONS if operation.is_optional and operation not in used)
        sizes, features = _known([example.architecture for example in ordered], blocks, widths, unknown)
        mean_size, size_scale = float(sizes.mean()), float(sizes.std()) or 1.0
        rest = targets.standardised - PRIOR * (sizes - mean_size) / size_scale
        forest = RandomForestRegressor(
            TREES, min_samples_leaf=LEAST_LEAF, max_features=FEATURE_SHARE, random_state=seed
        ).fit(features, rest)
        return cls(blocks, widths, unknown, forest, mean_size, size_scale, targets.centre, targets.spread)

    def predict(self, architectures: Sequence[Architecture]) -> _Array:
        """Return the predicted target of each architecture in the targets' unit, shape (n,).

        Raises:
            ArchitectureError: An architecture has another number of blocks than the examples.
        """
        if not architectures:
            return np.empty(0)
        sizes, features = _known(architectures, self.blocks, self.widths, self.unknown)
        line = PRIOR * (sizes - self.mean_size) / self.size_scale
        return np.asarray(self.centre + self.spread * (line + self.forest.predict(features)))


def _known(
    architectures: Sequence[Architecture], blocks: int, widths: bool, unknown: Collection[Operation]
) -> tuple[_Array, _Array]:
    """Return the logarithm of the weights of n architectures, shape (n,), and their features, shape (n, features)."""
    for architecture in architectures:
        if len(architecture.blocks) != blocks:
            raise ArchitectureError(
                f"{architecture.arch_id}: expected {blocks} blocks, found {len(architecture.blocks)}"
            )
    sizes, rows = zip(*map(_features, architectures), strict=True)
    counts = optional_columns(blocks)
    features = np.delete(np.stack(rows), [column for operation in unknown for column in counts[operation]], axis=1)
    if widths:
        features = np.hstack([features, np.stack([width_features(architecture) for architecture in architectures])])
    return np.array(sizes), features


@lru_cache(maxsize=1 << 15)  # most candidates around a front come up in the next round too
def _features(architecture: Architecture) -> tuple[float, _Array]:
    # The smallest image that the strides can halve is enough: only differences in size count.
    side = architecture.reduction
    memory = measure_peaks(architecture, Shape(1, side, side), 1)
    places = place_counts(architecture)
    features = np.concatenate([whole_features(architecture, memory), places.ravel(), places.sum(axis=0)])
    return float(np.log(memory.param_bytes)), features
