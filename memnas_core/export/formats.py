"""From a format's name to the module that writes and opens it."""

from pathlib import Path

from torch import Tensor

from memnas_core.deployed import DeployedNetwork
from memnas_core.export.executorch_file import open_executorch, write_executorch
from memnas_core.export.model_file import Format, OpenedFile
from memnas_core.export.onnx_file import open_onnx, write_onnx
from memnas_core.export.pt2_file import open_pt2, write_pt2


def write_file(wanted: Format, network: DeployedNetwork, images: Tensor, int8: bool, facts: str) -> bytes:
    """Return a network in a format.

    Args:
        wanted: The format.
        network: What to write.
        images: Normalised training images, shape (n, channels, height, width); int8 is calibrated on them.
        int8: Whether to quantise.
        facts: JSON to put into the file where the format has a place for it; ExecuTorch's has none.
    """
    match wanted:
        case Format.ONNX:
            return write_onnx(network, images, int8, facts)
        case Format.EXECUTORCH:
            return write_executorch(network, images, int8)
        case Format.PT2:
            return write_pt2(network, images, int8, facts)


def open_file(wanted: Format, path: Path, int8: bool) -> OpenedFile:
    """Open a file with its runtime."""
    match wanted:
        case Format.ONNX:
            return open_onnx(path)
        case Format.EXECUTORCH:
            return open_executorch(path, int8)
        case Format.PT2:
            return open_pt2(path, int8)
