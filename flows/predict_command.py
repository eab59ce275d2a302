"""`memnas predict`: the classes of images, by the network that a search found."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memnas_core.files.printable import printable

if TYPE_CHECKING:  # it imports torch
    from memnas_core.prediction.classifier import Prediction


def predict_images(store: Path, target: str, paths: Sequence[Path], as_json: bool) -> None:
    """Print class and score of each image; those that can be read are printed although others cannot.

    Args:
        store: Folder of the store.
        target: `SEARCH`, `SEARCH/ID` or `ID`; see `memnas_core.export.store`.
        paths: Files of images.
        as_json: Whether to print one JSON document.

    Raises:
        InputError: There is no such network, or a file cannot be read.
    """
    from memnas_core.prediction.classifier import Unreadable, load_classifier, unreadable_error

    unreadable: list[Unreadable] = []
    document: list[dict[str, object]] = []
    for outcome in load_classifier(target, store).each(paths):
        if isinstance(outcome, Unreadable):
            unreadable.append(outcome)
            document.append({"image": str(outcome.path), "error": outcome.reason})
        elif as_json:
            document.append(_entry(outcome))
        else:
            click.echo(printable(f"{outcome.path}: {outcome.class_name} {outcome.score:.4f}"))
    if as_json:
        click.echo(json.dumps(document, indent=2))
    if unreadable:
        raise unreadable_error(unreadable, len(paths))


def _entry(found: "Prediction") -> dict[str, object]:
    return {
        "image": str(found.path),
        "class": found.class_name,
        "score": found.score,
        "scores": dict(found.scores),
    }
