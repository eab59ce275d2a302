"""When a failure under other limits still tells something, by a hand-worked table."""

import pytest

from memnas_core.records.trainings import NO_LIMITS, Limits, Status
from memnas_core.settings.schema import ExecutionSettings

MEMORY, TIME, LOST, DIVERGED = Status.OUT_OF_MEMORY, Status.TIMED_OUT, Status.WORKER_LOST, Status.DIVERGED


@pytest.mark.parametrize(
    ("failure", "then", "now", "wider"),
    [
        # bytes, share of a GPU, seconds
        (MEMORY, (500, None, None), (500, None, None), False),
        (MEMORY, (500, None, None), (499, None, None), False),
        (MEMORY, (500, None, None), (501, None, None), True),
        (MEMORY, (500, None, None), (None, None, None), True),
        # the machine itself had no more
        (MEMORY, (None, None, None), (None, None, None), False),
        (MEMORY, (None, None, None), (500, None, None), False),
        # the same limit in bytes, but more of the GPU
        (MEMORY, (500, 0.25, None), (500, 0.5, None), True),
        (MEMORY, (None, 0.25, None), (None, None, None), True),
        (MEMORY, (None, 1.0, None), (None, None, None), False),
        (MEMORY, (None, 0.5, None), (None, 0.25, None), False),
        # more time brings no memory, and the other way round
        (MEMORY, (500, None, 10.0), (500, None, 20.0), False),
        (TIME, (500, None, 10.0), (600, None, 10.0), False),
        (TIME, (None, None, 10.0), (None, None, 10.0), False),
        (TIME, (None, None, 10.0), (None, None, 9.5), False),
        (TIME, (None, None, 10.0), (None, None, 10.5), True),
        (TIME, (None, None, 10.0), (None, None, None), True),
        # the system ends processes that take too much
        (LOST, (500, None, None), (600, None, None), True),
        (LOST, (None, None, 10.0), (None, None, 20.0), False),
        (DIVERGED, (500, 0.5, 10.0), (None, None, None), False),
    ],
)
def test_wider_limits(
    failure: Status,
    then: tuple[int | None, float | None, float | None],
    now: tuple[int | None, float | None, float | None],
    wider: bool,
) -> None:
    assert Limits(*now).are_wider(Limits(*then), failure) is wider


def test_limits_of_the_settings() -> None:
    settings = ExecutionSettings("processes", 3, 0.5, 10**9, 60.5, ray_address=None, ray_cpus=1.0)
    assert Limits.of(settings) == Limits(memory_bytes=10**9, gpu_share=0.5, seconds=60.5)
    settings = ExecutionSettings("processes", None, None, None, None, ray_address=None, ray_cpus=1.0)
    assert Limits.of(settings) == NO_LIMITS
