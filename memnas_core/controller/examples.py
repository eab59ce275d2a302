"""The examples that a controller learns from, and the scale of their targets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memnas_core.errors import InputError
from memnas_core.space.architecture import Architecture

LARGEST_TARGET = 3.0
"""Standardised targets are clipped at this many robust standard deviations: networks that stayed at chance are
far below all others, and a few of them would dominate the squared error."""

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Example:
    """An architecture that was trained, and the figure that the controller is to predict for it."""

    architecture: Architecture
    target: float


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """The targets of n examples as a controller learns them.

    Attributes:
        centre: Target that is standardised to 0.
        spread: Target difference that is standardised to 1; 0 if all targets are equal.
        standardised: Standardised targets, clipped at `LARGEST_TARGET`; shape (n,).
    """

    centre: float
    spread: float
    standardised: _Floats


def in_order(examples: Sequence[Example]) -> list[Example]:
    """Return examples in an order that does not depend on the order given.

    Raises:
        InputError: There is no example, or a target is not finite.
    """
    if not examples:
        raise InputError("controller: expected at least one trained architecture as example, found none")
    for example in examples:
        if not np.isfinite(example.target):
            raise InputError(
                f"controller: {example.architecture.arch_id}: expected a finite target, found "
                f"{example.target}; leave out candidates that failed to train"
            )
    return sorted(examples, key=lambda example: (example.architecture.arch_id, example.target))


def targets_of(examples: Sequence[Example]) -> Targets:
    """Return the targets of examples on the scale of `robust_scale`."""
    targets = np.array([example.target for example in examples])
    centre, spread = robust_scale(targets)
    standardised = (targets - centre) / spread if spread > 0 else np.zeros_like(targets)
    return Targets(centre, spread, standardised.clip(-LARGEST_TARGET, LARGEST_TARGET))


def robust_scale(targets: _Floats) -> tuple[float, float]:
    """Return the centre and the spread by which targets are standardised.

    The centre is the median, the spread 1.4826 median absolute deviations, which for a normal distribution is
    the standard deviation. Neither moves much when a few networks stay at chance. Where half of the targets or
    more are equal, the spread would be 0 and is the standard deviation instead; where all are equal, it is 0.
    """
    centre = float(np.median(targets))
    spread = 1.4826 * float(np.median(np.abs(targets - centre)))
    return centre, spread if spread > 0 else float(targets.std())
