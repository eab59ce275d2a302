"""Settings that follow from a folder of images: their file, their time, and where a search without `--params` has them.

Without `--params`, `memnas search --images FOLDER` searches with what `memnas init FOLDER` proposes. The file lies in
`STORE/settings/NAME.yaml`, and goes there only once everything that can be checked has been checked.
"""

import json
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from memnas_core.data.survey import survey_folder
from memnas_core.errors import InputError
from memnas_core.files.printable import printable
from memnas_core.files.writing import write_text
from memnas_core.settings.file import overridden
from memnas_core.settings.proposal import Proposal, propose
from memnas_core.settings.schema import Settings
from memnas_core.settings.survey import Survey

START_SECONDS = 10.0
"""Time until a search trains: Prefect's server, workers and a new database of MLflow, on two idle cores."""

BESIDE_SECONDS = 1.0
"""Part of round 0 in which nothing trains, on two idle cores; docs/overhead.md has 1.4 s for later rounds."""

_WIDTH = 110


@contextmanager
def proposed_params(images: Path, overrides: Sequence[str], name: str | None, resume: bool) -> Iterator[Path]:
    """Give the settings file of a search on a folder of images; a new one is only a draft.

    Args:
        images: The folder, absolute.
        overrides: `section.key=value` strings; `store` and `data.image_size` decide the place and the proposal.
        name: Name of the search; None: that of the folder.
        resume: Whether a search of that name goes on, with the settings that it began with.

    Raises:
        DataError: The folder cannot be used.
        InputError: An override of these two is of another kind.
    """
    kept = kept_params(images, overrides, name)
    begun = _begun(kept)
    if resume and (kept.is_file() or begun.is_file()):
        yield kept if kept.is_file() else begun
        return
    side = overridden(overrides, "data.image_size")
    if side is not None and (type(side) is not int or side < 1):
        raise InputError(f"--set data.image_size={side}: expected a number of pixels")
    follow_links = overridden(overrides, "data.follow_links") is True
    proposal = propose(survey_folder(images, follow_links, copies=False), side)  # preparing looks for copies itself
    with TemporaryDirectory() as drafts:
        draft = Path(drafts, kept.name)
        write_text(draft, settings_text(proposal))
        yield draft


def kept_params(images: Path, overrides: Sequence[str], name: str | None) -> Path:
    """Return where the proposed settings of a search are kept: `STORE/settings/NAME.yaml`."""
    store = overridden(overrides, "store")
    if store is not None and not isinstance(store, str):
        raise InputError(f"--set store={store}: expected a path")
    return Path(store or "store", "settings", f"{name or images.name}.yaml")


def _begun(kept: Path) -> Path:
    """Return where the search itself keeps the settings that it began with."""
    return kept.parents[1] / "searches" / kept.stem / "settings.yaml"


def keep(draft: Path, kept: Path) -> Path:
    """Copy a draft to where it is kept, and return that path; a file in the store is no draft and stays where it is.

    Raises:
        StorageError: The store cannot be written.
    """
    if draft in (kept, _begun(kept)):
        return draft
    write_text(kept, draft.read_text(encoding="utf-8"))
    return kept


def expected_seconds(survey: Survey, settings: Settings) -> float:
    """Return the time that a search takes on this machine, from images to the end, in seconds.

    The first network is trained for about a second to learn the machine's speed.

    Args:
        survey: What is known of the folder.
        settings: Settings of the search.
    """
    from memnas_core.search.generation import largest_first_network
    from memnas_core.search.halving import search_images
    from memnas_core.space.layers import Shape, Workload
    from memnas_core.training.speed import seconds_an_image

    side, cores = settings.data.image_size or 32, len(os.sched_getaffinity(0))
    workers = settings.execution.workers or cores
    shape, classes, objective = Shape(survey.channels, side, side), len(survey.classes), settings.objective
    workload = Workload(shape, classes, objective.weight_bytes, objective.activation_bytes)
    network = largest_first_network(settings, workload)
    image = seconds_an_image(network, shape, classes, settings.training.batch_size)
    planned = search_images(settings, *survey.train_and_validation(settings.data.validation_fraction))
    preparing = survey.decode_seconds * survey.images() / cores
    until_rounds = preparing + START_SECONDS + image * planned.first / workers + BESIDE_SECONDS
    return until_rounds + planned.seconds(image, workers, BESIDE_SECONDS)


def settings_text(proposal: Proposal) -> str:
    """Return proposed settings as YAML, each key under the sentence on it."""
    lines = ["# Settings of `memnas search`, as `memnas init` proposes them."]
    for name, value in proposal.values.items():
        lines.append("")
        lines += _comment(proposal.reasons.get(name), "")
        if isinstance(value, Mapping):
            lines.append(f"{name}:")
            for key, inner in value.items():
                lines += _comment(proposal.reasons.get(f"{name}.{key}"), "  ")
                lines.append(f"  {_yaml(key, inner)}")
        else:
            lines.append(_yaml(name, value))
    return "\n".join(lines) + "\n"


def _comment(sentence: str | None, indent: str) -> list[str]:
    if not sentence:
        return []
    start = f"{indent}# "
    return textwrap.wrap(printable(sentence), _WIDTH, initial_indent=start, subsequent_indent=start)


def _yaml(key: str, value: object) -> str:
    plain = json.loads(json.dumps(value))  # lists for tuples
    text = yaml.safe_dump([plain], default_flow_style=True, sort_keys=False, width=float("inf")).strip()
    return f"{key}: {text[1:-1]}"
