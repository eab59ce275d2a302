"""The box in which hypervolume is measured, equal for all methods of a data set.

======  ===================================================  ============================================
axis    0 (best)                                             1 (the reference point: of no use any more)
======  ===================================================  ============================================
loss    an accuracy of 1                                     the accuracy floor
memory  `SMALLEST` bytes                                     the largest that counts; logarithmic between
======  ===================================================  ============================================

The hypervolume is the share of the box that a set of networks dominates. Networks outside the box count for nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna._hypervolume import compute_hypervolume

from memnas_core.errors import SettingsError
from memnas_core.settings.schema import ObjectiveSettings

REFERENCE = np.ones(2)

SMALLEST = 16_000
"""Half of the smallest limit of the yardstick."""


@dataclass(frozen=True, slots=True)
class Box:
    """The ranges of both axes.

    Attributes:
        accuracy_floor: A network no more accurate is of no use.
        smallest_bytes: Weights and activations together at the box's edge.
        largest_bytes: A network of so many bytes or more is of no use.
    """

    accuracy_floor: float
    smallest_bytes: int
    largest_bytes: int

    @classmethod
    def of(cls, objective: ObjectiveSettings) -> "Box":
        """Return the box that the settings tell memnas too: its accuracy floor and its budget of memory.

        Raises:
            SettingsError: The settings name no box.
        """
        floor, largest = objective.accuracy_floor, objective.max_total_bytes
        if not isinstance(floor, float) or largest is None:
            found = f"{floor} and {largest}".replace("None", "null")
            raise SettingsError(
                f"objective: expected figures as accuracy_floor and max_total_bytes, found {found}; they are the box"
            )
        return cls(floor, SMALLEST, largest)

    def losses(self, accuracy: float, total_bytes: int) -> tuple[float, float]:
        """Return a network's place; beyond 1 it is outside."""
        span = math.log(self.largest_bytes / self.smallest_bytes)
        return (1 - accuracy) / (1 - self.accuracy_floor), math.log(total_bytes / self.smallest_bytes) / span

    def hypervolume(self, networks: Sequence[tuple[float, int]]) -> float:
        """Return the share of the box, in [0, 1], that (accuracy, total bytes) of networks dominate."""
        places = [self.losses(accuracy, total_bytes) for accuracy, total_bytes in networks]
        inside = [place for place in places if max(place) < 1]
        return float(compute_hypervolume(np.array(inside), REFERENCE)) if inside else 0.0
