"""Bytes that pieces of memory take in each step, and the rounding of their sizes."""

from collections.abc import Iterable
from itertools import accumulate


def profile(pieces: Iterable[tuple[int, int, int]], steps: int) -> list[int]:
    """Return the bytes in memory in each step, from step 1; there is at least one step.

    Args:
        pieces: Bytes, first step and last step of each piece.
        steps: Number of steps.
    """
    change = [0] * (max(steps, 1) + 1)
    for size, born, last in pieces:
        change[born - 1] += size
        change[last] -= size
    return list(accumulate(change[:-1]))


def aligned(size: int, alignment: int) -> int:
    """Return a size rounded up to a multiple of the alignment."""
    return -(-size // alignment) * alignment
