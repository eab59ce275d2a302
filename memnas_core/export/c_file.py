"""C for microcontrollers: one source with the network, its constants and its arena, and a header for its callers.

The network computes with int8, as the int8 `.pte` does: the integers are read from the same lowering. On this machine
the source is compiled and called, so that what is checked is what ships.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from memnas_core.export.file_format import DeviceBytes, FileFormat, OpenedFile
from memnas_core.export.vectors import Vectors
from memnas_core.firmware.boards import BOARDS
from memnas_core.firmware.cost import predicted_cost
from memnas_core.firmware.host import HostNetwork
from memnas_core.firmware.interface import header_of, prefix_of, read_interface, with_test
from memnas_core.firmware.layout import lay_out
from memnas_core.firmware.source import c_source, interface_of
from memnas_core.firmware.tools import HOST_COMPILER
from memnas_core.space.graph import Graph
from memnas_core.training.deployed import DeployedNetwork

HEADER_SUFFIX = ".h"


class CFormat(FileFormat):
    """C99 without a library; any compiler with 32-bit ints takes it."""

    name = "c"
    described = "C source"
    suffix = ".c"
    packages = ("executorch", "torchao")
    tools = (HOST_COMPILER,)
    carries_facts = False
    int8_only = True

    def beside(self, name: str) -> tuple[str, ...]:
        """Return the name of the header."""
        return (f"{name.removesuffix(self.suffix)}{HEADER_SUFFIX}",)

    def write(self, network: DeployedNetwork, images: Tensor, int8: bool, facts: str) -> bytes:  # noqa: ARG002
        """Return the source."""
        from memnas_core.export.lowered import quantised_network

        known = json.loads(facts)
        quantised = quantised_network(network, images)
        notes = (
            f"Network {known['arch_id']} of search {known['search']}, written by {known['made_by']}.",
            f"Data set: {known['data_set']}. Licence of memnas: {known['licence']}.",
        )
        mean, std = known["channel_mean"], known["channel_std"]
        interface = interface_of(quantised, prefix_of(known["search"]), known["classes"], mean, std, notes)
        return c_source(quantised, interface).encode()

    def open(self, path: Path, int8: bool) -> OpenedFile:  # noqa: ARG002
        """Compile the source for this machine."""
        network = HostNetwork.compile(path)
        interface = network.interface
        mean, std = (np.array(values, np.float32) for values in (interface.mean, interface.std))

        def run(image: Tensor) -> Tensor:
            normal = image.permute(0, 2, 3, 1).numpy()
            pixels = np.round((normal * std + mean) * 255).clip(0, 255).astype(np.uint8)
            return torch.from_numpy(interface.scores.real(network.run(pixels)))

        return OpenedFile(
            "any processor with a C99 compiler",
            "this machine, with its C compiler",
            interface.arena_bytes,
            on_this_machine=True,
            channels_last=True,
            run=run,
            scores=interface.scores,
        )

    def finished(self, content: bytes, vectors: Vectors) -> tuple[bytes, ...]:
        """Return the source with the test vectors in it, and the header."""
        source = content.decode()
        interface = read_interface(source, self.described)
        whole = with_test(source, interface, vectors.images, vectors.outputs)
        return whole.encode(), header_of(source).encode()

    def predicted_bytes(self, graph: Graph, int8: bool) -> int | None:
        """Return the arena, which is all static memory of the network."""
        return lay_out(graph).bytes if int8 else None

    def on_device(self, graph: Graph, file_bytes: int, core: str | None) -> DeviceBytes:  # noqa: ARG002
        """Return flash and stack of the whole firmware, on a core that is not known the most on any."""
        cores = (core,) if core is not None and core in BOARDS else tuple(BOARDS)
        costs = [predicted_cost(graph, name) for name in cores]
        return DeviceBytes("flash", max(cost.flash_bytes for cost in costs), max(cost.stack_bytes for cost in costs))

    def prediction_words(self, int8: bool) -> str:  # noqa: ARG002
        """Return in words what is predicted."""
        return "the arena of the C"


C = CFormat()
