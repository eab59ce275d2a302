"""Torch's exported programs (.pt2), which torch itself loads and runs without memnas.

In int8 the weights are int8, and each activation is rounded to the int8 value that it would have; torch computes with
these values in float32. A backend that has int8 operators compiles them from this program. Run by torch as it is, it
tells the accuracy in int8 and needs no less memory for activations than float32.
"""

import io
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from memnas_core.deployed import DeployedNetwork
from memnas_core.export.cortex_m import quiet
from memnas_core.export.model_file import OpenedFile
from memnas_core.export.quantise import channels_first, channels_last, export_float, export_int8

FACTS_FILE = "memnas.json"

_DEBUGGING = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn")
"""What torch notes at each node about the Python code it came from: in a small network most of the file."""


def write_pt2(network: DeployedNetwork, images: Tensor, int8: bool, facts: str) -> bytes:
    """Return the network as an exported program for one image.

    Args:
        network: What to write.
        images: Normalised training images, shape (n, channels, height, width); int8 is calibrated on them.
        int8: Whether weights are int8 and activations have int8 values.
        facts: JSON to put into the file as `memnas.json`.
    """
    with quiet():
        program = export_int8(network, images) if int8 else export_float(network, images[:1])
        for node in program.graph.nodes:
            for key in _DEBUGGING:
                node.meta.pop(key, None)
        content = io.BytesIO()
        torch.export.save(program, content, extra_files={FACTS_FILE: facts})
    return content.getvalue()


def open_pt2(path: Path, int8: bool) -> OpenedFile:
    """Open a program with torch."""
    with quiet():
        if int8:  # registers the operations that quantise and dequantise
            import torchao.quantization.pt2e.quantize_pt2e  # noqa: F401
        with path.open("rb") as file:
            program: ExportedProgram = torch.export.load(file)
        module = program.module()
    laid_out = channels_last if int8 else channels_first

    def run(image: Tensor) -> Tensor:
        with torch.no_grad():
            scores = module(laid_out(image))
        assert isinstance(scores, Tensor), "a network returns a tensor"
        return scores

    name = f"torch {torch.__version__}"
    return OpenedFile(name, name, None, on_this_machine=True, channels_last=int8, run=run)


def read_facts(path: Path) -> str:
    """Return the JSON that a file carries."""
    wanted: dict[str, str] = {FACTS_FILE: ""}
    with path.open("rb") as file:
        torch.export.load(file, extra_files=wanted)
    return wanted[FACTS_FILE]
