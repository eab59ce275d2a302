"""What a search on a folder of images hands over, against a ResNet-8 that is trained for as many images.

The search is one with the settings that follow from the images: `memnas search --images FOLDER`. The ResNet-8 is that
of MLPerf Tiny (Banbury et al. 2021): 16, 32 and 64 channels. It is trained from nothing on the same prepared images,
with the same optimiser and augmentation, for as many images as the search and its end saw together, and tested once.

Run: python -m benchmarks.own_images store/searches/NAME ...
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from torch import Tensor, nn

from benchmarks.circumstances import circumstances
from benchmarks.page import with_tables
from benchmarks.spread import Mean
from memnas_core.data import open_dataset
from memnas_core.data.augmentation import Augmentation
from memnas_core.export.store import find_trained
from memnas_core.files.parquet import read_parquet, write_parquet
from memnas_core.files.untrusted import read_text
from memnas_core.files.writing import write_text
from memnas_core.memory.report import memory_report
from memnas_core.results.folder import SearchFolder
from memnas_core.tracing.trace import trace
from memnas_core.training.loop import accuracy, choose_device, prepare_process, train


class Residual(nn.Module):
    """Two convolutions 3x3 and a shortcut, which is a convolution 1x1 where the shape changes."""

    def __init__(self, read: int, width: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(read, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut = nn.Identity() if (read, stride) == (width, 1) else nn.Conv2d(read, width, 1, stride)

    def forward(self, images: Tensor) -> Tensor:
        """Return the sum of both ways after a ReLU."""
        return torch.relu(self.path(images) + self.shortcut(images))


def resnet_8(channels: int, classes: int, width: int = 16) -> nn.Module:
    """Return the ResNet-8 of MLPerf Tiny.

    Args:
        channels: Channels of an image.
        classes: Number of classes.
        width: Channels of the first stage; 16 in MLPerf Tiny.
    """
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, 1, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        Residual(width, width, 1),
        Residual(width, 2 * width, 2),
        Residual(2 * width, 4 * width, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, classes),
    )


@dataclass(frozen=True, slots=True)
class Row:
    """A search against one training of a ResNet-8.

    Attributes:
        search: Name of the search.
        classes: Number of classes.
        train_images: Images that both were trained on.
        test_images: Images that both were tested on.
        images: Training images seen, by the search and its end together, and by the ResNet-8.
        found_accuracy: Test accuracy of what the search hands over, in [0, 1].
        found_bytes: Its weights and activations, under the convention of the settings.
        seed: Seed of the ResNet-8.
        resnet_accuracy: Test accuracy of the ResNet-8, in [0, 1].
        resnet_bytes: Its weights and activations, in the order that needs the least.
    """

    search: str
    classes: int
    train_images: int
    test_images: int
    images: int
    found_accuracy: float
    found_bytes: int
    seed: int
    resnet_accuracy: float
    resnet_bytes: int


def compare(search: Path, seed: int) -> Row:
    """Train a ResNet-8 for as many images as a finished search saw, and test it."""
    folder = SearchFolder(search)
    metrics, settings = json.loads(read_text(search / "metrics.json")), folder.settings()
    data = open_dataset(find_trained(search.parents[1], search.name).dataset)
    epochs, size = settings.final.epochs or 0, settings.training.batch_size
    data = data.with_all_to_train() if settings.final.all_images else data
    images = metrics["images_seen"] + epochs * (len(data.train.labels) // size) * size
    device = choose_device(settings.training.device)
    torch.manual_seed(seed)
    network = resnet_8(data.info.shape[0], len(data.info.classes))
    report = memory_report(trace(network, data.info.shape), 4, 4)
    train(network, data, settings.training, seed, images=images)
    return Row(
        search=search.name,
        classes=len(data.info.classes),
        train_images=len(data.train.labels),
        test_images=len(data.test.labels),
        images=images,
        found_accuracy=metrics["test_accuracy"],
        found_bytes=metrics["param_bytes"] + metrics[f"{settings.objective.activation_convention}_bytes"],
        seed=seed,
        resnet_accuracy=accuracy(network, data.test, Augmentation(data.info, settings.training, device), device),
        resnet_bytes=report.totals["minimum"],
    )


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a line for each search in Markdown, and the mean differences with their 95 % t intervals."""
    yield "| search | classes | training photos | images seen | handed over | bytes | ResNet-8 | bytes | difference |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    differences: dict[int, list[float]] = {}
    for row in sorted(rows, key=lambda row: (-row.classes, row.search, row.seed)):
        difference = row.found_accuracy - row.resnet_accuracy
        differences.setdefault(row.classes, []).append(difference)
        yield (
            f"| {row.search} | {row.classes} | {row.train_images:,} | {row.images:,} | {row.found_accuracy:.3f} | "
            f"{row.found_bytes:,} | {row.resnet_accuracy:.3f} | {row.resnet_bytes:,} | {difference:+.3f} |"
        )
    yield ""
    for classes, found in differences.items():
        yield f"- mean difference, {classes} classes: {Mean.of(found).shown('+')}"


@click.command()
@click.argument("searches", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the ResNet-8.")
@click.option(
    "--rows",
    type=click.Path(path_type=Path),
    default=Path("benchmarks/results/own_images.parquet"),
    show_default=True,
    help="Rows of all comparisons; new ones are added.",
)
@click.option("--page", type=click.Path(path_type=Path, exists=True), default=Path("docs/images.md"))
def main(searches: tuple[Path, ...], seed: int, rows: Path, page: Path) -> None:
    """Compare what SEARCHES, folders STORE/searches/NAME, hand over with a ResNet-8; without any, write the page."""
    prepare_process()
    found = list(read_parquet(rows, Row, "the rows of own_images", "restore it from git")) if rows.exists() else []
    for search in searches:
        found = [row for row in found if (row.search, row.seed) != (search.name, seed)]
        found.append(compare(search, seed))
        write_parquet(rows, Row, found)
    lines = [*table(found), "", *circumstances("own_images", ("torch",), "no figure here is a time")]
    write_text(page, with_tables(page.read_text(encoding="utf-8"), lines, page))
    click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
