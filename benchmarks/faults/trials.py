"""One trial: a search is started, disturbed, resumed with --resume, and compared with an undisturbed one."""

import hashlib
import random
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.injections import Fault, NothingToHitError, Scene, free, inject, remove, small_disk
from benchmarks.faults.searches import Place, differing, wait
from benchmarks.faults.services import Services
from memnas_core.errors import MemnasError

ROOT = Path(__file__).parents[1]

END_SECONDS = 600.0
"""Time after which a search counts as hanging: it is killed and reported with exit code -9."""

MOST_RESUMES = 3


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one trial.

    Attributes:
        trial: Number of the trial; it decides the fault, its moment and what is hit.
        fault: Name of the fault.
        hit: What the fault hit.
        moment_seconds: Moment of the fault, in seconds from the search's start.
        finished_before: Finished trainings at that moment, without those whose record the fault itself damaged.
        destroyed: Trainings whose record the fault damaged.
        exit_code: Exit code of the disturbed search; if negative, the signal that killed it.
        last_line: Last line of the disturbed search's output.
        resumes: Times that the search had to be resumed until it ended well.
        trained_again: Trainings that were repeated although they were finished, at the moment of the fault or when the
            disturbed search ended, and not damaged by the fault.
        processes_left: Processes that outlived the disturbed search or the last resumed one.
        tables_equal: Whether the results equal those of an undisturbed search, except for times.
        differing: Results that differ; empty if none do.
        reference_seconds: Duration of an undisturbed search.
        seconds: Duration of the trial.
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
        outcome: What the search produced.
        seconds: Duration of the search.
    """

    outcome: Mapping[str, object]
    seconds: float


class Laboratory:
    """The place where searches run: settings, servers and a folder."""

    def __init__(self, params: Path, folder: Path, services: Services) -> None:
        self.params = params
        self.folder = folder
        self.services = services

    def place(self, name: str, fault: Fault | None) -> Place:
        """Return a new place for a search; a search that starts its own Prefect server does not learn of ours."""
        if fault is Fault.PARENT_WITH_SERVER:
            environment = {"PREFECT_HOME": str(self.folder / "prefect-own")}
        else:
            environment = {
                "PREFECT_HOME": str(self.folder / "prefect-client"),
                "PREFECT_API_URL": self.services.prefect_api,
            }
        return Place(self.folder / name, self.params, f"{self.folder}/{name}", environment)

    def reference(self, fault: Fault | None = None) -> Reference:
        """Run an undisturbed search and return its result.

        Raises:
            MemnasError: The search does not end well, or leaves a process behind.
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
        """Disturb a search and return the result.

        Args:
            number: Number of the trial.
            fault: The fault to inject.
            moment: Moment in seconds, or earlier if the search has ended by then; if words, the moment when it has
                printed them.
            seed: Decides, together with the number, what is hit.
            reference: Result of an undisturbed search.

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
                    stack.callback(place.end)  # in case this process is stopped
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
