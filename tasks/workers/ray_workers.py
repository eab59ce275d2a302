"""Workers on a Ray cluster, through prefect-ray: each call is a Prefect task that Ray runs on one of its nodes.

Prefect's runner for Ray is opened once for the whole search, as starting it takes seconds. As with processes, the tasks
of a round wait in threads for what runs here, so that a round is the same with either kind of worker.

Every node sees the same store at the same path; only job and record, a few kilobytes, go through Ray. The loss of a
node is never a candidate's fault: its trainings are restarted on another node. If a worker is lost on a living node,
the cause is unknown.
"""

import os
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import ExitStack
from contextvars import Context
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from prefect import get_client, task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_API_URL, temporary_settings

from memnas_core.errors import MemnasError
from memnas_core.files.writing import storage_errors
from memnas_core.records.trainings import NO_LIMITS, Limits
from memnas_core.settings.kinds import Device
from memnas_core.settings.schema import ExecutionSettings
from memnas_core.training.job import training_version
from memnas_core.training.process_memory import held_bytes
from memnas_core.workers.processes import POLL_SECONDS, WorkerLostError
from memnas_core.workers.watch import LimitError, Watch, check_limit
from tasks.workers.ray_cluster import living_nodes, no_room, open_cluster, room, training_share

if TYPE_CHECKING:
    from prefect_ray.task_runners import PrefectRayFuture

NODE_LOSSES = 20
"""Number of times that a call is restarted because its node died; more means that the cluster is broken."""

LEAVING_SECONDS = 1.0
"""Time that threads waiting for Ray have to leave it before it is closed."""

Result = TypeVar("Result")


class NodeError(MemnasError):
    """A node of the cluster does not see the same files or code as the search."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a worker must find on its node.

    Attributes:
        sign: A file in the store that the search has created.
        version: Version of the code that trains.
        gpu_share: Share of a GPU that the worker has, also the most of its memory that it may take; 0 for the CPU.
        begun: File created when the call begins; None if nothing waits for it.
    """

    sign: Path
    version: str
    gpu_share: float
    begun: Path | None


class RayWorkers:
    """Workers on the nodes of a Ray cluster."""

    def __init__(self, execution: ExecutionSettings, device: Device, store: Path) -> None:
        """Open the cluster.

        Args:
            execution: The cluster, and what a training takes of it.
            device: Device that trainings run on.
            store: Folder that every node sees at the same path.

        Raises:
            InputError: There is no cluster at the address.
            SettingsError: The cluster has no room for a training.
            StorageError: The store cannot be written.
        """
        # By default Prefect sends along the context of the waiting task, with all of the search in it.
        self._context = Context()
        self._context.run(_name_server)
        self._changing = threading.Condition()
        self._is_stopped = False
        self._waiting = 0
        self._sign = store.absolute() / f".ray-{uuid.uuid4().hex}"
        self._places = threading.BoundedSemaphore(execution.workers) if execution.workers else None
        with ExitStack() as stack:
            self._runner = stack.enter_context(open_cluster(execution))
            nodes = living_nodes()
            self._share = training_share(execution, device, nodes)
            self.count = execution.workers or room(nodes, self._share)
            if not self.count:
                raise no_room(execution, self._share, nodes)
            with storage_errors(self._sign):
                self._sign.parent.mkdir(parents=True, exist_ok=True)
                self._sign.touch()
            stack.callback(self._sign.unlink, missing_ok=True)
            self._opened = stack.pop_all()

    def run(
        self,
        function: Callable[..., Result],
        *arguments: object,
        limits: Limits = NO_LIMITS,
        is_last: Callable[[Result], bool] = lambda _result: False,  # noqa: ARG002
        while_waiting: Callable[[], None] = lambda: None,
    ) -> Result:
        """Call a function on a node, as soon as one has room, and wait for its result.

        Args:
            function: A module's function; it and its arguments are pickled.
            arguments: Arguments of the function.
            limits: Limits of the call. Its time counts from its beginning on a node. The function must guard its memory
                itself; under a memory limit every call has its own process.
            is_last: Ignored, as every call under a memory limit has its own process.
            while_waiting: Called a few times a second while the call waits or runs.

        Raises:
            WorkerLostError: The worker died (killed, or out of its node's memory).
            LimitError: The call took too long and was ended.
            NodeError: A node does not see the store, or has different code.
            CancelledError: The workers were stopped.
        """
        if self._places is None:
            return self._run(function, arguments, limits, while_waiting)
        with self._places:
            return self._run(function, arguments, limits, while_waiting)

    def check(self, limits: Limits) -> None:
        """Check that a call's memory limit leaves room for training.

        Raises:
            SettingsError: A worker already holds more before it trains.
        """
        if limits.memory_bytes is not None and not self._share.gpus:
            check_limit(limits.memory_bytes, self.run(held_bytes, limits=replace(limits, seconds=None)))

    def _run(
        self,
        function: Callable[..., Result],
        arguments: tuple[object, ...],
        limits: Limits,
        while_waiting: Callable[[], None],
    ) -> Result:
        from ray.exceptions import NodeDiedError, ObjectLostError, RayError

        with self._changing:
            self._waiting += 1
        try:
            for _ in range(NODE_LOSSES):
                if self._is_stopped:
                    raise CancelledError("the workers were stopped")
                try:
                    return cast(Result, self._call(function, arguments, limits, while_waiting))
                except (NodeDiedError, ObjectLostError) as error:
                    loss = error
            raise WorkerLostError(f"{NODE_LOSSES} nodes died, one after the other: {_first_line(loss)}") from loss
        except RayError as error:
            if self._is_stopped:
                raise CancelledError("the workers were stopped") from None
            raise WorkerLostError(f"the worker on Ray died: {_first_line(error)}") from error
        finally:
            with self._changing:
                self._waiting -= 1
                self._changing.notify_all()

    def _call(
        self,
        function: Callable[..., Any],
        arguments: tuple[object, ...],
        limits: Limits,
        while_waiting: Callable[[], None],
    ) -> object:
        begun = _Begun(self._sign.with_name(f"{self._sign.name}-{uuid.uuid4().hex}"))
        watch = Watch(begun, limits, guards_memory=False)
        try:
            return self._waited_for(self._submitted(function, arguments, limits, begun), watch, while_waiting)
        finally:
            begun.mark.unlink(missing_ok=True)

    def _submitted(
        self, function: Callable[..., Any], arguments: tuple[object, ...], limits: Limits, begun: "_Begun"
    ) -> "PrefectRayFuture[Any]":
        from prefect_ray.context import remote_options

        mark = begun.mark if limits.seconds is not None else None
        here = Surroundings(self._sign, training_version(), self._share.gpus, mark)
        options: dict[str, Any] = {"num_cpus": self._share.cpus, "num_gpus": self._share.gpus, "max_retries": 0}
        if limits.memory_bytes is not None:
            options["max_calls"] = 1  # a process that ran out of memory is unfit for another call

        def submit() -> "PrefectRayFuture[Any]":
            with remote_options(**options):
                return self._runner.submit(call_on_ray, {"here": here, "function": function, "arguments": arguments})

        return self._context.copy().run(submit)

    def _waited_for(self, future: "PrefectRayFuture[Any]", watch: Watch, while_waiting: Callable[[], None]) -> object:
        import ray

        while not self._is_stopped:
            done, _ = ray.wait([future.wrapped_future], timeout=POLL_SECONDS)
            if done:
                return future.result()
            while_waiting()
            try:
                watch.look()
            except LimitError:
                ray.cancel(future.wrapped_future, force=True)
                raise
        raise CancelledError("the workers were stopped")

    def stop(self) -> None:
        """End everything that runs, at once, and a cluster that was started for the search."""
        with self._changing:
            if self._is_stopped:
                return
            self._is_stopped = True
            self._changing.wait_for(lambda: not self._waiting, timeout=LEAVING_SECONDS)
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Begun:
    """Tells by a file in the store when a call that may have to wait for room has begun."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def is_warm(self) -> bool:
        """Return whether the call has begun."""
        return self.mark.exists()

    def held_bytes(self) -> int:
        """Return 0, as the memory of a process on another machine is not known here."""
        return 0


def _name_server() -> None:
    """Tell Prefect's context where the server is, as Prefect may have started one only for this process."""
    with get_client(sync_client=True) as client:
        url = str(client.api_url)
    temporary_settings({PREFECT_API_URL: url}).__enter__()  # stays as long as the context lives


@task(cache_policy=NO_CACHE, name="on-ray", persist_result=False)
def call_on_ray(here: Surroundings, function: Callable[..., Result], arguments: tuple[object, ...]) -> Result:
    """Call a function on a node, after checking that the node sees the same store and code as the search."""
    _check(here)
    _begin_process(here.gpu_share)
    if here.begun is not None:
        here.begun.touch()
    return function(*arguments)


def _check(here: Surroundings) -> None:
    if not here.sign.is_file():
        raise NodeError(
            f"node {os.uname().nodename}: expected the store at {here.sign.parent}, as where the search runs, found "
            "none or another; mount one store at the same path on every node (docs/ray.md)"
        )
    if training_version() != here.version:
        raise NodeError(
            f"node {os.uname().nodename}: expected the code that the search runs ({here.version}), found another "
            f"version ({training_version()}) in {Path(__file__).parents[1]}; install the same memnas and torch on "
            "every node"
        )


@cache
def _begin_process(gpu_share: float) -> None:
    """Prepare one of Ray's processes for training; the process keeps these settings."""
    import torch

    from memnas_core.training.loop import prepare_process

    prepare_process()
    if gpu_share > 0:  # Ray shows a process only its own GPU, and starts another process for the next training
        torch.cuda.set_per_process_memory_fraction(gpu_share, 0)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
