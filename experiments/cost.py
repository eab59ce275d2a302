"""What a search would cost on this machine's device, estimated from the training speed of a few seconds.

    python -m experiments.cost --params params.paper.yaml

Networks with one cell in each block, with two, and so on are each trained for a few seconds on images of noise in the
shape of the settings' data set, with the same code that trains candidates (`memnas_core.training.loop`). No images are
needed, so the question can be asked before anything is downloaded.

The estimate is an upper bound: it assumes that every round grows, so that round r trains networks of r + 1 cells a
block.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np

from experiments.plan import RESULTS
from experiments.stage import run_stage
from memnas_core.data import DatasetInfo
from memnas_core.data.dataset import Dataset
from memnas_core.data.split_file import Split
from memnas_core.environment import machine, versions
from memnas_core.errors import SettingsError
from memnas_core.files.writing import write_text
from memnas_core.pictures.values import shown_seconds
from memnas_core.search.halving import planned_images, rung_images
from memnas_core.settings.file import load_settings
from memnas_core.settings.schema import Settings
from memnas_core.space.architecture import Architecture
from memnas_core.space.lineages import draw_growth
from memnas_core.space.moves import seed_architecture

SHAPES = {"digits": (1, 8, 10), "fashion-mnist": (1, 28, 10), "cifar10": (3, 32, 10)}
"""Channels, side and classes of the data sets that have a name."""

TRAINING_IMAGES = {"digits": 1_437, "fashion-mnist": 60_000, "cifar10": 50_000}
SECONDS_EACH = 5.0
NETWORKS_EACH = 3
MOST_CELLS = 6
"""Larger networks are not measured; their speed is extrapolated."""

SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Speed:
    """Training speed of networks with a given number of cells in a block, in images a second, and its range."""

    cells: int
    images_per_second: float
    slowest: float
    fastest: float


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a search with the given settings on the device that was measured.

    Attributes:
        params: The settings file.
        device: Name of the device.
        machine: Processor and operating system.
        torch: Version of torch.
        image_shape: Channels, height, width.
        training_images: Training images in one epoch.
        trainings: Candidates that the whole search trains.
        images: Training images that the whole search sees.
        speeds: Measured speed for each number of cells.
        device_days: Days on one such device with one training at a time, an upper bound.
    """

    params: str
    device: str
    machine: str
    torch: str
    image_shape: tuple[int, int, int]
    training_images: int
    trainings: int
    images: int
    speeds: tuple[Speed, ...]
    device_days: float


def round_images(settings: Settings, training_images: int) -> tuple[int, int]:
    """Return the training images of round 0 and of each later round, if every rung passes on as many as it may.

    Args:
        settings: Seeds, k, rungs and epochs.
        training_images: Training images in one epoch.
    """
    search, full = settings.search, settings.training.epochs * training_images

    def planned(shares: Sequence[float], candidates: int) -> int:
        rungs = rung_images(shares, settings.training, training_images)
        return planned_images([full if rung is None else rung for rung in rungs], candidates, search.keep)

    return planned(search.seed_rungs, search.first_networks), planned(search.rungs, search.top_k)


def search_days(settings: Settings, training_images: int, speeds: Sequence[Speed]) -> float:
    """Return the days that a search takes on one device, if every round grows.

    Args:
        settings: Settings that give rounds, k, rungs, epochs, and the largest number of cells.
        training_images: Training images in one epoch.
        speeds: Speeds of networks of 1, 2, ... cells; the time of larger networks is
            extrapolated from the last in proportion to their cells.
    """
    search = settings.search
    first, later = round_images(settings, training_images)

    def seconds_an_image(cells: int) -> float:
        known = speeds[min(cells, len(speeds)) - 1]
        return cells / known.cells / known.images_per_second

    # Round 0 trains the seeds; the final retraining is of a network as large as the last round's.
    seconds = first * seconds_an_image(1)
    seconds += sum(
        later * seconds_an_image(min(number + 1, search.max_cells)) for number in range(1, search.rounds + 1)
    )
    if settings.final.epochs is not None:
        last = seconds_an_image(min(search.rounds + 1, search.max_cells))
        seconds += settings.final.epochs * training_images * last
    return seconds / SECONDS_A_DAY


def measure_speed(networks: Sequence[Architecture], cells: int, data: Dataset, settings: Settings) -> Speed:
    """Return the training speed of networks in images a second, after training each for a few seconds."""
    from time import perf_counter

    from memnas_core.training.loop import train
    from memnas_core.training.network import build_network

    rates = []
    batch = settings.training.batch_size
    for architecture in networks:
        graph = data.info.graph(architecture)
        network = build_network(graph, seed=0)
        train(network, data, replace(settings.training, epochs=1), seed=0)  # warms up kernels and memory
        seen, started = 0, perf_counter()
        while (passed := perf_counter() - started) < SECONDS_EACH:
            seen += train(network, data, replace(settings.training, epochs=1), seed=0).images_seen
        rates.append(seen / passed)
        assert batch <= seen, "one epoch is one batch at least"
    return Speed(cells, float(np.mean(rates)), min(rates), max(rates))


def noise(settings: Settings, shape: tuple[int, int, int], classes: int) -> Dataset:
    """Return two batches of noise to train on; validation has a single image, which takes no time."""
    rng = np.random.default_rng(0)
    count = 2 * settings.training.batch_size

    def split(images: int) -> Split:
        pixels = rng.integers(0, 256, (images, *shape), dtype=np.uint8)
        return Split(pixels, rng.integers(0, classes, images, dtype=np.int64))

    info = DatasetInfo(
        name=settings.data.dataset,
        classes=tuple(str(number) for number in range(classes)),
        shape=shape,
        channel_mean=(0.5,) * shape[0],
        channel_std=(0.25,) * shape[0],
        train_size=count,
        validation_size=1,
        test_size=1,
        horizontal_flip=True,
        digest="",
        source="noise",
    )
    return Dataset(info, split(count), split(1), split(1))


def estimate(params: Path, overrides: Sequence[str], images: int | None, classes: int | None) -> Cost:
    """Return what a search costs, from the measured training speed of the settings' networks.

    Raises:
        SettingsError: The settings file is wrong, or its images are in a folder and their number was not given.
    """
    import torch

    from memnas_core.training.loop import choose_device

    settings = load_settings(params, overrides)
    if settings.data.dataset == "folder" and (images is None or classes is None or settings.data.image_size is None):
        raise SettingsError(
            f"{params}: expected the size of a folder of images, which is not read here; give --images, --classes and "
            "--set data.image_size=SIDE"
        )
    channels, side, own_classes = SHAPES.get(settings.data.dataset, (3, 0, 0))
    side = settings.data.image_size or side
    pool = images or TRAINING_IMAGES[settings.data.dataset]
    training_images = round(pool * (1 - settings.data.validation_fraction))
    if settings.data.max_training_images is not None:
        training_images = min(training_images, settings.data.max_training_images)
    torch.set_num_threads(1)
    device = choose_device(settings.training.device)
    data = noise(settings, (channels, side, side), classes or own_classes)
    most = min(settings.search.max_cells, settings.search.rounds + 1, MOST_CELLS)
    root = seed_architecture(settings.network.strides, settings.network.filters)
    speeds = []
    for cells in range(1, most + 1):
        networks = [draw_growth(root, cells, seed) for seed in range(NETWORKS_EACH)]
        speeds.append(measure_speed(networks, cells, data, settings))
        click.echo(
            f"{cells} cells a block: {speeds[-1].images_per_second:,.1f} images a second "
            f"({speeds[-1].slowest:,.1f} to {speeds[-1].fastest:,.1f}, n = {NETWORKS_EACH})"
        )
    first, later = round_images(settings, training_images)
    return Cost(
        params=str(params),
        device=torch.cuda.get_device_name() if device.type == "cuda" else "one CPU core",
        machine=machine(),
        torch=dict(versions())["torch"],
        image_shape=(channels, side, side),
        training_images=training_images,
        trainings=settings.search.first_networks + settings.search.rounds * settings.search.top_k,
        images=first + settings.search.rounds * later,
        speeds=tuple(speeds),
        device_days=search_days(settings, training_images, speeds),
    )


@click.command()
@click.option("--params", type=click.Path(path_type=Path), default=Path("params.paper.yaml"), show_default=True)
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Replace one setting.")
@click.option("--images", type=click.IntRange(min=1), help="Images to train and validate on, for a folder of images.")
@click.option("--classes", type=click.IntRange(min=2), help="Classes, for a folder of images.")
@click.option("--write", is_flag=True, help="Also write results/cost-NAME.json, NAME from the settings file.")
def main(params: Path, overrides: tuple[str, ...], images: int | None, classes: int | None, write: bool) -> None:
    """Measure training speed on this device for a minute or two and say what a whole search would cost."""
    cost = estimate(params, overrides, images, classes)
    time = f"{cost.device_days:,.1f} days" if cost.device_days >= 1 else shown_seconds(cost.device_days * SECONDS_A_DAY)
    click.echo(
        f"{cost.trainings:,} candidates see {cost.images:,} images: at most {time} on {cost.device} ({cost.machine})."
    )
    if write:
        path = RESULTS / f"cost-{params.stem.removeprefix('params.')}.json"
        write_text(path, json.dumps(asdict(cost), indent=1) + "\n")
        click.echo(f"Written: {path}")


if __name__ == "__main__":
    run_stage(main)
