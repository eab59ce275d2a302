"""A limit on the memory of a process that trains, which ends a training by an error rather than the process.

On a CPU the limit is on what the process *holds*: memory that is in no file and that nobody can take back from it.
Mapped files (libraries, prepared images) are not counted; workers share them and the system drops them at will.

RLIMIT_DATA does it: an allocation beyond it fails at once, in this process alone, and torch raises. The system counts
by it what was *asked for*, also where it was never touched, as most of the stacks of threads. A process that has
imported torch has asked for 0.5 GB more than it holds, which is why that difference is added to the limit.
(RLIMIT_AS would count libraries, images and what CUDA reserves; RLIMIT_RSS does nothing on Linux.)
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import takewhile
from pathlib import Path

import torch

from memnas_core.limits import Limits


def held_bytes(pid: int | None = None) -> int:
    """Return the memory that a process holds, in bytes: resident or swapped out, and in no file.

    Args:
        pid: The process; None: this one.

    Returns:
        0 for a process that is no more.
    """
    try:
        figures = _status("self" if pid is None else str(pid))
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(figures.get(name, 0) for name in ("RssAnon", "RssShmem", "VmSwap"))


@contextmanager
def memory_guard(limits: Limits, device: torch.device) -> Iterator[None]:
    """Let this process take no more than the limits while the block runs; allocations beyond fail.

    Args:
        limits: Of the training in the block.
        device: Where it runs; on CUDA the limit is on the current GPU.
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


@cache  # of the warm process: later, freed memory would be taken for never touched
def _never_touched_bytes() -> int:
    """Return what this process has asked for, does not hold and will not use, in bytes."""
    figures = _status("self")
    return figures["VmData"] - figures["RssAnon"] - figures.get("VmSwap", 0) - _heap_ahead_bytes()


def _heap_ahead_bytes() -> int:
    """Return what the C library has asked for ahead, which the next allocations take without asking again."""
    lines = iter(Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines())
    if not any(line.endswith("[heap]") for line in lines):
        return 0
    own = takewhile(lambda line: not line.startswith("VmFlags"), lines)
    figures = {name: int(value) * 1024 for name, value, *_ in map(str.split, own)}
    return figures["Size:"] - figures["Anonymous:"] - figures["Swap:"]


def _status(process: str) -> dict[str, int]:
    """Return the figures in bytes of Linux's `/proc/PID/status`."""
    lines = (line.split() for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines())
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines if line[-1] == "kB"}
