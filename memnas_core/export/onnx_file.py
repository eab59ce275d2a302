"""ONNX models, run by ONNX Runtime, with ONNX's own operators only.

In int8 the model has a QuantizeLinear and a DequantizeLinear around each float32 operator ("QDQ"), which is how ONNX
itself describes int8: every reader of ONNX computes the right thing, and one that has int8 kernels, such as ONNX
Runtime, fuses the groups. Models with ONNX Runtime's own integer operators (domain com.microsoft) are smaller, but no
other reader takes them. Each int8 model is run by ONNX's reference evaluator too.

The nodes are in the order of the deployed network. ONNX Runtime sorts them again by its own rule when it loads them.
"""

import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from memnas_core.environment import processor_flags
from memnas_core.export.cortex_m import quiet
from memnas_core.export.file_format import ExportError, FileFormat, Needs, OpenedFile
from memnas_core.export.quantise import channels_first
from memnas_core.memory.onnxruntime_plan import channel_block, onnxruntime_bytes
from memnas_core.space.graph import Graph
from memnas_core.training.deployed import DeployedNetwork

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

INPUT, OUTPUT = "image", "scores"
FACTS_KEY = "memnas"
FLOAT32_BYTES = 4
REFERENCE_IMAGES = 8
REFERENCE_TOLERANCE = 0.1
"""Largest difference of an int8 model's scores in two runtimes, relative to the largest score of all images.

Both round to the same 256 values, from sums that they compute in different ways, so that ties may end a step apart in
each layer. A runtime that reads the model in another way is off by the scores themselves.
"""


class OnnxFormat(FileFormat):
    """ONNX models."""

    name = "onnx"
    described = "ONNX model"
    suffix = ".onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")

    def write(self, network: DeployedNetwork, images: Tensor, int8: bool, facts: str) -> bytes:
        """Return the network as an ONNX model for one image, with the facts in its metadata under `memnas`."""
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
        if int8:
            check_portable(model, images[:REFERENCE_IMAGES])
        return bytes(model.SerializeToString())

    def open(self, path: Path, int8: bool) -> OpenedFile:  # noqa: ARG002 -- the file says it
        """Open a model with ONNX Runtime on one thread of the CPU."""
        run = _onnxruntime(path.read_bytes())
        name = f"ONNX Runtime {metadata.version('onnxruntime')}"
        needs = Needs(_operators(path), input_name=INPUT, output_name=OUTPUT)
        return OpenedFile(name, name, None, on_this_machine=True, channels_last=False, run=run, needs=needs)

    def predicted_bytes(self, graph: Graph, int8: bool) -> int | None:
        """Return what ONNX Runtime allocates in float32; its int8 operators are not modelled."""
        return None if int8 else onnxruntime_bytes(graph, FLOAT32_BYTES, channel_block(processor_flags()))

    def prediction_words(self, int8: bool) -> str:  # noqa: ARG002
        """Return in words what is predicted."""
        return "what ONNX Runtime allocates on this processor"


ONNX = OnnxFormat()


def _operators(path: Path) -> tuple[str, ...]:
    """Return the operators of a model, each with the domain and the version of its operator set."""
    import onnx

    model = onnx.load(str(path))
    versions = {entry.domain: entry.version for entry in model.opset_import}
    used = {(node.domain, node.op_type) for node in model.graph.node}
    return tuple(sorted(f"{domain or 'ai.onnx'}.{name} ({versions[domain]})" for domain, name in used))


def check_portable(model: "ModelProto", images: Tensor) -> None:
    """Check that readers of ONNX other than ONNX Runtime take a model, and that the reference computes the same.

    Args:
        model: The model.
        images: Normalised images, shape (n, channels, height, width).

    Raises:
        ExportError: The model has operators of other domains than ONNX's, or scores differ.
    """
    from onnx.reference import ReferenceEvaluator

    foreign = sorted(
        {f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain not in ("", "ai.onnx")}
    )
    if foreign:
        raise ExportError(
            f"ONNX model: expected ONNX's own operators only, found {', '.join(foreign)}; nothing was written"
        )
    reference, run = ReferenceEvaluator(model), _onnxruntime(model.SerializeToString())
    expected, found = [], []
    for image in images.split(1):
        (scores,) = reference.run([OUTPUT], {INPUT: channels_first(image).numpy()})
        expected.append(torch.as_tensor(scores))
        found.append(run(image))
    right = torch.cat(expected)
    difference, limit = float((torch.cat(found) - right).abs().max()), REFERENCE_TOLERANCE * float(right.abs().max())
    if not difference <= limit:
        raise ExportError(
            f"ONNX model: expected ONNX Runtime's scores within {limit:.2g} of those of ONNX's reference evaluator, "
            f"found a difference of {difference:.2g}; nothing was written"
        )


def _onnxruntime(content: bytes) -> Callable[[Tensor], Tensor]:
    """Return a function that runs a model on one image with ONNX Runtime, on one thread of the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> Tensor:
        (scores,) = session.run([OUTPUT], {INPUT: channels_first(image).numpy()})
        return torch.from_numpy(scores)

    return run


def _plain(model: "ModelProto") -> "ModelProto":
    """Remove torch's notes on the origin of nodes, and replace means over all pixels by GlobalAveragePool."""
    from onnx import helper

    nodes: list[NodeProto] = []
    for node in model.graph.node:
        del node.metadata_props[:]
        if node.op_type == "ReduceMean":  # ONNX Runtime has no int8 version of this operator
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
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(str(path))
