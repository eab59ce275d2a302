"""What all formats have in common: their names, an opened file, and the error of a file that is not right."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from typing import TYPE_CHECKING

from memnas_core.errors import InputError, MemnasError

if TYPE_CHECKING:  # the command line names formats before it needs torch
    from torch import Tensor

EXTRA = "memnas[export]"


class ExportError(MemnasError):
    """A network could not be written in a format, or the file does not compute what the network computes."""


class Format(StrEnum):
    """A file format."""

    ONNX = "onnx"
    EXECUTORCH = "executorch"
    PT2 = "pt2"

    @property
    def described(self) -> str:
        """What a file of this format is called."""
        return {"onnx": "ONNX model", "executorch": "ExecuTorch program", "pt2": "program of torch"}[self]

    @property
    def suffix(self) -> str:
        """What the name of a file ends with."""
        return {"onnx": ".onnx", "executorch": ".pte", "pt2": ".pt2"}[self]

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages beside torch that write and run it."""
        return {
            "onnx": ("onnx", "onnxscript", "onnxruntime"),
            "executorch": ("executorch", "torchao"),
            "pt2": ("executorch", "torchao"),
        }[self]


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file that is ready to run.

    Attributes:
        runtime: What it is for, with version, in words.
        ran_by: What runs it here, in words.
        planned_bytes: Memory for activations that the file's own plan reserves; None where the runtime has no plan.
        on_this_machine: Whether `ran_by` is `runtime` itself, so that its time means something.
        channels_last: Whether the image lies in memory with the channels last.
        run: Maps one normalised image, shape (1, channels, height, width), to class scores, shape (1, classes).
    """

    runtime: str
    ran_by: str
    planned_bytes: int | None
    on_this_machine: bool
    channels_last: bool
    run: "Callable[[Tensor], Tensor]"


def needs_extra(wanted: Format, int8: bool) -> bool:
    """Return whether a format needs packages beyond torch; torch writes and runs pt2 itself in float32."""
    return wanted is not Format.PT2 or int8


def check_extra(wanted: Format, int8: bool) -> None:
    """Refuse a format whose packages are not installed.

    Raises:
        InputError: Says what to install.
    """
    if not needs_extra(wanted, int8):
        return
    missing = [package for package in wanted.packages if not _is_installed(package)]
    if missing:
        raise InputError(
            f"--format {wanted}{' --int8' if int8 else ''}: expected {', '.join(wanted.packages)} to be installed, "
            f"found no {', '.join(missing)}; install them with pip install '{EXTRA}'"
        )


@contextmanager
def export_errors(wanted: Format, arch_id: str) -> Iterator[None]:
    """Turn what a library says against a network into an `ExportError` that names format and network."""
    try:
        yield
    except MemnasError:
        raise
    except Exception as error:
        what = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ExportError(
            f"network {arch_id}: expected {wanted} to take it, found {type(error).__name__}: {what}; "
            "nothing was written"
        ) from error


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
