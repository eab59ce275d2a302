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
from typing import TYPE_CHECKING

import numpy as np
import yaml

from memnas_core.data.survey import survey_folder
from memnas_core.errors import InputError
from memnas_core.files.printable import printable
from memnas_core.files.writing import write_text
from memnas_core.settings.file import overridden
from memnas_core.settings.proposal import Proposal, propose
from memnas_core.settings.schema import Settings
from memnas_core.settings.survey import Survey

if TYPE_CHECKING:
    from memnas_core.data import Dataset

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


def expected_seconds(survey: Survey, settings: Settings) -> tuple[float, float] | None:
    """Return the least and the most time that a search takes on this machine, from images to the end, in seconds.

    The images are not prepared yet: the first networks train for a few steps on noise, without workers. `memnas search
    --plan` knows more.

    Args:
        survey: What is known of the folder.
        settings: Settings of the search.

    Returns:
        Both times; None if the first networks cannot be trained within the limits.
    """
    import torch

    from memnas_core.planning.timing import planned
    from memnas_core.training.speed import time_training

    noise, threads, cores = _noise(survey, settings), torch.get_num_threads(), len(os.sched_getaffinity(0))
    torch.set_num_threads(1)  # as in a worker
    try:
        plan = planned(
            settings,
            noise.info,
            settings.execution.workers or cores,
            lambda network: time_training(noise, network, settings.training),
        )
    finally:
        torch.set_num_threads(threads)
    preparing = survey.decode_seconds * survey.images() / cores
    return plan.seconds and (preparing + plan.seconds[0], preparing + plan.seconds[1])


def _noise(survey: Survey, settings: Settings) -> "Dataset":
    """Return what a search would know of these images, with a batch of noise in place of each split."""
    from memnas_core.data import Dataset, DatasetInfo, Split

    side, batch, generator = settings.data.image_size or 32, settings.training.batch_size, np.random.default_rng(0)
    shape = (survey.channels, side, side)
    training, validation = survey.train_and_validation(settings.data.validation_fraction)
    noise = Split(
        generator.integers(0, 256, (batch, *shape), dtype=np.uint8),
        generator.integers(0, len(survey.classes), batch, dtype=np.int64),
    )
    info = DatasetInfo(
        name=settings.data.dataset,
        classes=survey.classes,
        shape=shape,
        channel_mean=survey.mean,
        channel_std=survey.std,
        train_size=training,
        validation_size=max(1, validation),
        test_size=1,
        horizontal_flip=settings.data.horizontal_flip is not False,
        digest="",
        source="noise",
    )
    return Dataset(info, noise, noise, noise)


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
