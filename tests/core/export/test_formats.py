"""Each format with the runtime that reads it; the torch network is the reference."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from memnas_core.deployed import DeployedNetwork, deploy
from memnas_core.export import onnx_file, pt2_file
from memnas_core.export.check import check_file
from memnas_core.export.formats import open_file, write_file
from memnas_core.export.model_file import Format, OpenedFile
from memnas_core.export.prediction import predicted_bytes
from memnas_core.export.program_runner import ProgramRunner
from memnas_core.graph import LayerKind
from memnas_core.network import Network

FACTS = json.dumps({"arch_id": "c0ffee"})


@pytest.fixture(scope="module")
def float_file(network: Network, images: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Format], Path]:
    """Return a function that writes the network in float32 the first time it is asked for a format."""

    @cache
    def write(wanted: Format) -> Path:
        return written(tmp_path_factory.mktemp("float32"), wanted, deploy(network), images, int8=False)

    return write


def written(folder: Path, wanted: Format, network: DeployedNetwork, images: Tensor, int8: bool) -> Path:
    path = folder / f"network{wanted.suffix}"
    path.write_bytes(write_file(wanted, network, images, int8, FACTS))
    return path


def largest_difference(opened: OpenedFile, network: Network, images: Tensor) -> float:
    with torch.no_grad():
        return float((torch.cat([opened.run(image) for image in images.split(1)]) - network(images)).abs().max())


@pytest.mark.parametrize("wanted", list(Format))
def test_float32_gives_the_scores_of_the_torch_network(
    wanted: Format,
    network: Network,
    deployed: DeployedNetwork,
    images: Tensor,
    float_file: Callable[[Format], Path],
) -> None:
    path = float_file(wanted)
    opened = open_file(wanted, path, int8=False)
    labels = torch.arange(len(images)) % 5
    result = check_file(opened, network, images, labels, exact=True)
    assert result.same_classes == len(images)
    assert result.median_seconds is not None
    if wanted is Format.EXECUTORCH:
        # Independent of the runtime: the same file, instruction by instruction in an arena of the planned size.
        runner = ProgramRunner(path.read_bytes())
        for image in images[:4].split(1):
            torch.testing.assert_close(runner.run(image), opened.run(image), rtol=1e-4, atol=1e-5)
        assert opened.planned_bytes == predicted_bytes(wanted, deployed.graph, int8=False)
    else:
        read = {Format.ONNX: onnx_file.read_facts, Format.PT2: pt2_file.read_facts}[wanted]
        assert json.loads(read(path)) == {"arch_id": "c0ffee"}


@pytest.mark.parametrize("wanted", list(Format))
def test_int8_is_near_the_torch_network(
    wanted: Format, network: Network, deployed: DeployedNetwork, images: Tensor, tmp_path: Path
) -> None:
    predicted, weights = predicted_bytes(wanted, deployed.graph, int8=True), deployed.graph.weights
    path = written(tmp_path, wanted, deployed, images, int8=True)
    opened = open_file(wanted, path, int8=True)
    with torch.no_grad():
        spread = float(network(images).std())
    # A quantised score is one of at most 256 values; some layers add their own steps. Noise would differ by the spread.
    assert 0 < largest_difference(opened, network, images) < 0.5 * spread
    if wanted is Format.EXECUTORCH:
        assert opened.planned_bytes is not None
        assert predicted is not None
        # int8 activations, and beside them the scratch memory of one kernel: float32 would be four times as much.
        assert predicted <= opened.planned_bytes < 2 * predicted
        assert weights < path.stat().st_size
    assert opened.on_this_machine == (wanted is not Format.EXECUTORCH)


def test_onnx_nodes_come_in_running_order(deployed: DeployedNetwork, float_file: Callable[[Format], Path]) -> None:
    import onnx

    model = onnx.load(str(float_file(Format.ONNX)))
    kinds = {
        "Conv": LayerKind.CONV,
        "MaxPool": LayerKind.MAX_POOL,
        "AveragePool": LayerKind.AVERAGE_POOL,
        "Add": LayerKind.SUM,
        "Concat": LayerKind.CONCAT,
        "GlobalAveragePool": LayerKind.GLOBAL_AVERAGE_POOL,
        "Gemm": LayerKind.LINEAR,
    }
    found = [kinds[node.op_type] for node in model.graph.node if node.op_type in kinds]
    expected = [layer.kind for layer in deployed.graph.layers if layer.kind is not LayerKind.SUBSAMPLE]
    assert found == expected
    assert set(kinds.values()) == set(expected)
