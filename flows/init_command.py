"""`memnas init FOLDER`: what a folder of images holds, and a settings file proposed for it."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.images import lines_of_counts
from memnas_core.errors import InputError
from memnas_core.files.outputs import refuse_special
from memnas_core.files.printable import printable

if TYPE_CHECKING:
    from memnas_core.settings.proposal import Proposal
    from memnas_core.settings.survey import Survey


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; write a file only with --output.")
@click.option("--output", type=click.Path(path_type=Path), help="Settings file to write; default: FOLDER's name.yaml.")
@click.option("--force", is_flag=True, help="Replace a settings file that is there.")
@click.option(
    "--image-size", type=click.IntRange(1, 8192), help="Side of the images in pixels; default: by their size."
)
@click.option("--follow-links", is_flag=True, help="Let links in the folder lead out of it.")
def init_command(
    folder: Path, as_json: bool, output: Path | None, force: bool, image_size: int | None, follow_links: bool
) -> None:
    """Look at a folder of images and write settings for it.

    Says which classes, counts and splits a search would take, and what is doubtful. No image is changed.
    """
    from flows.proposed import expected_seconds, settings_text
    from memnas_core.data.survey import survey_folder
    from memnas_core.files.writing import write_text
    from memnas_core.pictures.values import shown_seconds
    from memnas_core.settings.file import parse_settings
    from memnas_core.settings.proposal import propose

    folder = folder.expanduser()
    target = output or (None if as_json else Path(f"{folder.resolve().name or 'memnas'}.yaml"))
    if target is not None:
        check_target(target, force)
    survey = survey_folder(folder, follow_links)
    proposal = propose(survey, image_size)
    seconds = expected_seconds(survey, parse_settings(proposal.values, "the proposed settings"))
    if as_json:
        click.echo(
            json.dumps(
                as_document(survey, proposal) | {"seconds": seconds and [round(each, 1) for each in seconds]}, indent=1
            )
        )
    else:
        for line in lines_of(survey):
            click.echo(printable(line))
        if seconds is not None:
            span = " to ".join(map(shown_seconds, seconds))
            click.echo(f"A search with the proposed settings takes {span} on this machine.")
    if target is not None:
        write_text(target, settings_text(proposal))
        if not as_json:
            command = f"memnas search --params {shlex.quote(str(target))}"
            click.echo(printable(f"Settings: {target}. Search with: {command}"))


def as_document(survey: "Survey", proposal: "Proposal") -> dict[str, object]:
    """Return what `--json` prints."""
    return {
        "folder": str(survey.folder),
        "classes": survey.classes,
        "counts": survey.counts,
        "splits": survey.splits,
        "image_size": {"width": asdict(survey.width), "height": asdict(survey.height), "aspect": survey.aspect},
        "channels": survey.channels,
        "mean": survey.mean,
        "std": survey.std,
        "warnings": survey.warnings,
        "settings": proposal.values,
    }


def lines_of(survey: "Survey") -> list[str]:
    """Return what was found, in lines."""
    width, height = survey.width, survey.height
    return [
        *lines_of_counts(survey.counts, survey.splits),
        f"Sizes: {width.median} x {height.median} pixels (median), width {width.smallest} to {width.largest}, height "
        f"{height.smallest} to {height.largest}; {'grey' if survey.channels == 1 else 'colour'}.",
        *(f"Warning: {warning}." for warning in survey.warnings),
    ]


def check_target(target: Path, force: bool) -> None:
    """Refuse to replace what is there.

    Raises:
        InputError: Something of that name is there, and it is no plain file or is to stay.
    """
    refuse_special(target, "--output")
    if target.exists() and not force:
        raise InputError(
            f"{target}: expected no file, found one; add --force to replace it, or choose another --output"
        )
