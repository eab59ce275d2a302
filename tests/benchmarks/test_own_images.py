"""A search on own images against a ResNet-8: the network, the table, and the page against its rows."""

from pathlib import Path

import torch

from benchmarks.own_images import Row, resnet_8, table
from memnas_core.files.parquet import read_parquet

ROOT = Path(__file__).parents[2]


def test_weights_of_a_resnet_8_by_hand() -> None:
    # Convolutions 3x3 with batch norms, one and then two in each of three stages; shortcuts 1x1 with a bias.
    network = resnet_8(3, 10)
    pairs = ((3, 16), (16, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64))
    weights = sum(9 * read * wide + 2 * wide for read, wide in pairs) + (16 + 1) * 32 + (32 + 1) * 64 + 64 * 10 + 10
    assert sum(one.numel() for one in network.parameters()) == weights
    assert network.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def row(classes: int, found: float, resnet: float) -> Row:
    return Row("photos", classes, 3000, 1000, 646_784, found, 218_000, 0, resnet, 508_392)


def test_table() -> None:
    lines = list(table([row(3, 0.7, 0.6), row(10, 0.6, 0.65), row(10, 0.61, 0.64), row(10, 0.62, 0.66)]))
    assert lines[2] == "| photos | 10 | 3,000 | 646,784 | 0.600 | 218,000 | 0.650 | 508,392 | -0.050 |"
    # Differences -.05, -.03, -.04: mean -.04, standard deviation .01, so 4.3027 * .01 / sqrt(3) = .0248
    assert lines[-2:] == [
        "- mean difference, 10 classes: -0.040 ± 0.025",
        "- mean difference, 3 classes: +0.100 (n = 1)",
    ]


def test_the_page_is_that_of_the_committed_rows() -> None:
    rows = read_parquet(ROOT / "benchmarks" / "results" / "own_images.parquet", Row, "rows", "restore it from git")
    page = (ROOT / "docs" / "images.md").read_text(encoding="utf-8")
    assert all(line in page for line in table(rows))
