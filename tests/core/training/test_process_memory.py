"""What a process holds, and that it cannot take more: with real memory, in processes of their own."""

import json
import mmap
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from memnas_core.records.trainings import NO_LIMITS, Limits
from memnas_core.training.process_memory import held_bytes, memory_guard

MB = 1_000_000


def in_a_process(script: str, *arguments: str) -> object:
    """Return what a script prints as JSON."""
    head = """
import json, resource, sys
import torch
from memnas_core.records.trainings import Limits
from memnas_core.training.process_memory import held_bytes, memory_guard
torch.set_num_threads(1)
cpu = torch.device("cpu")
"""
    command = [sys.executable, "-c", head + script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_process_holds_what_it_has_touched() -> None:
    before = held_bytes()
    block = mmap.mmap(-1, 64 * 2**20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    assert held_bytes() - before < MB
    block.write(b"x" * (32 * 2**20))
    assert 31 * 2**20 < held_bytes() - before < 48 * 2**20
    block.close()
    assert held_bytes() - before < 2 * MB
    figures = psutil.Process().memory_info()
    assert abs(held_bytes() - (figures.rss - figures.shared)) < 2 * MB
    assert abs(held_bytes() - held_bytes(os.getpid())) < 2 * MB


def test_mapped_files_are_not_held(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(32 * 2**20))
    before = held_bytes()
    with (tmp_path / "file").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[::4096]) == 0
        assert held_bytes() - before < 2 * MB


def test_a_process_that_is_no_more_holds_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert held_bytes(child.pid) == 0


@pytest.mark.parametrize("megabytes", [50, 200])
def test_allocations_beyond_the_limit_fail_and_the_process_lives(megabytes: int) -> None:
    """In steps of 4 MB up to the limit, and again after it was lifted."""
    script = """
start = held_bytes()
kept, error = [], ""
try:
    with memory_guard(Limits(start + int(sys.argv[1]) * 1_000_000, None, None), cpu):
        while len(kept) < 100:
            kept.append(torch.ones(1_000_000))
except RuntimeError as caught:
    error = str(caught)
print(json.dumps([len(kept) * 4, (held_bytes() - start) / 1e6, error,
                  resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY,
                  torch.ones(100_000_000).sum().item()]))
"""
    taken, held, error, is_lifted, after = in_a_process(script, str(megabytes))
    assert "can't allocate memory" in error
    assert megabytes - 12 < taken <= megabytes
    assert held < megabytes + 2
    assert is_lifted
    assert after == 100_000_000


def test_memory_that_was_freed_counts_no_more_in_the_next_block() -> None:
    """Three times 60 of 100 MB: what the allocator keeps of the first is used by the others."""
    script = """
from memnas_core.training.loop import prepare_process
prepare_process()
most = held_bytes() + 100_000_000
sums = []
for _ in range(3):
    with memory_guard(Limits(most, None, None), cpu):
        kept = [torch.ones(1_000_000) for _ in range(15)]
        sums.append(sum(part.sum().item() for part in kept))
        del kept
print(json.dumps([sums, held_bytes() <= most]))
"""
    assert in_a_process(script) == [[15_000_000] * 3, True]


def test_a_limit_of_the_system_is_kept() -> None:
    script = """
asked = 2**40
resource.setrlimit(resource.RLIMIT_DATA, (asked, asked))
with memory_guard(Limits(2**41, None, None), cpu):
    inside = resource.getrlimit(resource.RLIMIT_DATA)
print(json.dumps([inside, resource.getrlimit(resource.RLIMIT_DATA)]))
"""
    assert in_a_process(script) == [[2**40, 2**40], [2**40, 2**40]]


def test_no_limit_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.setrlimit", None)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", None)
    for kind in ("cpu", "cuda"):
        with memory_guard(NO_LIMITS, torch.device(kind)):
            pass


@pytest.mark.parametrize(
    ("memory_bytes", "gpu_share", "expected"),
    [
        (20, None, [0.25, 1.0]),  # 20 of 80 bytes
        (20, 0.5, [0.25, 0.5]),
        (60, 0.5, [0.5, 0.5]),  # the share is less than 60 of 80
        (200, None, [1.0, 1.0]),  # more than there is
    ],
)
def test_bytes_are_a_share_of_the_gpu(
    memory_bytes: int, gpu_share: float | None, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The current GPU has 80 bytes; the limit is lifted also when the training fails."""
    shares: list[float] = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda: SimpleNamespace(total_memory=80))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)

    def train() -> None:
        with memory_guard(Limits(memory_bytes, gpu_share, None), torch.device("cuda")):
            assert shares == expected[:1]
            raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        train()
    assert shares == expected
