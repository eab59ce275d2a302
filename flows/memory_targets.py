"""What the TARGET of `memnas memory` may be, and the network that it names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memnas_core.architecture_json import from_json
from memnas_core.errors import ArchitectureError, InputError
from memnas_core.graph import Graph, Shape, lower
from memnas_core.memory_report import DescribedGraph
from memnas_core.reading import read_text

DEFAULT_CLASSES = 10
MAX_ARCHITECTURE_BYTES = 2**18  # of one with 2,500 cells, a hundred times the paper's
MAX_SIDE = 2**24  # a larger one is a slip of the finger, and beyond what can be shown
TARGETS = "an architecture's JSON, a search's folder, FILE.pt2, torchvision:NAME, timm:NAME or MODULE:CALLABLE"


@dataclass(frozen=True, slots=True)
class InputText:
    """A tensor that enters the network, as the command line gives it.

    Attributes:
        shape: Without the batch.
        is_integer: Whether it holds integers.
    """

    shape: tuple[int, ...]
    is_integer: bool


@dataclass(frozen=True, slots=True)
class Network:
    """A network to measure.

    Attributes:
        graph: Its layers.
        inputs: Shapes of what enters it, without the batch.
        classes: Outputs of its classifier; None where the network itself decides.
        unread_parameters: Weights that inference does not read.
    """

    graph: Graph | DescribedGraph
    inputs: tuple[tuple[int, ...], ...]
    classes: int | None
    unread_parameters: int


def parse_input(text: str) -> InputText:
    """Read `3,224,224`, or `16:int` for integers.

    Raises:
        InputError: The text is no such shape.
    """
    shape_text, colon, kind = text.partition(":")
    try:
        shape = tuple(int(part) for part in shape_text.split(","))
    except ValueError:
        shape = (0,)
    if not all(1 <= side <= MAX_SIDE for side in shape) or (colon and kind != "int"):
        raise InputError(
            "--input: expected the shape of one image, channels,height,width such as 3,224,224, of another tensor such "
            f"as 640, or of integers such as 16:int, found {text!r}"
        )
    return InputText(shape, bool(colon))


def find_network(target: str, inputs: Sequence[InputText], classes: int | None) -> Network:
    """Return the network that a target names.

    Args:
        target: One of `TARGETS`.
        inputs: What enters it; none where the target itself tells.
        classes: Outputs of the classifier; None for the default.

    Raises:
        InputError: There is no such network, or it does not run on these inputs.
    """
    path = Path(target)
    if path.is_dir():
        return _of_search(path, inputs, classes)
    if path.suffix in (".pt2", ".pt", ".pth"):
        return _exported(path, inputs, classes)
    if path.suffix != ".json" and ":" in target and not path.exists():
        return _of_module(target, inputs, classes)
    return _architecture(path, _image(inputs), classes or DEFAULT_CLASSES)


def _architecture(path: Path, shape: Shape, classes: int) -> Network:
    try:
        text = read_text(path, MAX_ARCHITECTURE_BYTES)
    except FileNotFoundError:
        raise InputError(f"{path}: expected {TARGETS}, found no such file") from None
    except UnicodeDecodeError:
        raise ArchitectureError(f"{path}: expected an architecture's JSON, found bytes that are no text") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    graph = lower(from_json(text, source=str(path)), shape, classes)
    return Network(graph, (tuple(shape),), classes, unread_parameters=0)


def _of_search(path: Path, inputs: Sequence[InputText], classes: int | None) -> Network:
    """Return the network that a search has chosen, or that was copied out of one."""
    from memnas_core.result_folder import SearchFolder

    folder = SearchFolder(path)
    if not folder.exists:
        file = path / "architecture.json"
        if not file.is_file():
            raise InputError(f"{path}: expected {TARGETS}, found a folder without a search or an architecture.json")
        return _architecture(file, _image(inputs), classes or DEFAULT_CLASSES)
    file = folder.chosen / "architecture.json"
    if not file.is_file():
        raise InputError(f"{path}: expected a finished search, found one that has not chosen a network yet")
    dataset = folder.start().dataset
    shape = _image(inputs) if inputs else Shape(*dataset.shape)
    return _architecture(file, shape, classes or len(dataset.classes))


def _exported(path: Path, inputs: Sequence[InputText], classes: int | None) -> Network:
    from memnas_core.exported_program import trace_program

    _refuse_classes(classes, path)
    graph, shapes = trace_program(path)
    shapes = tuple(shape[1:] if len(shape) > 1 else shape for shape in shapes)
    given = tuple(entry.shape for entry in inputs)
    if inputs and given != shapes:
        fixed, wanted = (" and ".join(",".join(map(str, shape)) for shape in entry) for entry in (shapes, given))
        raise InputError(f"--input {wanted}: expected {fixed}, for which {path} was exported, or no --input")
    return Network(graph, shapes, None, graph.unread_weights)


def _of_module(target: str, inputs: Sequence[InputText], classes: int | None) -> Network:
    from memnas_core.named_modules import TIMM, TORCHVISION, imported_module, timm_module, torchvision_module
    from memnas_core.recorder import NetworkInput
    from memnas_core.trace import trace_inputs

    _require(inputs)
    if target.startswith(TORCHVISION):
        module = torchvision_module(target.removeprefix(TORCHVISION), classes)
    elif target.startswith(TIMM):
        module = timm_module(target.removeprefix(TIMM), classes)
    else:
        _refuse_classes(classes, target)
        module = imported_module(target)
    graph = trace_inputs(module, [NetworkInput(entry.shape, entry.is_integer) for entry in inputs])
    return Network(graph, tuple(entry.shape for entry in inputs), classes, graph.unread_weights)


def _refuse_classes(classes: int | None, target: object) -> None:
    if classes is not None:
        raise InputError(f"--classes: expected none for {target}, which decides itself, found {classes}")


def _require(inputs: Sequence[InputText]) -> None:
    if not inputs:
        raise InputError("--input: expected the shape of one image such as 3,224,224, found none")


def _image(inputs: Sequence[InputText]) -> Shape:
    """Return the one image that an architecture takes."""
    _require(inputs)
    if len(inputs) > 1 or len(inputs[0].shape) != 3 or inputs[0].is_integer:
        found = " and ".join(",".join(map(str, entry.shape)) for entry in inputs)
        raise InputError(
            f"--input: expected channels,height,width such as 3,224,224 for an architecture, found {found}"
        )
    return Shape(*inputs[0].shape)
