"""The facts in an exported file, read by the libraries that wrote it."""

from pathlib import Path

import onnx
import torch

from memnas_core.export.onnx_file import FACTS_KEY
from memnas_core.export.pt2_file import FACTS_FILE


def facts_of_onnx(path: Path) -> str:
    (found,) = (entry.value for entry in onnx.load(str(path)).metadata_props if entry.key == FACTS_KEY)
    return str(found)


def facts_of_pt2(path: Path) -> str:
    wanted: dict[str, str] = {FACTS_FILE: ""}
    with path.open("rb") as file:
        torch.export.load(file, extra_files=wanted)
    return wanted[FACTS_FILE]
