"""One trial: a search is started and disturbed, goes on with --resume, and is compared with an undisturbed one."""

import hashlib
import random
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fault_injections import Fault, NothingToHitError, Scene, free, inject, remove, small_disk
from benchmarks.fault_searches import Place, differing, wait
from benchmarks.fault_services import Services
from memnas_core.errors import MemnasError

ROOT = Path(__file__).parents[1]

END_SECONDS = 600.0
"""A search that has not ended by then counts as hanging: it is killed, and said to have ended with -9."""

MOST_RESUMES = 3


@dataclass(frozen=True, slots=True)
class Row:
    """A trial.

    Attributes:
        trial: Its number; it decides the fault, what is hit and the moment.
        fault: What went wrong.
        hit: What it hit.
        moment_seconds: When, from the search's start.
        finished_before: Finished trainings at that moment, but for those whose record the fault itself damaged.
        destroyed: Trainings whose record the fault damaged.
        exit_code: With which the disturbed search ended; negative: the signal that killed it.
        last_line: The last that it said.
        resumes: Times that the search had to be started again until it ended well.
        trained_again: Of the trainings that were finished at the moment or when the disturbed search had ended, and
            that the fault did not damage, those that were trained again.
        processes_left: Processes that lived on after the disturbed search or after the last.
        tables_equal: Whether all that the search leaves is what an undisturbed one leaves, but for times.
        differing: What is not; empty if nothing.
        reference_seconds: What an undisturbed search took.
        seconds: What the trial took.
        code: Digest of the product's code.
    """

    trial: int
    fault: str
    hit: str
    moment_seconds: float
    finished_before: int
    destroyed: int
    exit_code: int
    last_line: str
    resumes: int
    trained_again: int
    processes_left: int
    tables_equal: bool
    differing: str
    reference_seconds: float
    seconds: float
    code: str


@dataclass(frozen=True, slots=True)
class Reference:
    """An undisturbed search.

    Attributes:
        outcome: What it leaves.
        seconds: What it took.
    """

    outcome: Mapping[str, object]
    seconds: float


class Laboratory:
    """Where searches run: the settings, the servers, a folder."""

    def __init__(self, params: Path, folder: Path, services: Services) -> None:
        self.params = params
        self.folder = folder
        self.services = services

    def place(self, name: str, fault: Fault | None) -> Place:
        """Return a new place for a search; one whose Prefect server is its own is not told of ours."""
        if fault is Fault.PARENT_WITH_SERVER:
            environment = {"PREFECT_HOME": str(self.folder / "prefect-own")}
        else:
            environment = {
                "PREFECT_HOME": str(self.folder / "prefect-client"),
                "PREFECT_API_URL": self.services.prefect_api,
            }
        return Place(self.folder / name, self.params, f"{self.folder}/{name}", environment)

    def reference(self, fault: Fault | None = None) -> Reference:
        """Run a search undisturbed.

        Raises:
            MemnasError: It does not end well, or leaves a process behind.
        """
        place = self.place("reference", fault)
        started = time.monotonic()
        code = wait(place.start(tracking_uri=self.services.tracking_uri), END_SECONDS)
        seconds = time.monotonic() - started
        left = place.left_over()
        if code != 0 or left:
            raise MemnasError(f"{place.log}: expected an undisturbed search to end well, found {code}, {left} left")
        outcome = place.outcome()
        remove(place)
        return Reference(outcome, seconds)

    def trial(self, number: int, fault: Fault, moment: float | str, seed: int, reference: Reference) -> Row:
        """Disturb a search.

        Args:
            number: Of the trial.
            fault: What goes wrong.
            moment: When, in seconds, earlier if the search has ended by then; or words: when it has said them.
            seed: With the number it decides what is hit.
            reference: What an undisturbed search leaves.

        Raises:
            InputError: A disk cannot be mounted.
        """
        while True:
            rng = random.Random(f"{seed} {number} {fault}")
            place = self.place(f"trial-{number:03d}", fault)
            try:
                with ExitStack() as stack:
                    if fault is Fault.FULL_DISK:
                        stack.enter_context(small_disk(place.store))
                    stack.callback(place.end)  # should this process be stopped
                    row = self._disturbed(number, fault, moment, rng, place, reference)
            except NothingToHitError:
                place.left_over()
                remove(place)
                assert isinstance(moment, float), "a search says its words before it ends"
                moment *= 0.8
                continue
            if row.tables_equal and not row.trained_again and not row.processes_left:
                remove(place)
            return row

    def _disturbed(
        self, number: int, fault: Fault, moment: float | str, rng: random.Random, place: Place, reference: Reference
    ) -> Row:
        started = time.monotonic()
        process = place.start(tracking_uri=self.services.tracking_uri)
        while process.poll() is None and not (
            moment in place.said() if isinstance(moment, str) else time.monotonic() >= started + moment
        ):
            time.sleep(0.01)
        before = place.trainings()
        hit = inject(fault, Scene(process, place, self.services, rng))
        at = time.monotonic() - started
        code = wait(process, END_SECONDS)
        line = place.last_line()
        left = place.left_over()
        finished = {key: training for key, training in before.items() if key not in hit.destroyed}
        kept = finished | {key: t for key, t in place.trainings().items() if key not in hit.destroyed | before.keys()}
        free(place)
        self.services.repair()
        resumes, ended = 0, -1
        while ended != 0 and resumes < MOST_RESUMES:
            resumes += 1
            ended = wait(place.start("--resume", tracking_uri=self.services.tracking_uri), END_SECONDS)
        left += place.left_over()
        after = place.trainings()
        try:
            differences = differing(reference.outcome, place.outcome())
        except (OSError, ValueError) as error:
            differences = [f"cannot be read: {error}"]
        if ended != 0:
            differences = [f"ended with {ended}: {place.last_line()}", *differences]
        return Row(
            trial=number,
            fault=fault,
            hit=hit.what,
            moment_seconds=at,
            finished_before=len(finished),
            destroyed=len(hit.destroyed),
            exit_code=code,
            last_line=line,
            resumes=resumes,
            trained_again=sum(after.get(key) != training for key, training in kept.items()),
            processes_left=left,
            tables_equal=not differences,
            differing=", ".join(differences),
            reference_seconds=reference.seconds,
            seconds=time.monotonic() - started,
            code=code_digest(),
        )


def code_digest() -> str:
    """Return a digest of the product's code."""
    digest = hashlib.sha256()
    for package in ("flows", "memnas_core", "tasks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
