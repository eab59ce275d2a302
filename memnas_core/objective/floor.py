"""The accuracy floor: how accurate a network must be to be of use, where the settings give no figure (`auto`).

======  ============  ==================================================================
symbol  here          unit or meaning
======  ============  ==================================================================
a       best          highest accuracy of the trained networks, in [0, 1]
g       guessing      accuracy of always guessing the largest class
n       images        number of images on which accuracies are measured
======  ============  ==================================================================

The floor is the higher of two figures:

    g + 0.9 (a - g)        a tenth of what the best network has over guessing may be given up for memory
    1 - 2 max(1 - a, 1/n)  and the error may double; an error below one image cannot be told

The first one counts where the best network is mediocre: of an accuracy of 0.53 on ten equal classes, 0.043 may be given
up. The second counts where it is good: of 0.985, 0.015. Always guessing is never above the floor.
"""

from dataclasses import dataclass
from typing import Literal

AccuracyFloor = float | Literal["auto"] | None

KEPT_SHARE = 0.9
"""Share of the way from guessing to the best accuracy that a network keeps."""

ERROR_FACTOR = 2.0
"""Error of a network relative to the best one's."""


@dataclass(frozen=True, slots=True)
class Guessing:
    """What needs no network: always guessing the largest class.

    Attributes:
        accuracy: Its accuracy, in [0, 1].
        images: Number of images on which accuracies are measured.
    """

    accuracy: float
    images: int


NOT_KNOWN = Guessing(0.0, 1)
"""Stands for guessing where old records do not tell; the floor is then nine tenths of the best accuracy."""


def reachable_floor(best: float, guessing: Guessing) -> float:
    """Return the floor that follows from the best accuracy; below it wherever it is better than guessing.

    Args:
        best: Highest accuracy of the trained networks, in [0, 1].
        guessing: Accuracy without a network.
    """
    skill = guessing.accuracy + KEPT_SHARE * (best - guessing.accuracy)
    error = 1 - ERROR_FACTOR * max(1 - best, 1 / guessing.images)
    return max(skill, error)


def floor_of_choice(wanted: AccuracyFloor, best: float, guessing: Guessing) -> float:
    """Return the accuracy that a network must exceed to be chosen.

    A floor that no network exceeds is replaced by the reachable one, so that lambda still decides.

    Args:
        wanted: `objective.accuracy_floor`.
        best: Highest accuracy of the trained networks, in [0, 1].
        guessing: Accuracy without a network.
    """
    if wanted is None:
        return 0.0
    if wanted == "auto" or best <= wanted:
        return reachable_floor(best, guessing)
    return wanted
