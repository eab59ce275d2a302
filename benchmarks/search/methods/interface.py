"""What a method is given: the space and a function that trains; and how it ends: when the images are spent."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from benchmarks.search.methods.space import Space
from memnas_core.space.architecture import Architecture


class SpentError(Exception):
    """All training images are spent; whatever a method does, this ends it."""


class Figures(NamedTuple):
    """What a training found.

    Attributes:
        accuracy: On the validation images, in [0, 1]; 0 where the training failed.
        total_bytes: Weights and activations together.
    """

    accuracy: float
    total_bytes: int


class Rungs(NamedTuple):
    """Where a training may be stopped.

    Attributes:
        shares: Shares of a full training, rising, each below 1.
        goes_on: Is told the number of the rung from 0 and the figures there, and says whether to go on.
    """

    shares: tuple[float, ...]
    goes_on: Callable[[int, Figures], bool]


class Evaluate(Protocol):
    """Trains an architecture from nothing.

    Raises:
        SpentError: The images were spent before.
    """

    def __call__(self, architecture: Architecture, rungs: Rungs | None = None) -> Figures:
        """Return the figures where the training ended: after all of it, or at a rung."""


Method = Callable[[Space, Evaluate, int], None]
"""Searches the space with the seed until `SpentError`, which it lets through."""
