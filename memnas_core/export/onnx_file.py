"""ONNX models, run by ONNX Runtime.

In int8 the model has integer operators (QLinearConv and its like) rather than pairs of QuantizeLinear and
DequantizeLinear around float32 ones. Both compute the same once ONNX Runtime has joined the pairs; without them the
file is a fifth smaller, and its activations are one byte wide by what is written in it, whatever a runtime joins.

The nodes are in the order of the deployed network. ONNX Runtime sorts them again by its own rule when it loads them.
"""

import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from memnas_core.deployed import DeployedNetwork
from memnas_core.export.cortex_m import quiet
from memnas_core.export.model_file import OpenedFile
from memnas_core.export.quantise import channels_first

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

INPUT, OUTPUT = "image", "scores"
FACTS_KEY = "memnas"


def write_onnx(network: DeployedNetwork, images: Tensor, int8: bool, facts: str) -> bytes:
    """Return the network as an ONNX model for one image.

    Args:
        network: What to write.
        images: Normalised training images, shape (n, channels, height, width); int8 is calibrated on them.
        int8: Whether weights and activations are int8.
        facts: JSON to put into the model's metadata under `memnas`.
    """
    from onnx import checker, helper

    with quiet():
        program = torch.onnx.export(
            network,
            (channels_first(images[:1]),),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
        )
        assert program is not None, "torch returns the program unless it is told to write a file"
        model = _plain(program.model_proto)
        if int8:
            model = _quantised(model, images)
    helper.set_model_props(model, {FACTS_KEY: facts})
    checker.check_model(model)
    return bytes(model.SerializeToString())


def open_onnx(path: Path) -> OpenedFile:
    """Open a model with ONNX Runtime on one thread of the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> Tensor:
        (scores,) = session.run([OUTPUT], {INPUT: channels_first(image).numpy()})
        return torch.from_numpy(scores)

    name = f"ONNX Runtime {metadata.version('onnxruntime')}"
    return OpenedFile(name, name, None, on_this_machine=True, channels_last=False, run=run)


def read_facts(path: Path) -> str:
    """Return the JSON that a model carries."""
    import onnx

    (found,) = (entry.value for entry in onnx.load(str(path)).metadata_props if entry.key == FACTS_KEY)
    return str(found)


def _plain(model: "ModelProto") -> "ModelProto":
    """Remove torch's notes on where nodes came from, and write means over all pixels as the operator for that."""
    from onnx import helper

    nodes: list[NodeProto] = []
    for node in model.graph.node:
        del node.metadata_props[:]
        if node.op_type == "ReduceMean":  # of which ONNX Runtime has no int8 version
            (source, _), (target,) = node.input, node.output
            pooled = f"{target}_pooled"
            nodes.append(helper.make_node("GlobalAveragePool", [source], [pooled], name=node.name))
            nodes.append(helper.make_node("Flatten", [pooled], [target], name=f"{node.name}_flat", axis=1))
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]
    used = {name for node in nodes for name in node.input}
    kept = [weights for weights in model.graph.initializer if weights.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model


def _quantised(model: "ModelProto", images: Tensor) -> "ModelProto":
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Images(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[Tensor] = iter(images.split(1))

        def get_next(self) -> dict[str, object] | None:
            image = next(self._left, None)
            return None if image is None else {INPUT: channels_first(image).numpy()}

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            str(path),
            Images(),
            quant_format=QuantFormat.QOperator,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(str(path))
