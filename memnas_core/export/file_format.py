"""What a file format is to memnas: how a network is written, opened again and run, and what its runtime needs.

`FORMATS` names the formats; each is a module of its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from memnas_core.errors import InputError, MemnasError
from memnas_core.firmware.tools import require
from memnas_core.registry import Registry

if TYPE_CHECKING:  # the command line names formats before it needs torch
    from torch import Tensor

    from memnas_core.export.vectors import Vectors
    from memnas_core.firmware.quantised import Quantisation
    from memnas_core.space.graph import Graph
    from memnas_core.training.deployed import DeployedNetwork

EXTRA = "memnas[export]"


class ExportError(MemnasError):
    """A network could not be written in a format, or the file does not compute what the network computes."""


class AllocatorNeeds(NamedTuple):
    """Bytes that the allocators of a runtime hand out for its own tables, with the gaps of alignment.

    Attributes:
        method: What is kept as long as the file is loaded.
        temporary: Largest amount at one time while it is loaded.
    """

    method: int
    temporary: int


class DeviceBytes(NamedTuple):
    """What a device needs for a file beside activations.

    Attributes:
        stored_as: What it stores, in a word.
        stored: Bytes of that.
        stack: Stack, in bytes; 0 where it is not known.
    """

    stored_as: str
    stored: int
    stack: int


@dataclass(frozen=True, slots=True)
class Needs:
    """What the caller of a file has to bring, as far as the file says it.

    Attributes:
        operators: Operators that the runtime must have, with their overload or domain; empty if it has them all.
        buffers: Bytes of each buffer that the caller provides for activations; empty if the runtime allocates them.
        allocators: Bits of a pointer -> what the runtime's own allocators must have; empty if it is not known.
        input_name: Name of the input; empty if there is none to give.
        output_name: Name of the output; empty if there is none to give.
    """

    operators: tuple[str, ...] = ()
    buffers: tuple[int, ...] = ()
    allocators: Mapping[int, AllocatorNeeds] = field(default_factory=dict)
    input_name: str = ""
    output_name: str = ""


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file that is ready to run.

    Attributes:
        runtime: What it is for, with version, in words.
        ran_by: What runs it here, in words.
        planned_bytes: Memory for activations that the file's own plan reserves; None where the runtime has no plan.
        on_this_machine: Whether `ran_by` is `runtime` itself, so that its time means something.
        channels_last: Whether the file takes an image of shape (1, height, width, channels); `run` lays it out so.
        run: Maps one normalised image, shape (1, channels, height, width), to class scores, shape (1, classes).
        needs: What a caller of the file has to bring.
        scores: What its scores stand for, if it takes the bytes of the pixels and gives int8; None: it takes and gives
            float32.
    """

    runtime: str
    ran_by: str
    planned_bytes: int | None
    on_this_machine: bool
    channels_last: bool
    run: "Callable[[Tensor], Tensor]"
    needs: Needs = field(default_factory=Needs)
    scores: "Quantisation | None" = None

    @property
    def input_dtype(self) -> str:
        """Type of the file's input."""
        return "float32" if self.scores is None else "uint8"

    @property
    def output_dtype(self) -> str:
        """Type of the file's scores."""
        return "float32" if self.scores is None else "int8"


class FileFormat(ABC):
    """A file format.

    Attributes:
        name: What the command line calls it.
        described: What a file of this format is called.
        suffix: What the name of a file ends with.
        packages: The packages beside torch that write and run it.
        tools: The programs that run it.
        carries_facts: Whether a file has a place for facts about the network.
        int8_only: Whether files are quantised whether asked for or not.
    """

    name: ClassVar[str]
    described: ClassVar[str]
    suffix: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    tools: ClassVar[tuple[str, ...]] = ()
    carries_facts: ClassVar[bool] = True
    int8_only: ClassVar[bool] = False

    def __str__(self) -> str:
        return self.name

    def needs_packages(self, int8: bool) -> bool:  # noqa: ARG002 -- most formats always do
        """Return whether the packages are needed."""
        return True

    def cores(self, int8: bool) -> tuple[str, ...]:  # noqa: ARG002 -- most files run on any processor
        """Return the processor cores of which a file is for one; none: a file runs on any processor."""
        return ()

    def for_core(self, core: str) -> "FileFormat":
        """Return a format that writes int8 files for one of `cores`."""
        raise NotImplementedError(f"{self}: files run on any core, also on {core}")

    @abstractmethod
    def write(self, network: "DeployedNetwork", images: "Tensor", int8: bool, facts: str) -> bytes:
        """Return a network as the bytes of a file for one image.

        Args:
            network: What to write.
            images: Normalised training images, shape (n, channels, height, width); int8 is calibrated on them.
            int8: Whether to quantise weights and activations.
            facts: JSON to put into the file where it has a place for it.
        """

    @abstractmethod
    def open(self, path: Path, int8: bool) -> OpenedFile:
        """Open a file with its runtime."""

    def beside(self, name: str) -> tuple[str, ...]:  # noqa: ARG002 -- most formats have one file
        """Return the names of further files that belong to a file of this name."""
        return ()

    def finished(self, content: bytes, vectors: "Vectors") -> tuple[bytes, ...]:  # noqa: ARG002
        """Return the content of the file and of those of `beside`, once the file has passed its check.

        Args:
            content: What `write` returned.
            vectors: Test vectors.
        """
        return (content,)

    def predicted_bytes(self, graph: "Graph", int8: bool) -> int | None:  # noqa: ARG002 -- most formats are not modelled
        """Return what the runtime of a file is predicted to reserve for activations at batch 1; None: nobody knows.

        Args:
            graph: The network in running order.
            int8: Whether the file is quantised.
        """
        return None

    def on_device(self, graph: "Graph", file_bytes: int, core: str | None) -> DeviceBytes:  # noqa: ARG002
        """Return what a device needs for a file, as far as it follows from the file.

        Args:
            graph: The network in running order.
            file_bytes: Size of the file.
            core: Core of the device; None: it is not known.
        """
        return DeviceBytes("file", file_bytes, 0)

    def prediction_words(self, int8: bool) -> str:  # noqa: ARG002
        """Return in words what `predicted_bytes` predicts."""
        return f"what {self.described} needs"


FORMATS: Registry[FileFormat] = Registry(
    "--format",
    {
        "onnx": "memnas_core.export.onnx_file:ONNX",
        "executorch": "memnas_core.export.executorch_file:EXECUTORCH",
        "pt2": "memnas_core.export.pt2_file:PT2",
        "c": "memnas_core.export.c_file:C",
    },
)
"""All formats, by the name that the command line gives them."""


def check_extra(wanted: FileFormat, int8: bool) -> None:
    """Refuse a format whose packages or programs are not installed.

    Raises:
        InputError: Says what to install.
    """
    require(wanted.tools, f"--format {wanted}")
    if not wanted.needs_packages(int8):
        return
    missing = [package for package in wanted.packages if not _is_installed(package)]
    if missing:
        raise InputError(
            f"--format {wanted}{' --int8' if int8 else ''}: expected {', '.join(wanted.packages)} to be installed, "
            f"found no {', '.join(missing)}; install them with pip install '{EXTRA}'"
        )


@contextmanager
def export_errors(wanted: FileFormat, arch_id: str) -> Iterator[None]:
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
