"""All that is known about an exported file, for what lies beside it."""

from dataclasses import dataclass

from memnas_core.export.check import CheckResult
from memnas_core.export.file_format import FileFormat, OpenedFile
from memnas_core.export.store import TrainedNetwork
from memnas_core.export.vectors import Vectors
from memnas_core.firmware.emulation import Firmware


@dataclass(frozen=True, slots=True)
class Exported:
    """A network's file, opened and checked.

    Attributes:
        trained: The network and its record.
        wanted: Format of the file.
        int8: Whether the file is quantised.
        name: Name of the file.
        content: Content of the file.
        opened: The file, opened with its runtime.
        check: Result of running the file.
        vectors: Test vectors that lie beside the file; `memnas_core.export.sheet.vector_names` names them.
        firmware: What it takes on emulated cores; empty if it was not emulated.
    """

    trained: TrainedNetwork
    wanted: FileFormat
    int8: bool
    name: str
    content: bytes
    opened: OpenedFile
    check: CheckResult
    vectors: Vectors
    firmware: tuple[Firmware, ...] = ()
