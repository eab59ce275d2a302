"""Check whether a network's activations fit into a number of bytes, and which tensors are to blame if they don't."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from memnas_core.memory.arena import ArenaPlan
from memnas_core.memory.arena_report import used_in_steps
from memnas_core.memory.lifetimes import LifetimeTable
from memnas_core.memory.report import LiveTensor


class Span(NamedTuple):
    """A tensor, or a piece of memory that tensors share, with its first and its last step."""

    tensor: str
    bytes: int
    born: int
    last: int


@dataclass(frozen=True, slots=True)
class Culprit:
    """A tensor that is in memory in a step above the limit.

    Attributes:
        tensor: The tensor.
        steps: Number of steps above the limit in which the tensor is in memory.
    """

    tensor: LiveTensor
    steps: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of checking whether a network fits under a convention.

    Attributes:
        limit_bytes: The limit.
        peak_bytes: Bytes that the network needs.
        steps_above: Number of steps whose tensors alone exceed the limit. It is 0 for a network that does not fit only
            because of gaps between tensors in the arena.
        culprits: Tensors in memory in these steps, the largest first.
    """

    limit_bytes: int
    peak_bytes: int
    steps_above: int
    culprits: tuple[Culprit, ...]

    @property
    def fits(self) -> bool:
        """Whether the network fits."""
        return self.peak_bytes <= self.limit_bytes

    @property
    def excess_bytes(self) -> int:
        """Bytes above the limit; 0 if the network fits."""
        return max(self.peak_bytes - self.limit_bytes, 0)

    def document(self) -> dict[str, object]:
        """Return the verdict as a JSON document."""
        culprits = [asdict(culprit.tensor) | {"steps": culprit.steps} for culprit in self.culprits]
        return {
            "fits": self.fits,
            "excess_bytes": self.excess_bytes,
            "steps_above": self.steps_above,
            "tensors": culprits,
        }


def judge_table(table: LifetimeTable, shapes: Mapping[str, tuple[int, ...]], limit_bytes: int) -> Verdict:
    """Compare the peak of a lifetime table with a limit."""
    spans = [Span(row.tensor, row.bytes, row.born, row.last) for row in table.rows]
    return _verdict(spans, table.profile, table.peak, shapes, limit_bytes)


def judge_arena(plan: ArenaPlan, shapes: Mapping[str, tuple[int, ...]], limit_bytes: int) -> Verdict:
    """Compare an arena with a limit; memory that tensors share has the name of the tensor that takes all of it."""
    spans = [Span(piece.tensor, piece.bytes, piece.born, piece.last) for piece in plan.reserved()]
    return _verdict(spans, used_in_steps(plan), plan.bytes, shapes, limit_bytes)


def _verdict(
    spans: Sequence[Span],
    profile: Sequence[int],
    peak_bytes: int,
    shapes: Mapping[str, tuple[int, ...]],
    limit_bytes: int,
) -> Verdict:
    above = [step for step, used in enumerate(profile, start=1) if used > limit_bytes]
    culprits = []
    for span in spans:
        steps = bisect_right(above, span.last) - bisect_left(above, span.born)
        if steps and span.bytes:
            culprits.append(Culprit(LiveTensor(span.tensor, tuple(shapes[span.tensor]), span.bytes), steps))
    culprits.sort(key=lambda culprit: -culprit.tensor.bytes)
    return Verdict(limit_bytes, peak_bytes, len(above), tuple(culprits))
