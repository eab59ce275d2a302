"""Training speed in images a second: of one core against a plain PyTorch loop, of two workers, and against the peak.

Three questions, for a small network (digits) and a larger one (Fashion-MNIST):

1. How many images a second does one core train, and how much does each step from a plain loop to memnas's bring? All
   loops take turns, so that other load on the machine affects all alike. Regions compiled by torch are one more loop;
   their compilation has its own row.
2. How many images do two worker processes train together, compared with one?
3. What share of the machine's convolution peak is that? The peak is the best of several large single convolutions on
   one thread, measured in the same run. A training step counts as three forward passes, for each layer's output, weight
   gradient and input gradient; layers that read the image need no input gradient.

Run on an otherwise idle machine: python -m benchmarks.training_speed \
    --page docs/training-speed.md --picture docs/pictures/training-speed.svg
"""

import os
import random
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import click
import torch
from torch import nn
from torch.nn.functional import conv2d

from benchmarks.circumstances import circumstances
from benchmarks.page import with_tables
from benchmarks.training_speed.loops import LOOPS
from benchmarks.training_speed.loops import train as train_plainly
from benchmarks.training_speed.report import (
    COMPILING,
    LOOKS,
    MEMNAS,
    PEAK,
    REGIONS,
    WORKERS,
    Row,
    findings,
    speed_picture,
    tables,
)
from memnas_core.data import Dataset, Split, open_dataset, prepare_dataset
from memnas_core.files.parquet import write_parquet
from memnas_core.files.writing import write_text
from memnas_core.settings.file import load_settings
from memnas_core.settings.schema import TrainingSettings
from memnas_core.space.architecture import Architecture
from memnas_core.space.graph import IMAGE, Graph
from memnas_core.space.layers import Layer, LayerKind
from memnas_core.space.moves import apply, growths, seed_architecture
from memnas_core.training.loop import prepare_process, train
from memnas_core.training.network import Network, build_network

SEED = 0
FILTERS = 16

PEAK_SHAPES = ((32, 64, 32), (32, 128, 16), (16, 256, 16), (64, 256, 8))
"""Images, input and output channels, and side of the 3x3 convolutions that are tried for the peak."""


@dataclass(frozen=True, slots=True)
class Task:
    """A network and its training data; small, as it is sent to worker processes.

    Attributes:
        name: Name of the network.
        architecture: Architecture of the network.
        folder: Folder of the prepared images.
        settings: The training section of the settings.
    """

    name: str
    architecture: Architecture
    folder: Path
    settings: TrainingSettings

    def dataset(self) -> Dataset:
        """Return the images with a single one for validation, as accuracy is not timed."""
        data = open_dataset(self.folder)
        return replace(data, validation=Split(data.validation.images[:1], data.validation.labels[:1]))

    def graph(self) -> Graph:
        """Return the network's layers."""
        info = open_dataset(self.folder).info
        return info.graph(self.architecture)

    def network(self) -> Network:
        """Return the network with newly drawn weights."""
        return build_network(self.graph(), SEED)


def tasks(store: Path, images: int) -> tuple[Task, ...]:
    """Return the small and the larger network, with epochs of about a given number of images."""
    found = []
    for name, params, cells, share in (("small", "params.yaml", 1, 4), ("larger", "params.fashion.yaml", 3, 1)):
        settings = load_settings(Path(params))
        architecture = seed_architecture(settings.network.strides, FILTERS)
        rng = random.Random(SEED)
        while len(architecture.blocks[0].cells) < cells:
            architecture = apply(architecture, rng.choice(list(growths(architecture)))) or architecture
        data = replace(settings.data, max_training_images=min(images, 1024))
        folder = prepare_dataset(data, SEED, store, divisible_by=architecture.reduction)
        epochs = max(1, share * images // open_dataset(folder).info.train_size)
        found.append(Task(name, architecture, folder, replace(settings.training, epochs=epochs, device="cpu")))
    return tuple(found)


def training_flops(graph: Graph) -> int:
    """Return the floating-point operations of a training step for one image, in convolutions and products only."""
    return sum(2 * multiplications(layer) * (2 if IMAGE in layer.inputs else 3) for layer in graph.layers)


def multiplications(layer: Layer) -> int:
    """Return the multiplications of a layer's forward pass for one image."""
    if layer.kind is LayerKind.CONV:
        height, width = layer.kernel
        return height * width * (layer.in_channels // layer.groups) * layer.output.elements
    return layer.in_channels * layer.output.channels if layer.kind is LayerKind.LINEAR else 0


def loop_rows(task: Task, repeats: int) -> Iterator[Row]:
    """Yield the speed of every loop in every repeat, all loops warm.

    memnas trains in a process prepared like its workers. The plain loop and the steps from it train in a process with
    torch's defaults except for its single thread. Only one of the two processes works at any time.
    """
    flops = training_flops(task.graph())
    with (
        ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (1,)) as usual,
        ProcessPoolExecutor(1, get_context("spawn"), prepare_process) as own,
    ):
        images, seconds = own.submit(turn, task, COMPILING).result()
        yield Row.of(COMPILING, task.name, 1, images, seconds, flops)
        for repeat in range(repeats + 1):
            for name in LOOKS:
                pool = own if name in (MEMNAS, REGIONS) else usual
                images, seconds = pool.submit(turn, task, name).result()
                if repeat > 0:  # the first turns warm up
                    yield Row.of(name, task.name, repeat, images, seconds, flops)


def turn(task: Task, name: str) -> tuple[int, float]:
    """Let a loop train for its epochs in this process, whatever it trained before, and return images and seconds."""
    data, network = task.dataset(), _network(task, REGIONS if name == COMPILING else name)
    if name == COMPILING:
        batch = task.settings.batch_size
        data = replace(data, train=Split(data.train.images[:batch], data.train.labels[:batch]))
    settings = replace(task.settings, epochs=1) if name == COMPILING else task.settings
    plain = {loop.name: loop for loop in LOOPS}
    started = perf_counter()
    if name in plain:
        seen = train_plainly(network, data, settings, plain[name])
    else:
        seen = train(network, data, settings, SEED).images_seen
    return seen, perf_counter() - started


@cache
def _network(task: Task, name: str) -> Network:
    """Return the network that a loop trains in this process, the same in every turn."""
    network = task.network()
    if name == REGIONS:
        compile_regions(network)
    return network


def compile_regions(network: Network) -> None:
    """Let torch compile each convolution with its batch norm and ReLU, without caches from other runs."""
    import torch._dynamo.config as dynamo
    import torch._inductor.config as inductor

    inductor.force_disable_caches = True
    dynamo.recompile_limit = 1000
    torch.compiler.reset()
    for layer in network.layers.values():
        if isinstance(layer, nn.Sequential):
            layer.compile(dynamic=False)


def worker_rows(task: Task, repeats: int) -> Iterator[Row]:
    """Yield the speed of one and of two worker processes together, taking turns."""
    flops = training_flops(task.graph())
    with ProcessPoolExecutor(2, get_context("spawn"), initializer=prepare_process) as pool:
        list(pool.map(train_once, [task] * 4))  # starts both processes and warms them up
        for repeat in range(1, repeats + 1):
            for workers in (1, 2):
                ended = list(pool.map(train_once, [task] * workers))
                seconds = max(end for _, end, _ in ended) - min(start for start, _, _ in ended)
                yield Row.of(WORKERS[workers - 1], task.name, repeat, sum(seen for _, _, seen in ended), seconds, flops)


def train_once(task: Task) -> tuple[float, float, int]:
    """Return when a training in a worker began and ended, on the machine's clock, and the images seen."""
    data, network = task.dataset(), task.network()
    started = perf_counter()
    seen = train(network, data, task.settings, SEED).images_seen
    return started, perf_counter(), seen


def peak_rows(repeats: int) -> Iterator[Row]:
    """Yield the speed of large single convolutions, channels last, on one thread."""
    with torch.no_grad():
        for images, channels, side in PEAK_SHAPES:
            batch = torch.randn(images, channels, side, side).contiguous(memory_format=torch.channels_last)
            weight = torch.randn(channels, channels, 3, 3).contiguous(memory_format=torch.channels_last)
            flops = 2 * 9 * channels**2 * side**2
            conv2d(batch, weight, padding=1)
            for repeat in range(1, repeats + 1):
                started = perf_counter()
                for _ in range(5):
                    conv2d(batch, weight, padding=1)
                name = f"{channels} channels, {side}x{side}"
                yield Row.of(PEAK, name, repeat, 5 * images, perf_counter() - started, flops)


def notes(networks: tuple[Task, ...], repeats: int) -> Iterator[str]:
    """Yield command, machine, versions, n and spread."""
    remark = f"load {os.getloadavg()[0]:.1f} at the end; one thread a process"
    yield from circumstances("training_speed", ("torch", "torchvision", "numpy"), remark)
    for task in networks:
        info, graph = open_dataset(task.folder).info, task.graph()
        yield (
            f"- {task.name} network: {info.name} at {info.shape[1]}x{info.shape[2]}, cells a block: "
            f"{len(task.architecture.blocks[0].cells)}, F = {FILTERS}, {graph.weights:,} weights, "
            f"{training_flops(graph) / 1e6:.1f} MFLOP an image in training, batches of {task.settings.batch_size}"
        )
    yield f"- n: {repeats} of everything, compilation once; median (least to most); ratios are taken within a repeat"


@click.command(help="Measure how fast candidates train.")
@click.option("--store", type=click.Path(path_type=Path), default=Path("store/benchmarks/training-speed"))
@click.option("--rows", type=click.Path(path_type=Path), default=Path("benchmarks/results/training_speed.parquet"))
@click.option("--page", type=click.Path(exists=True, path_type=Path), help="Put findings and tables between its marks.")
@click.option("--picture", type=click.Path(path_type=Path), help="Write the figure there.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True)
@click.option("--images", type=click.IntRange(128), default=2048, show_default=True, help="In a turn, about.")
def main(store: Path, rows: Path, page: Path | None, picture: Path | None, repeats: int, images: int) -> None:
    """Measure, write and print."""
    prepare_process()
    networks = tasks(store, images)
    table = list(peak_rows(repeats))
    for task in networks:
        table += loop_rows(task, repeats)
        table += worker_rows(task, repeats)
        print(f"{task.name}: measured", file=sys.stderr, flush=True)
    write_parquet(rows, Row, table)
    lines = [*findings(table), "", *notes(networks, repeats), "", *tables(table)]
    print("\n".join(lines))
    if page is not None:
        write_text(page, with_tables(page.read_text(encoding="utf-8"), lines, page))
    if picture is not None:
        write_text(picture, speed_picture(table) + "\n")


if __name__ == "__main__":
    main()
