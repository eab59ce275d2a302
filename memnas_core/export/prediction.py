"""What memnas predicts that a format's runtime reserves for activations, from the layers alone."""

from memnas_core.arena import plan_shared
from memnas_core.arena_rules import shared_graph
from memnas_core.environment import processor_flags
from memnas_core.export.model_file import Format
from memnas_core.graph import IMAGE, Graph
from memnas_core.onnxruntime_plan import channel_block, onnxruntime_bytes
from memnas_core.runtime_arena import EXECUTORCH_PLANNED, runtime_arena, runtime_graph

FLOAT32_BYTES, INT8_BYTES = 4, 1


def predicted_bytes(wanted: Format, graph: Graph, int8: bool) -> int | None:
    """Return the activations of a file of `memnas export` at batch 1.

    Args:
        wanted: The file's format.
        graph: The network in running order.
        int8: Whether the file is quantised.

    Returns:
        Bytes; None where what runs such a file is not modelled: torch, and ONNX Runtime with int8 operators.
    """
    match wanted, int8:
        case Format.EXECUTORCH, False:
            return runtime_arena(graph, EXECUTORCH_PLANNED, FLOAT32_BYTES).bytes
        case Format.EXECUTORCH, True:
            return _int8_program_bytes(graph)
        case Format.ONNX, False:
            return onnxruntime_bytes(graph, FLOAT32_BYTES, channel_block(processor_flags()))
        case _:
            return None


def _int8_program_bytes(graph: Graph) -> int:
    """Return the arena of an int8 program without the scratch memory of kernels; it takes and gives float32."""
    made = runtime_graph(graph, EXECUTORCH_PLANNED, INT8_BYTES)
    image, scores = "quantised image", "dequantised scores"
    layers: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {"quantise": ((IMAGE,), (image,))}
    for name, (reads, writes) in made.layers.items():
        layers[name] = tuple(image if read == IMAGE else read for read in reads), tuple(writes)
    layers["dequantise"] = (graph.output,), (scores,)
    wide = {IMAGE: made.sizes[IMAGE] * FLOAT32_BYTES, scores: made.sizes[graph.output] * FLOAT32_BYTES}
    sizes = {**made.sizes, image: made.sizes[IMAGE], **wide}
    alignment = EXECUTORCH_PLANNED.alignment
    return plan_shared(
        shared_graph(layers, sizes, made.roles, EXECUTORCH_PLANNED.rules, alignment=alignment), alignment
    ).bytes


def described(wanted: Format, int8: bool) -> str:
    """Return in words what `predicted_bytes` predicts."""
    if wanted is Format.ONNX:
        return "what ONNX Runtime allocates on this processor"
    return "ExecuTorch's plan" + (", without scratch memory of kernels" if int8 else "")
