"""The pool of worker processes, with real processes and real signals."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch
import torch.utils.deterministic

from memnas_core.workers.places import ON_CPU, Place, cpu_places
from memnas_core.workers.processes import WorkerLostError, Workers, _take
from tests.core.processes import tell_and_wait, wait_until


@pytest.fixture(scope="module", autouse=True)
def _surroundings() -> Iterator[None]:
    """Let the workers import this module, for they look where this process does, and choose their threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[3])
        patch.delenv("OMP_NUM_THREADS")
        yield


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(cpu_places(2)) as pool:
        yield pool


@pytest.fixture
def threads(tmp_path: Path) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor
        for name in ("go", "never"):  # a test that fails leaves nobody waiting
            (tmp_path / name).touch()


# What the workers run; they import this module.


def fail(words: str) -> None:
    raise ValueError(words)


def signals() -> tuple[object, object]:
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)


def fills_new_tensors() -> bool:
    return torch.utils.deterministic.fill_uninitialized_memory


def faults_of_memory_used_again() -> int:
    """Return the page faults of 256 MB that were used and freed before; 128 at least if the system had them back."""
    faults = []
    for _ in range(6):  # a busy system may take pages at any time: the least counts
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.empty(64 * 2**20).fill_(1.0)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return min(faults[1:])


def _is_buried(pid: int) -> bool:
    """Return whether a process is wholly gone; the pool buries its own, when their last thread has ended."""
    return not psutil.pid_exists(pid)


def pid_in(path: Path) -> int:
    wait_until(path.exists)
    return int(path.read_text())


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_jobs_run_side_by_side(workers: Workers, threads: ThreadPoolExecutor, tmp_path: Path) -> None:
    jobs = [threads.submit(workers.run, tell_and_wait, tmp_path / name, tmp_path / "go") for name in "ab"]
    pids = {pid_in(tmp_path / name) for name in "ab"}  # both have begun, none has ended
    (tmp_path / "go").touch()
    assert {job.result() for job in jobs} == pids
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert all(psutil.Process(pid).ppid() == os.getpid() for pid in pids)


def test_more_jobs_than_workers(workers: Workers, threads: ThreadPoolExecutor) -> None:
    jobs = [threads.submit(workers.run, pow, 2, number) for number in range(8)]
    assert [job.result() for job in jobs] == [1, 2, 4, 8, 16, 32, 64, 128]


def test_workers_stay_warm(workers: Workers) -> None:
    pids = {workers.run(os.getpid) for _ in range(6)}
    assert len(pids) <= 2
    assert pids <= {child.pid for child in psutil.Process().children()}


def test_an_error_of_the_job_is_its_caller_s(workers: Workers) -> None:
    with pytest.raises(ValueError, match="no such luck"):
        workers.run(fail, "no such luck")
    assert workers.run(abs, -3) == 3


def test_one_torch_thread_and_no_signals(workers: Workers, threads: ThreadPoolExecutor) -> None:
    """Ctrl-C reaches the whole group, and only the parent decides what it means."""
    expected = {
        torch.get_num_threads: 1,
        torch.are_deterministic_algorithms_enabled: True,
        fills_new_tensors: False,
        signals: (signal.SIG_IGN, signal.SIG_DFL),
    }
    for function, value in expected.items():
        jobs = [threads.submit(workers.run, function) for _ in range(2)]
        assert [job.result() for job in jobs] == [value, value]


EARLY = """
import os, signal
from memnas_core.workers.places import cpu_places
from memnas_core.workers.processes import Workers
signal.signal(signal.SIGINT, lambda *_: None)
with Workers(cpu_places(2)) as workers:
    os.killpg(0, signal.SIGINT)  # the workers need seconds to import torch
    print([workers.run(abs, -3) for _ in range(2)])
"""


def test_ctrl_c_does_not_reach_workers_that_are_still_starting() -> None:
    command = [sys.executable, "-c", EARLY]
    done = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=True)
    assert (done.stdout, done.stderr) == ("[3, 3]\n", "")


def test_a_worker_keeps_the_memory_that_it_has_freed(workers: Workers) -> None:
    assert workers.run(faults_of_memory_used_again) < 64


def test_the_caller_may_look_around_while_it_waits(workers: Workers, tmp_path: Path) -> None:
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            (tmp_path / "go").touch()

    workers.run(tell_and_wait, tmp_path / "job", tmp_path / "go", while_waiting=look)
    assert looks >= 3


def test_a_killed_worker_costs_its_own_job_only(workers: Workers, threads: ThreadPoolExecutor, tmp_path: Path) -> None:
    doomed = threads.submit(workers.run, tell_and_wait, tmp_path / "doomed", tmp_path / "never")
    other = threads.submit(workers.run, tell_and_wait, tmp_path / "other", tmp_path / "go")
    killed, spared = pid_in(tmp_path / "doomed"), pid_in(tmp_path / "other")
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(WorkerLostError, match="the worker process died"):
        doomed.result()
    (tmp_path / "go").touch()
    assert other.result() == spared
    # the pool has two workers again, one of them new
    again = [tmp_path / f"again {number}" for number in range(2)]
    jobs = [threads.submit(workers.run, tell_and_wait, path, tmp_path / "go on") for path in again]
    pids = {pid_in(path) for path in again}
    (tmp_path / "go on").touch()
    assert {job.result() for job in jobs} == pids
    assert len(pids) == 2
    assert spared in pids
    assert killed not in pids


def test_a_worker_that_dies_between_jobs_is_replaced(workers: Workers, threads: ThreadPoolExecutor) -> None:
    """The kernel may take the memory of an idle worker; no job has lost anything then."""
    killed = workers.run(os.getpid)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(killed))
    jobs = [threads.submit(workers.run, pow, 2, number) for number in range(4)]
    assert [job.result() for job in jobs] == [1, 2, 4, 8]
    assert killed not in {workers.run(os.getpid) for _ in range(4)}


def test_stop_ends_everything_at_once(tmp_path: Path) -> None:
    pool = Workers(cpu_places(1))
    outcomes: list[Future[int]] = []
    with ThreadPoolExecutor(2) as threads:
        outcomes.append(threads.submit(pool.run, tell_and_wait, tmp_path / "running", tmp_path / "never"))
        pid = pid_in(tmp_path / "running")
        outcomes.append(threads.submit(pool.run, tell_and_wait, tmp_path / "waiting", tmp_path / "never"))
        children = psutil.Process().children()
        pool.stop()
        assert not is_running(pid)
        for outcome in outcomes:  # neither is told that its worker was lost: it would be recorded as such
            with pytest.raises(CancelledError):
                outcome.result()
    assert not (tmp_path / "waiting").exists()
    assert set(psutil.Process().children()) <= set(children)  # nobody was started anew
    with pytest.raises(CancelledError):
        pool.run(abs, -3)


def test_leaving_the_block_by_an_error_ends_the_workers() -> None:
    before = set(psutil.Process().children())
    pids: set[psutil.Process] = set()

    def leave() -> None:
        with Workers(cpu_places(1)):
            pids.update(set(psutil.Process().children()) - before)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        leave()
    assert pids
    assert not any(is_running(process.pid) for process in pids)


def test_workers_go_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """A search that is killed with SIGKILL can end nobody; its workers find out by themselves."""
    script = """
import sys
from pathlib import Path
from memnas_core.workers.places import ON_CPU, Place, cpu_places
from memnas_core.workers.processes import Workers
from tests.core.processes import tell_and_wait

Workers(cpu_places(1)).run(tell_and_wait, Path(sys.argv[1]) / "busy", Path(sys.argv[1]) / "never")
"""
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=Path(__file__).parents[3])
    try:
        worker = pid_in(tmp_path / "busy")
        descendants = [process.pid for process in psutil.Process(parent.pid).children(recursive=True)]
        assert worker in descendants
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not any(is_running(pid) for pid in descendants))


def test_a_worker_takes_its_share_of_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[object] = []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *share: taken.append(share))
    _take(ON_CPU)
    assert taken == []
    _take(Place(gpu=3, memory_share=0.25))
    assert taken == [3, (0.25, 3)]


def test_each_worker_is_told_its_own_place_and_its_successor_the_same() -> None:
    """All on the CPU, since there may be no GPU: a share tells them apart."""
    places = [Place(None, 0.25), Place(None, 0.75)]
    with Workers(places) as pool:
        assert {worker.place for worker in pool._all} == set(places)
        for _ in range(4):
            pid = pool.run(os.getpid)
            os.kill(pid, signal.SIGKILL)
            wait_until(partial(_is_buried, pid))
            assert pool.run(abs, -3) == 3
        assert {worker.place for worker in pool._all} == set(places)
