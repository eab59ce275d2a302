"""A search on own images against a ResNet-8: the network, the table, and the page against its rows."""

from pathlib import Path

import torch

from benchmarks.own_images import Row, resnet_8, table

ROOT = Path(__file__).parents[2]


def test_weights_of_a_resnet_8_by_hand() -> None:
    # Convolutions 3x3 with batch norms, one and then two in each of three stages; shortcuts 1x1 with a bias.
    network = resnet_8(3, 10)
    pairs = ((3, 16), (16, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64))
    weights = sum(9 * read * wide + 2 * wide for read, wide in pairs) + (16 + 1) * 32 + (32 + 1) * 64 + 64 * 10 + 10
    assert sum(one.numel() for one in network.parameters()) == weights
    assert network.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def row(found: float, resnet: float) -> Row:
    return Row("photos", 10, 2400, 1000, 646_784, found, 218_000, 0, resnet, 508_392)


def test_table() -> None:
    lines = list(table([row(0.6, 0.65), row(0.61, 0.64), row(0.62, 0.66)]))
    assert lines[2] == "| photos | 2,400 | 646,784 | 0.600 | 218,000 | 0.650 | 508,392 | -0.050 |"
    # Differences -.05, -.03, -.04: mean -.04, standard deviation .01, so 4.3027 * .01 / sqrt(3) = .0248
    assert lines[-1] == "Mean difference: -0.040 ± 0.025"
