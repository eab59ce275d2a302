"""Each format with the runtime that reads it; the torch network is the reference."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from memnas_core.export.check import check_file
from memnas_core.export.executorch_file import EXECUTORCH
from memnas_core.export.file_format import FORMATS, ExportError, FileFormat, OpenedFile
from memnas_core.export.onnx_file import ONNX, check_portable
from memnas_core.export.program_runner import ProgramRunner
from memnas_core.export.pt2_file import PT2
from memnas_core.memory.figures import measure
from memnas_core.memory.kernel_scratch import KERNELS
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture
from memnas_core.space.graph import lower
from memnas_core.space.layers import LayerKind, Workload
from memnas_core.space.moves import seed_architecture
from memnas_core.training.deployed import DeployedNetwork, deploy
from memnas_core.training.network import Network, build_network
from tests.core.export.conftest import CLASSES, SHAPE
from tests.core.export.facts import facts_of_onnx, facts_of_pt2

FACTS = {
    "arch_id": "c0ffee",
    "search": "letters",
    "made_by": "a test",
    "data_set": "noise",
    "licence": "none",
    "classes": list("abcde"),
    # A byte for each value of the noise, from -4 to 4.
    "channel_mean": [0.5] * 3,
    "channel_std": [0.125] * 3,
}
FLOAT32 = [FORMATS[name] for name in FORMATS if not FORMATS[name].int8_only]


@pytest.fixture(scope="module")
def float_file(
    network: Network, images: Tensor, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[FileFormat], Path]:
    """Return a function that writes the network in float32 the first time it is asked for a format."""

    @cache
    def write(wanted: FileFormat) -> Path:
        return written(tmp_path_factory.mktemp("float32"), wanted, deploy(network), images, int8=False)

    return write


def written(folder: Path, wanted: FileFormat, network: DeployedNetwork, images: Tensor, int8: bool) -> Path:
    path = folder / f"network{wanted.suffix}"
    path.write_bytes(wanted.write(network, images, int8, json.dumps(FACTS)))
    return path


def largest_difference(opened: OpenedFile, network: Network, images: Tensor) -> float:
    with torch.no_grad():
        return float((torch.cat([opened.run(image) for image in images.split(1)]) - network(images)).abs().max())


@pytest.mark.parametrize("wanted", FLOAT32, ids=str)
def test_float32_gives_the_scores_of_the_torch_network(
    wanted: FileFormat,
    network: Network,
    deployed: DeployedNetwork,
    images: Tensor,
    float_file: Callable[[FileFormat], Path],
) -> None:
    path = float_file(wanted)
    opened = wanted.open(path, int8=False)
    labels = torch.arange(len(images)) % 5
    result = check_file(opened, network, images, labels, exact=True)
    assert result.same_classes == len(images)
    assert result.median_seconds is not None
    if wanted is EXECUTORCH:
        # Independent of the runtime: the same file, instruction by instruction in an arena of the planned size. Each
        # instruction has its tensors in the default order, and gives the same in ExecuTorch's runtime by itself.
        runner = ProgramRunner(path.read_bytes(), for_device=True)
        for image in images[:4].split(1):
            torch.testing.assert_close(runner.run(image), opened.run(image), rtol=1e-4, atol=1e-5)
        assert opened.planned_bytes == wanted.predicted_bytes(deployed.graph, int8=False)
    else:
        read = {ONNX: facts_of_onnx, PT2: facts_of_pt2}[wanted]
        assert json.loads(read(path)) == FACTS


@pytest.mark.parametrize(
    ("wanted", "int8"),
    [*((wanted, False) for wanted in FLOAT32), *((FORMATS[name], True) for name in FORMATS)],
    ids=str,
)
def test_a_network_with_three_widths(wanted: FileFormat, int8: bool, images: Tensor, tmp_path: Path) -> None:
    """F = 8, a wider and a narrower block: projections on both sides of each."""
    plain = seed_architecture((1, 2, 1), 8, (ops.CONV_3X3, ops.DEPTHWISE_5X5))
    one, two, three = plain.blocks
    own = Architecture((replace(one, filters=12), two, replace(three, filters=4)), 8)
    network = build_network(lower(own, SHAPE, CLASSES), seed=3)
    with torch.no_grad():
        for _ in range(20):
            network.train()(images)
    network.eval()
    deployed = deploy(network)
    opened = wanted.open(written(tmp_path, wanted, deployed, images, int8), int8)
    with torch.no_grad():
        spread = float(network(images).std())
    assert largest_difference(opened, network, images) < (0.5 * spread if int8 else 1e-4)
    if wanted is EXECUTORCH:
        assert opened.planned_bytes == wanted.predicted_bytes(deployed.graph, int8)
        element_bytes, kernels = (1, KERNELS["cortex-m7"]) if int8 else (4, None)
        memory = measure(own, Workload(SHAPE, CLASSES, element_bytes, element_bytes), kernels)
        assert memory.arena_bytes == opened.planned_bytes


@pytest.mark.parametrize("wanted", [FORMATS[name] for name in FORMATS], ids=str)
def test_int8_is_near_the_torch_network(
    wanted: FileFormat, network: Network, deployed: DeployedNetwork, images: Tensor, tmp_path: Path
) -> None:
    predicted, weights = wanted.predicted_bytes(deployed.graph, int8=True), deployed.graph.weights
    path = written(tmp_path, wanted, deployed, images, int8=True)
    opened = wanted.open(path, int8=True)
    with torch.no_grad():
        spread = float(network(images).std())
    # A quantised score is one of at most 256 values; some layers add their own steps. Noise would differ by the spread.
    assert 0 < largest_difference(opened, network, images) < 0.5 * spread
    if wanted is EXECUTORCH:
        assert opened.planned_bytes == predicted
        assert weights < path.stat().st_size
    if wanted is ONNX:
        check_standard(path, images, opened)
    if wanted is PT2:
        ((example,), _) = torch.export.load(path).example_inputs
        assert example.untyped_storage().nbytes() == images[0].nbytes  # not all the images of the calibration
    assert opened.on_this_machine == (wanted is not EXECUTORCH)


def check_standard(path: Path, images: Tensor, opened: OpenedFile) -> None:
    """Check that the file is ONNX as its standard has it: onnx's reference evaluator gives the same scores."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    model = onnx.load(str(path))
    assert {node.domain for node in model.graph.node} == {""}
    assert [entry.domain for entry in model.opset_import] == [""]
    assert "QuantizeLinear" in {node.op_type for node in model.graph.node}
    reference = ReferenceEvaluator(model)
    scores = torch.cat([torch.as_tensor(reference.run(None, {"image": image.numpy()})[0]) for image in images.split(1)])
    found = torch.cat([opened.run(image) for image in images.split(1)])
    # Both have the same 256 values to choose from; a sum that lies between two may be rounded either way.
    torch.testing.assert_close(found, scores, rtol=0, atol=3 * float(scores.max() - scores.min()) / 256)


def test_a_model_that_only_onnx_runtime_reads_is_refused(
    float_file: Callable[[FileFormat], Path], images: Tensor
) -> None:
    import onnx

    model = onnx.load(str(float_file(ONNX)))
    check_portable(model, images[:2])
    (add,) = [node for node in model.graph.node if node.op_type == "Add"][:1]
    add.domain, add.op_type = "com.microsoft", "QLinearAdd"
    with pytest.raises(ExportError, match=r"expected ONNX's own operators only, found com.microsoft.QLinearAdd"):
        check_portable(model, images[:2])


def test_onnx_nodes_come_in_running_order(deployed: DeployedNetwork, float_file: Callable[[FileFormat], Path]) -> None:
    import onnx

    model = onnx.load(str(float_file(ONNX)))
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
