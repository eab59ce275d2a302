"""The definitions behind Tables 1 and 2 against the sizes that their own papers publish."""

from collections.abc import Callable

import pytest
import torch
from pytorchcv.models.condensenet import CondenseComplexConv
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from experiments.found import TABLE1_FOUND, TABLE2_FOUND
from experiments.networks import LARGE, SMALL, UNDEFINED, Definition
from experiments.small_networks import condensenet_small
from experiments.table_rows import read_printed
from memnas_core.tracing.recorder import weightless

Size = tuple[float, float | None]

# Millions of weights and of multiplications, each from the paper of the network (He 2016, Huang 2018, Zhang 2018,
# Ma 2018, Sandler 2018, Wu 2019, Tan 2019, Liu 2019, Zoph 2018, Cai 2019); None where it
# publishes none, or counts another way (DARTS: 574).
PUBLISHED_SMALL: dict[str, Size] = {
    "ResNet-110": (1.7, None),
    "ResNet-56": (0.85, None),
    "CondenseNet-86": (0.52, 65.0),
    "CondenseNet-50": (0.22, 28.6),
}
PUBLISHED_LARGE: dict[str, Size] = {
    "CondenseNet (G=C=8)": (2.9, 274),
    "ShuffleNet V1 (1.5x)": (3.4, 292),
    "MobileNet V2 (1.0x)": (3.4, 300),
    "ShuffleNet V2 (1.5x)": (3.5, 299),
    "FBNet-A": (4.3, 249),
    "DARTS": (4.7, None),
    "NASNet (Mobile)": (5.3, 564),
    "CondenseNet (G=C=4)": (4.8, 529),
    "ShuffleNet V1 (2.0x)": (5.4, 524),
    "ShuffleNet V2 (2.0x)": (7.4, 591),
    "ProxylessNAS-M": (4.1, 320),
    "FBNet-C": (5.5, 375),
    "MnasNet (DM=1)": (3.9, 312),
}
WEIGHTS_TOLERANCE = 0.04  # publications round, and count batch norm and biases or do not
MULTIPLICATIONS_TOLERANCE = 0.06  # some count batch norm, pooling and activations too; a wrong stride would halve them


def test_every_printed_row_has_one_place() -> None:
    tables = {"table1": (SMALL, TABLE1_FOUND), "table2": (LARGE, TABLE2_FOUND)}
    for table, (definitions, found) in tables.items():
        places = [definition.model for definition in definitions] + list(found)
        rows = [row.model for row in read_printed(table)]
        assert sorted(places + [model for model in UNDEFINED if model in rows]) == sorted(rows)
    assert set(UNDEFINED) <= {row.model for table in tables for row in read_printed(table)}


@pytest.mark.parametrize("definition", [d for d in SMALL if d.model in PUBLISHED_SMALL], ids=lambda d: d.model)
def test_a_small_network_is_as_large_as_published(definition: Definition[...]) -> None:
    check(definition.build, (3, 10), (3, 32, 32), PUBLISHED_SMALL[definition.model])


@pytest.mark.parametrize("definition", [d for d in LARGE if d.model in PUBLISHED_LARGE], ids=lambda d: d.model)
def test_a_large_network_is_as_large_as_published(definition: Definition[...]) -> None:
    check(definition.build, (), (3, 224, 224), PUBLISHED_LARGE[definition.model])


def check(build: Callable[..., nn.Module], arguments: tuple[int, ...], shape: tuple[int, ...], published: Size) -> None:
    with weightless():
        network = build(*arguments)
    network.to("meta").eval()
    weights, multiplications = published
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(weights, rel=WEIGHTS_TOLERANCE)
    if multiplications:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.empty((1, *shape), device="meta"))
        assert counter.get_total_flops() / 2 / 1e6 == pytest.approx(multiplications, rel=MULTIPLICATIONS_TOLERANCE)


@pytest.mark.parametrize("definition", SMALL, ids=lambda d: d.model)
def test_a_small_network_takes_the_images_of_the_results(definition: Definition[...]) -> None:
    with weightless():
        network = definition.build(1, 10)
    network.to("meta").eval()
    assert network(torch.empty((2, 1, 16, 16), device="meta")).shape == (2, 10)
    assert definition.library in definition.source


def test_a_condensed_network_reads_channels_evenly() -> None:
    network = condensenet_small(1, channels=1, classes=10)
    (first, *_) = (part for part in network.modules() if isinstance(part, CondenseComplexConv))
    # 16 channels in 4 groups: the convolution's group 0 reads channels 0, 4, 8, 12, group 1 reads 1, 5, 9, 13, ...
    assert first.index.tolist() == [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15]
    # After one unit a stage 16 + 8 + 16 + 32 features, of which the classifier reads every other one.
    assert network.output.index.tolist() == list(range(0, 72, 2))
