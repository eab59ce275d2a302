"""The kinds of TARGET that `memnas memory` accepts, and the network that each names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flows.memory.inputs import InputText, image_shape, require
from memnas_core.errors import ArchitectureError, InputError
from memnas_core.files.untrusted import read_text
from memnas_core.memory.report import DescribedGraph
from memnas_core.space.architecture_json import read_architecture
from memnas_core.space.graph import Graph, lower
from memnas_core.space.layers import Shape

DEFAULT_CLASSES = 10
MAX_ARCHITECTURE_BYTES = 2**17  # the size for 1,300 cells, fifty times as many as the paper's
TARGETS = "an architecture's JSON, a search's folder, FILE.pt2, torchvision:NAME, timm:NAME or MODULE:CALLABLE"


FILES = {
    ".onnx": "an ONNX file",
    ".tflite": "a TensorFlow Lite file",
    ".pte": "a program of ExecuTorch, whose plan `memnas export` prints",
    ".keras": "a Keras network",
    ".h5": "a Keras network",
    ".pb": "a TensorFlow network",
    ".mlmodel": "a Core ML network",
    ".mlpackage": "a Core ML network",
    ".safetensors": "a state_dict, which has weights but no layers",
    ".bin": "a state_dict, which has weights but no layers",
    ".ckpt": "a checkpoint, which has weights but no layers",
}
"""What other files hold, by their suffix."""


@dataclass(frozen=True, slots=True)
class Target:
    """A network to measure.

    Attributes:
        graph: Layers of the network.
        inputs: Shapes of its inputs, without the batch.
        classes: Outputs of its classifier; None where the network itself decides.
        unread_parameters: Weights that inference does not read.
        batch: Number of images.
    """

    graph: Graph | DescribedGraph
    inputs: tuple[tuple[int, ...], ...]
    classes: int | None
    unread_parameters: int
    batch: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """How a network is built and called beside its inputs.

    Attributes:
        classes: Outputs of the classifier; None for the default.
        arguments: Arguments by which a network of torchvision, timm or a Python module is built.
        batch: Number of images.
    """

    classes: int | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)
    batch: int = 1


def find_network(target: str, inputs: Sequence[InputText], building: Building) -> Target:
    """Return the network that a target names.

    Args:
        target: One of `TARGETS`.
        inputs: Inputs of the network; empty where the target itself defines them.
        building: How the network is built and called.

    Raises:
        InputError: There is no such network, or it does not run on these inputs.
    """
    path = Path(target)
    if path.suffix.lower() in FILES and ":" not in path.name:
        raise InputError(
            f"{path}: expected {TARGETS}, found {FILES[path.suffix.lower()]}; measure the torch network behind it, as "
            "MODULE:CALLABLE or as a .pt2 of torch.export.save"
        )
    if path.suffix != ".json" and ":" in target and not path.exists():
        return _of_module(target, inputs, building)
    if building.arguments:
        raise InputError(f"--model-args: expected none for {target}, found {', '.join(building.arguments)}")
    if path.suffix in (".pt2", ".pt", ".pth"):
        return _exported(path, inputs, building)
    if building.batch > 1:
        raise InputError(f"--batch: expected 1 for {target}, as an architecture is measured, found {building.batch}")
    if path.is_dir():
        return _of_search(path, inputs, building.classes)
    return _architecture(path, inputs, building.classes or DEFAULT_CLASSES)


def _architecture(path: Path, inputs: Sequence[InputText], classes: int) -> Target:
    shape = Shape(*image_shape(inputs))
    try:
        text = read_text(path, MAX_ARCHITECTURE_BYTES)
    except FileNotFoundError:
        raise InputError(f"{path}: expected {TARGETS}, found no such file") from None
    except UnicodeDecodeError:
        raise ArchitectureError(f"{path}: expected an architecture's JSON, found bytes that are no text") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    graph = lower(read_architecture(text, str(path)), shape, classes)
    return Target(graph, (tuple(shape),), classes, unread_parameters=0)


def _of_search(path: Path, inputs: Sequence[InputText], classes: int | None) -> Target:
    """Return the network that a search has chosen, from its folder or a copied file."""
    from memnas_core.results.folder import SearchFolder

    folder = SearchFolder(path)
    if not folder.exists:
        file = path / "architecture.json"
        if not file.is_file():
            raise InputError(f"{path}: expected {TARGETS}, found a folder without a search or an architecture.json")
        return _architecture(file, inputs, classes or DEFAULT_CLASSES)
    file = folder.chosen / "architecture.json"
    if not file.is_file():
        raise InputError(f"{path}: expected a finished search, found one that has not chosen a network yet")
    dataset = folder.start().dataset
    return _architecture(file, inputs or (InputText(tuple(dataset.shape)),), classes or len(dataset.classes))


def _exported(path: Path, inputs: Sequence[InputText], building: Building) -> Target:
    from memnas_core.tracing.program import trace_program

    _refuse_classes(building.classes, path)
    graph, shapes = trace_program(path, building.batch)
    shapes = tuple(shape[1:] if len(shape) > 1 else shape for shape in shapes)
    given = tuple(entry.shape for entry in inputs)
    if inputs and given != shapes:
        fixed, wanted = (" and ".join(",".join(map(str, shape)) for shape in entry) for entry in (shapes, given))
        raise InputError(f"--input {wanted}: expected {fixed}, for which {path} was exported, or no --input")
    return Target(graph, shapes, None, graph.unread_weights, building.batch)


def _of_module(target: str, inputs: Sequence[InputText], building: Building) -> Target:
    from memnas_core.tracing.inputs import NetworkInput
    from memnas_core.tracing.named_modules import TIMM, TORCHVISION, imported_module, timm_module, torchvision_module
    from memnas_core.tracing.trace import trace_inputs

    require(inputs)
    classes, arguments = building.classes, dict(building.arguments)
    if target.startswith((TORCHVISION, TIMM)):
        if classes is not None:
            arguments["num_classes"] = classes
        build = torchvision_module if target.startswith(TORCHVISION) else timm_module
        module = build(target.partition(":")[2], arguments)
    else:
        _refuse_classes(classes, target)
        module = imported_module(target, arguments)
    given = [NetworkInput(entry.shape, entry.kind, entry.name) for entry in inputs]
    graph = trace_inputs(module, given, building.batch)
    return Target(graph, tuple(entry.shape for entry in inputs), classes, graph.unread_weights, building.batch)


def _refuse_classes(classes: int | None, target: object) -> None:
    if classes is not None:
        raise InputError(f"--classes: expected none for {target}, which decides itself, found {classes}")
