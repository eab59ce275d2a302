"""Torch's exported programs (.pt2), which torch itself loads and runs without memnas.

In int8 the weights are int8, and each activation is rounded to the int8 value that it would have; torch computes with
these values in float32. A backend that has int8 operators can compile the program to them. Run by torch, the program
shows the accuracy in int8, but needs no less memory for activations than in float32.
"""

import io
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from memnas_core.export.cortex_m import quiet
from memnas_core.export.file_format import FileFormat, OpenedFile
from memnas_core.export.quantise import channels_first, export_float, export_int8
from memnas_core.training.deployed import DeployedNetwork

FACTS_FILE = "memnas.json"

_DEBUGGING = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn")
"""Torch's notes at each node on the Python code that it came from; in a small network they are most of the file."""


class Pt2Format(FileFormat):
    """Torch's exported programs; torch writes and runs them itself in float32."""

    name = "pt2"
    described = "program of torch"
    suffix = ".pt2"
    packages = ("executorch", "torchao")

    def needs_packages(self, int8: bool) -> bool:
        """Return whether the packages are needed: to quantise."""
        return int8

    def write(self, network: DeployedNetwork, images: Tensor, int8: bool, facts: str) -> bytes:
        """Return the network as an exported program for one image, with the facts in it as `memnas.json`."""
        with quiet():
            program = export_int8(network, images) if int8 else export_float(network, images[:1])
            for node in program.graph.nodes:
                for key in _DEBUGGING:
                    node.meta.pop(key, None)
            content = io.BytesIO()
            torch.export.save(program, content, extra_files={FACTS_FILE: facts})
        return content.getvalue()

    def open(self, path: Path, int8: bool) -> OpenedFile:
        """Open a program with torch."""
        with quiet():
            if int8:  # registers the operations that quantise and dequantise
                import torchao.quantization.pt2e.quantize_pt2e  # noqa: F401
            with path.open("rb") as file:
                program: ExportedProgram = torch.export.load(file)
            module = program.module()

        def run(image: Tensor) -> Tensor:
            with torch.no_grad():
                scores = module(channels_first(image))
            assert isinstance(scores, Tensor), "a network returns a tensor"
            return scores

        name = f"torch {torch.__version__}"
        return OpenedFile(name, name, None, on_this_machine=True, channels_last=False, run=run)


PT2 = Pt2Format()
