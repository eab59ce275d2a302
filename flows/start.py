"""Checks before anything starts or is written: settings, image size, the folder of results, workers and services."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memnas_core.data import find_local
from memnas_core.data.source import Origin
from memnas_core.results.beginning import check_beginning
from memnas_core.results.folder import SearchFolder
from memnas_core.settings.file import load_settings
from memnas_core.settings.schema import Settings
from tasks.tracking.location import check_record
from tasks.workers.pool import check_workers


@dataclass(frozen=True, slots=True)
class Plan:
    """A search that may start.

    Attributes:
        settings: Settings of the search.
        name: Name of the search.
        folder: Folder of its results.
        is_finished: Whether nothing is left to do (`memnas_core.results.beginning`).
        origin: The folder of images, as it is now; None for named data sets and for a search that is finished.
    """

    settings: Settings
    name: str
    folder: SearchFolder
    is_finished: bool
    origin: Origin | None

    @property
    def images(self) -> str:
        """Fingerprint of the folder of images, which differs if they were changed; empty where there is none."""
        return self.origin.fingerprint if self.origin else ""


def plan_search(params: Path, overrides: Sequence[str], name: str | None, resume: bool) -> Plan:
    """Check everything that can be checked without loading data.

    Args:
        params: Settings file.
        overrides: `section.key=value` strings.
        name: Name of the search; None: the data set's, or its folder's.
        resume: Whether a search of that name may go on.

    Raises:
        InputError: A setting, the name, the images or the folder of results does not fit, or the DVC remote refuses.
        TrackingError: The tracking server does not answer.
    """
    found = check_beginning(load_settings(params, overrides), name, resume)
    settings, origin = found.settings, None
    if not found.is_finished:  # a finished search needs no images, device or server any more
        check_workers(settings)
        origin = find_local(settings.data)
        check_record(settings.tracking.uri, Path(settings.store), settings.tracking.experiment)
        if settings.versioning.remote is not None:
            from tasks.versioning.remote import check_remote

            check_remote(settings.versioning.remote)
    return Plan(settings, found.name, found.folder, found.is_finished, origin)
