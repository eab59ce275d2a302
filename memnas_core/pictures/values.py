"""Figures as words: how pictures and the report write bytes, accuracies and times."""

from memnas_core.records.candidates import CandidateRow
from memnas_core.records.trainings import Status
from memnas_core.settings.kinds import ActivationConvention

KILO = 1000
MEGA = 1000 * KILO
NONE = "–"

FAILURES = frozenset((Status.DIVERGED, Status.OUT_OF_MEMORY, Status.TIMED_OUT, Status.WORKER_LOST))
"""Outcomes of a training that did not succeed."""


def shown_bytes(count: int) -> str:
    """Return bytes in the largest unit in which they are at least 1, such as `96.5 kB` (powers of 1000)."""
    unit, name = byte_unit(count)
    return f"{count} B" if unit == 1 else f"{count / unit:,.1f} {name}"


def byte_unit(count: int) -> tuple[int, str]:
    """Return the unit that suits a number of bytes, and its name."""
    if count >= MEGA:
        return MEGA, "MB"
    return (KILO, "kB") if count >= KILO else (1, "B")


def shown_percent(share: float | None) -> str:
    """Return a share in [0, 1] as a percentage with two digits, or a dash for None."""
    return NONE if share is None else f"{100 * share:.2f} %"


def shown_change(before: float, after: float) -> str:
    """Return a relative change such as `+3.1 %`, or a dash if `before` is 0."""
    return f"{100 * (after - before) / before:+.1f} %".replace("-", "−") if before else NONE


def shown_seconds(seconds: float) -> str:
    """Return a duration such as `42 s`, `3 min 20 s` or `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def total_bytes(row: CandidateRow, convention: ActivationConvention) -> int:
    """Return a candidate's weights and its peak activations under one convention together, in bytes."""
    return row.memory.param_bytes + row.memory.activation_bytes(convention)
