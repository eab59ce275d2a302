"""Which version of the code made a search's trainings: `code-versions.csv` in its folder.

A training is kept under a key that digests the code with all else that decides it, so that the key alone does not say
which of them has changed. A line here holds from its time to that of the next.
"""

import csv
import io
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from memnas_core.files.untrusted import read_text
from memnas_core.files.writing import write_text

FILE = "code-versions.csv"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CodeVersions:
    """The versions that trained, in order of time.

    Attributes:
        since: Unix times at which a process of the search began.
        versions: Version of the code that trains, from each of these times on.
    """

    since: tuple[float, ...] = ()
    versions: tuple[str, ...] = ()

    def at(self, started: float) -> str:
        """Return the version of a training that began at a Unix time."""
        place = bisect_right(self.since, started)
        return self.versions[place - 1] if place else UNKNOWN


def read_versions(folder: Path) -> CodeVersions:
    """Return the versions that trained in a search's folder; none where nothing, or nothing readable, was noted."""
    try:
        lines = list(csv.DictReader(io.StringIO(read_text(folder / FILE))))
        pairs = sorted((datetime.fromisoformat(line["since"]).timestamp(), line["version"]) for line in lines)
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return CodeVersions()
    return CodeVersions(tuple(since for since, _ in pairs), tuple(version for _, version in pairs))


def note_version(folder: Path, version: str, now: float) -> None:
    """Note that trainings of a search are made by a version of the code from now on.

    Args:
        folder: The search's folder.
        version: Version of the code that trains.
        now: Unix time.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    known = read_versions(folder)
    if known.versions[-1:] == (version,):
        return
    lines = [*zip(known.since, known.versions, strict=True), (now, version)]
    text = "".join(f"{datetime.fromtimestamp(since, UTC).isoformat()},{name}\n" for since, name in lines)
    write_text(folder / FILE, f"since,version\n{text}")
