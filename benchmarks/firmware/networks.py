"""The networks of the firmware benchmark, and each network's measurement in a file of its own."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from memnas_core.export import cortex_m
from memnas_core.export.executorch_file import smaller_plan
from memnas_core.export.lowered import read_lowered
from memnas_core.export.program_runner import ProgramRunner
from memnas_core.export.quantise import TakesChannelsLast, channels_last, export_int8
from memnas_core.files.writing import write_text
from memnas_core.firmware.boards import BOARDS
from memnas_core.firmware.cost import predicted_cost
from memnas_core.firmware.emulation import emulate
from memnas_core.firmware.host import HostNetwork
from memnas_core.firmware.layout import lay_out
from memnas_core.firmware.quantised import QuantisedNetwork
from memnas_core.firmware.source import c_source, interface_of
from memnas_core.memory.running_order import best_order
from memnas_core.space.architecture import Architecture
from memnas_core.space.architecture_json import from_json
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape
from memnas_core.space.lineages import draw_lineages
from memnas_core.training.deployed import DeployedNetwork, deploy
from memnas_core.training.network import build_network

FOUND_SHAPE = Shape(1, 16, 16)
"""Input shape of Fashion-MNIST, as in the committed searches."""

RANDOM_SHAPES = (Shape(1, 8, 8), Shape(3, 16, 16), Shape(3, 32, 32), Shape(1, 24, 24))
FILTERS = (8, 16, 8, 12)
STRIDES = (2, 1, 2, 1, 1)
LINEAGES, ROUNDS, CHILDREN = 3, 3, 2
CLASSES, SEED = 10, 0
CALIBRATION_IMAGES, IMAGES, REFERENCE_IMAGES = 32, 8, 4
MEAN, STD = 0.5, 0.25


class Subject(NamedTuple):
    """A network to measure, and the shape of its images."""

    architecture: Architecture
    shape: Shape

    @property
    def name(self) -> str:
        """Name of the network and its images."""
        return f"{self.architecture.arch_id}-{'x'.join(map(str, self.shape))}"


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found on a core.

    Attributes:
        core: The core.
        ram: Static RAM, in bytes.
        stack: Stack, in bytes.
        flash: Flash of the whole firmware, in bytes.
        instructions: Instructions of one image.
        images: Images that ran.
        equal: Images whose scores are those of the C on this machine.
        reference_images: Images that ExecuTorch's reference of the int8 program ran, too.
        same_class: Images of those that have the same class there.
    """

    core: str
    ram: int
    stack: int
    flash: int
    instructions: int
    images: int
    equal: int
    reference_images: int
    same_class: int


@dataclass(frozen=True, slots=True)
class Row:
    """A network on a core: a line of `benchmarks/results/firmware.parquet`; memory in bytes."""

    arch_id: str
    input_shape: str
    core: str
    arena_predicted: int
    ram_static: int
    stack: int
    flash_predicted: int
    flash: int
    instructions_predicted: int
    instructions: int
    images: int
    equal: int
    reference_images: int
    same_class: int


def subjects(searches: Path) -> list[Subject]:
    """Return the networks that searches found, and random ones at several sizes of images.

    Args:
        searches: Folder with a folder for each search.
    """
    found = [
        Subject(from_json(path.read_text(encoding="utf-8"), str(path)), FOUND_SHAPE)
        for path in sorted(searches.glob("*/architecture.json"))
    ]
    random = [
        [
            Subject(one.candidate.architecture, shape)
            for one in draw_lineages(STRIDES, filters, LINEAGES, ROUNDS, CHILDREN, SEED + number)
        ]
        for number, (shape, filters) in enumerate(zip(RANDOM_SHAPES, FILTERS, strict=True))
    ]
    # Taken in turn, so that the first few are of all kinds.
    kinds = [found, *random]
    longest = max(map(len, kinds))
    mixed = [kind[place] for place in range(longest) for kind in kinds if place < len(kind)]
    return list({subject.name: subject for subject in mixed}.values())


def measure(subject: Subject, folder: Path) -> list[Measured]:
    """Return what a network takes on each core, from its file if it has one."""
    path = folder / f"{subject.name}.json"
    if path.is_file():
        return [Measured(**one) for one in json.loads(path.read_text(encoding="utf-8"))]
    found = _measure(subject)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps([asdict(one) for one in found], indent=1) + "\n")
    return found


def rows_of(subject: Subject, measured: list[Measured]) -> list[Row]:
    """Return the rows of a network, with what memnas predicts for it."""
    architecture, shape = subject
    graph, _ = best_order(lower(architecture, shape, CLASSES))
    arena, rows = lay_out(graph).bytes, []
    for one in measured:
        cost = predicted_cost(graph, one.core)
        rows.append(
            Row(
                architecture.arch_id,
                "x".join(map(str, shape)),
                one.core,
                arena,
                one.ram,
                one.stack,
                cost.flash_bytes,
                one.flash,
                cost.instructions,
                one.instructions,
                one.images,
                one.equal,
                one.reference_images,
                one.same_class,
            )
        )
    return rows


def _measure(subject: Subject) -> list[Measured]:
    shape, rng = subject.shape, np.random.default_rng(SEED)
    size = (IMAGES, shape.height, shape.width, shape.channels)
    pixels = rng.integers(0, 256, size, dtype=np.uint8)
    deployed = _network(subject)
    calibration = _normal(rng.integers(0, 256, (CALIBRATION_IMAGES, *size[1:]), dtype=np.uint8))
    quantised, reference = _both(deployed, calibration)
    mean, std = [MEAN] * shape.channels, [STD] * shape.channels
    names = [str(number) for number in range(CLASSES)]
    source = c_source(quantised, interface_of(quantised, "net", names, mean, std, []))
    with TemporaryDirectory() as name:
        path = Path(name) / "net.c"
        path.write_text(source, encoding="utf-8")
        expected = HostNetwork.compile(path).run(pixels)
        images = _normal(pixels[:REFERENCE_IMAGES]).split(1)
        theirs = np.array([int(reference.run(channels_last(image)).argmax()) for image in images])
        same = int((theirs == expected[:REFERENCE_IMAGES].argmax(1)).sum())
        found = []
        for core in BOARDS:
            one = emulate(path, core, pixels)
            equal = int((one.scores == expected).all(1).sum())
            assert one.instructions is not None, "an image takes fewer than 600 million instructions"
            figures = (one.ram_bytes, one.stack_bytes, one.flash_bytes, one.instructions)
            found.append(Measured(core, *figures, IMAGES, equal, REFERENCE_IMAGES, same))
    return found


def _both(deployed: DeployedNetwork, calibration: torch.Tensor) -> tuple[QuantisedNetwork, ProgramRunner]:
    """Return a network in integers, and ExecuTorch's program of the same, run by its reference operators."""
    from executorch.exir import ExecutorchBackendConfig
    from executorch.exir.passes import MemoryPlanningPass

    with cortex_m.quiet():
        edge = cortex_m.to_cortex_m(export_int8(TakesChannelsLast(deployed), channels_last(calibration)), "cortex-m0")
        quantised = read_lowered(deployed, edge.exported_program())
        program = edge.to_executorch(ExecutorchBackendConfig(memory_planning_pass=MemoryPlanningPass(smaller_plan)))
        return quantised, ProgramRunner(bytes(program.buffer))


def _network(subject: Subject) -> DeployedNetwork:
    """Return the network with random weights, whose batch norms have seen noise."""
    network = build_network(lower(subject.architecture, subject.shape, CLASSES), SEED)
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.uniform_(-0.5, 0.5, generator=generator)
        for _ in range(8):
            network.train()(torch.randn(16, *subject.shape, generator=generator))
    return deploy(network.eval())


def _normal(pixels: np.ndarray) -> torch.Tensor:
    """Return normalised images, shape (n, channels, height, width)."""
    return torch.from_numpy(((pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255) - MEAN) / STD)
