"""A store with one finished and one unfinished search, and a network in which every kind of layer occurs."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from memnas_core.data import open_dataset, prepare_dataset
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.trainings import Status
from memnas_core.results.folder import Chosen, SearchFolder
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape
from memnas_core.training.deployed import DeployedNetwork, deploy
from memnas_core.training.network import Network, build_network
from tests.core.small_search import START, SmallSearch, small_settings

SHAPE = Shape(3, 8, 8)
CLASSES = 5


@dataclass(frozen=True)
class SmallStore:
    path: Path
    finished: SmallSearch
    unfinished: SmallSearch

    @property
    def chosen(self) -> CandidateRow:
        return next(row for row in self.finished.rows if row.round == 1 and row.is_winner)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> SmallStore:
    path = tmp_path_factory.mktemp("store")
    settings = small_settings(path)
    data = prepare_dataset(settings.data, settings.search.seed, path, divisible_by=2)
    start = replace(START, dataset=open_dataset(data).info)
    searches = []
    for name in ("letters", "figures"):
        folder = SearchFolder(path / "searches" / name)
        folder.begin(settings, start)
        searches.append(SmallSearch(settings, folder))
    finished, unfinished = searches
    finished.write_round([0.5])
    finished.write_round([0.625, None, 0.75])
    unfinished.write_round([0.5])
    row = next(row for row in finished.rows if row.round == 1 and row.is_winner)
    chosen = Chosen(row.arch_id, 1, 0.8125, 0.6875, 7, 1_700_000_500.0)
    finished.folder.write_chosen(chosen, finished.job(row.arch_id, 1).path, {"architecture.json": row.architecture})
    finished.folder.write_metrics(json.loads("{}"))
    assert sum(row.status is Status.TRAINED for row in finished.rows) == 3
    return SmallStore(path, finished, unfinished)


EVERY_LAYER = Architecture(
    (
        Block(
            (
                Cell(Branch(0, ops.CONV_3X3), Branch(0, ops.MAX_POOL_3X3), Combiner.CONCAT, included=True),
                Cell(
                    Branch(1, ops.DEPTHWISE_3X3),
                    Branch(0, ops.DILATED_3X3),
                    Combiner.SUM,
                    included=False,
                ),
                Cell(
                    Branch(2, ops.AVERAGE_POOL_3X3),
                    Branch(0, ops.FACTORIZED_7X7),
                    Combiner.SUM,
                    included=True,
                ),
            ),
            stride=1,
        ),
        Block(
            (
                Cell(Branch(0, ops.IDENTITY), Branch(0, ops.DEPTHWISE_5X5), Combiner.SUM, included=False),
                Cell(Branch(0, ops.AVERAGE_POOL_3X3), Branch(1, ops.CONV_3X3), Combiner.SUM, included=True),
            ),
            stride=2,
        ),
    ),
    filters=8,
)


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    return torch.randn(24, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="session")
def network(images: torch.Tensor) -> Network:
    """Return a network that has seen images, so that its batch norms do something."""
    network = build_network(lower(EVERY_LAYER, SHAPE, CLASSES), seed=1)
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(module.bias, -0.5, 0.5, generator=generator)
    with torch.no_grad():
        for _ in range(20):
            network.train()(images)
    return network.eval()


@pytest.fixture
def deployed(network: Network) -> DeployedNetwork:
    return deploy(network)
