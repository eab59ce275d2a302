"""A limit on the memory of a process that trains; beyond it the training ends with an error, but the process lives on.

On a CPU the limit is on the memory that the process *holds*: memory that is in no file and cannot be taken back from
it. Mapped files (libraries, prepared images) do not count; workers share them and the system drops them at will.

RLIMIT_DATA sets the limit: an allocation beyond it fails at once, in this process alone, and torch raises. It counts
all memory that was *asked for*, even if it was never touched, such as most of the stacks of threads. A process that
has imported torch has asked for 0.5 GB more than it holds, so this difference is added to the limit.
(RLIMIT_AS would count libraries, images and what CUDA reserves; RLIMIT_RSS does nothing on Linux.)
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import takewhile
from pathlib import Path

import torch

from memnas_core.records.trainings import Limits


def held_bytes(pid: int | None = None) -> int:
    """Return the memory that a process holds, in bytes: resident or swapped out, and in no file.

    Args:
        pid: Id of the process; None for this one.

    Returns:
        Bytes; 0 for a process that has ended.
    """
    try:
        figures = _status("self" if pid is None else str(pid))
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(figures.get(name, 0) for name in ("RssAnon", "RssShmem", "VmSwap"))


@contextmanager
def memory_guard(limits: Limits, device: torch.device) -> Iterator[None]:
    """Limit the memory of this process while the block runs; allocations beyond the limits fail.

    Args:
        limits: Limits of the training in the block.
        device: Device on which the training runs; on CUDA the limit is on the current GPU.
    """
    if limits.memory_bytes is None:
        yield
    elif device.type == "cuda":
        share = limits.gpu_share or 1.0
        total = torch.cuda.get_device_properties().total_memory
        torch.cuda.set_per_process_memory_fraction(min(share, limits.memory_bytes / total))
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(share)
    else:
        before, most = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = limits.memory_bytes + _never_touched_bytes()
        wanted = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, most))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (before, most))


@cache  # measured once, in the warm process: later, freed memory would count as never touched
def _never_touched_bytes() -> int:
    """Return the bytes that this process has asked for, but does not hold and will not use."""
    figures = _status("self")
    return figures["VmData"] - figures["RssAnon"] - figures.get("VmSwap", 0) - _heap_ahead_bytes()


def _heap_ahead_bytes() -> int:
    """Return the bytes that the C library has asked for in advance and will use for the next allocations."""
    lines = iter(Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines())
    if not any(line.endswith("[heap]") for line in lines):
        return 0
    own = takewhile(lambda line: not line.startswith("VmFlags"), lines)
    figures = {name: int(value) * 1024 for name, value, *_ in map(str.split, own)}
    return figures["Size:"] - figures["Anonymous:"] - figures["Swap:"]


def _status(process: str) -> dict[str, int]:
    """Return the figures of Linux's `/proc/PID/status`, name -> bytes."""
    lines = (line.split() for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines())
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines if line[-1] == "kB"}
