"""`memnas memory`: the memory figures of one network, and the tensors that make its peak."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import click
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from memnas_core.architecture import from_json
from memnas_core.errors import ArchitectureError, InputError
from memnas_core.graph import Shape, lower
from memnas_core.memory_report import LayerGraph, MemoryReport, PeakStep, memory_report
from memnas_core.storage import write_text

TORCHVISION = "torchvision:"
DEFAULT_CLASSES = 10


@dataclass(frozen=True, slots=True)
class Network:
    """A network to measure.

    Attributes:
        graph: Its layers.
        classes: Outputs of its classifier; None where the network itself decides.
        unread_parameters: Weights that inference does not read.
    """

    graph: LayerGraph
    classes: int | None
    unread_parameters: int


@click.command("memory")
@click.argument("target")
@click.option("--input", "shape_text", required=True, metavar="C,H,W", help="Shape of an image: 3,224,224.")
@click.option(
    "--classes",
    type=click.IntRange(min=1),
    help=f"Outputs of the classifier.  [default: {DEFAULT_CLASSES}, or what the torchvision network has]",
)
@click.option("--weight-bytes", type=click.IntRange(min=1), default=4, show_default=True, help="Of a weight.")
@click.option("--activation-bytes", type=click.IntRange(min=1), default=4, show_default=True, help="Of an activation.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document; all sizes are bytes.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.svg",
    help="Draw which tensor lives from when to when in the order that needs least.",
)
def memory_command(
    target: str,
    shape_text: str,
    classes: int | None,
    weight_bytes: int,
    activation_bytes: int,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Print the memory that TARGET needs for one image.

    TARGET is an architecture's JSON file, or torchvision:NAME such as torchvision:mobilenet_v2 (nothing is
    downloaded). The peak of the activations is given under three conventions: paper counts as the MemNAS
    paper does, sequential runs one layer after another as the network is written, minimum in the best order.
    """
    shape = parse_shape(shape_text)
    network = find_network(target, shape, classes)
    report = memory_report(network.graph, weight_bytes, activation_bytes)
    if plot is not None:
        _draw(report, f"{target} at {shape_text}, minimum", plot)
    if as_json:
        question: dict[str, object] = {
            "target": target,
            "input": shape,
            "batch": 1,
            "classes": network.classes,
            "weight_bytes": weight_bytes,
            "activation_bytes": activation_bytes,
            "unread_parameters": network.unread_parameters,
        }
        click.echo(json.dumps(question | report.document(), indent=2))
        return
    described = f"{target}, one image of {_shown_shape(shape)}"
    if network.classes:
        described += f", {network.classes} classes{'' if classes else ' (default of --classes)'}"
    click.echo(f"{described}; bytes of a weight: {weight_bytes}, of an activation: {activation_bytes}")
    _print_report(report, network.unread_parameters)


def parse_shape(text: str) -> Shape:
    """Read the shape of an image.

    Raises:
        InputError: The text is not three positive numbers.
    """
    try:
        channels, height, width = (int(part) for part in text.split(","))
    except ValueError:
        channels = height = width = 0
    if min(channels, height, width) < 1:
        raise InputError(f"--input: expected channels,height,width such as 3,224,224, found {text!r}")
    return Shape(channels, height, width)


def find_network(target: str, shape: Shape, classes: int | None) -> Network:
    """Return the network that a target names.

    Args:
        target: Path of an architecture's JSON file, or torchvision:NAME.
        shape: Of an image.
        classes: Outputs of the classifier; None for the default.

    Raises:
        InputError: There is no such network, or it does not run on images of this shape.
    """
    if target.startswith(TORCHVISION):
        return _torchvision(target.removeprefix(TORCHVISION), shape, classes)
    try:
        text = Path(target).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(
            f"{target}: expected an architecture's JSON file or {TORCHVISION}NAME, found no such file"
        ) from None
    except UnicodeDecodeError:
        raise ArchitectureError(f"{target}: expected JSON, found bytes that are no text") from None
    except OSError as error:
        raise InputError(f"{target}: cannot be read: {error.strerror}") from None
    classes = classes or DEFAULT_CLASSES
    return Network(lower(from_json(text, source=target), shape, classes), classes, unread_parameters=0)


def _torchvision(name: str, shape: Shape, classes: int | None) -> Network:
    from torchvision import models

    from memnas_core.recorder import weightless
    from memnas_core.trace import trace

    known = models.list_models(module=models)
    if name not in known:
        close = get_close_matches(name.lower(), known, n=4, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"it has {len(known)}, such as resnet18"
        raise InputError(f"{TORCHVISION}{name}: expected a classifier of torchvision; {hint}")
    choice = {} if classes is None else {"num_classes": classes}
    with weightless(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # two networks announce another initialisation
        module = models.get_model(name, weights=None, **choice)
    graph = trace(module, shape)
    return Network(graph, classes, graph.unread_weights)


def _draw(report: MemoryReport, title: str, path: Path) -> None:
    from memnas_core.pictures import lifetime_svg

    write_text(path, lifetime_svg(report.tables["minimum"], title))


def _print_report(report: MemoryReport, unread_parameters: int) -> None:
    count, size = report.parameters, report.param_bytes
    click.echo(f"parameters: {count:,} = {size:,} bytes ({decimal(size)})")
    if unread_parameters:
        click.echo(f"  {unread_parameters:,} of them are not read at inference")
    totals = report.totals
    _print_table(
        ("convention", "peak bytes", "", "with parameters", ""),
        [(name, *_size(peak), *_size(totals[name])) for name, peak in report.peaks.items()],
    )
    if report.minimum_exact:
        click.echo("minimum is exact: no order of the layers needs less")
    else:
        bound = report.minimum_lower_bound_bytes
        click.echo(f"minimum is the best order found; no order needs less than {bound:,} bytes")
    for conventions, steps in _alike(report.at_peak).items():
        click.echo(f"\nat the peak under {' and '.join(conventions)}: {_shown_steps(steps)}")
        rows = [(tensor.name, _shown_shape(tensor.shape), *_size(tensor.bytes)) for tensor in steps[0].tensors]
        _print_table(("tensor", "shape", "bytes", ""), rows)


def _print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns, words to the left and figures to the right."""
    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, justify="left" if head in ("convention", "tensor", "shape") else "right")
    for row in rows:
        table.add_row(*map(escape, row))
    Console(highlight=False).print(table)


def _alike(at_peak: Mapping[str, tuple[PeakStep, ...]]) -> dict[tuple[str, ...], tuple[PeakStep, ...]]:
    """Put conventions together whose first step at the peak is the same."""
    groups: list[tuple[tuple[str, ...], tuple[PeakStep, ...]]] = []
    for convention, steps in at_peak.items():
        for place, (names, others) in enumerate(groups):
            if (others[0].layers, others[0].tensors) == (steps[0].layers, steps[0].tensors):
                groups[place] = ((*names, convention), others)
                break
        else:
            groups.append(((convention,), steps))
    return dict(groups)


def _shown_steps(steps: tuple[PeakStep, ...]) -> str:
    layers = ", ".join(steps[0].layers)
    more = len(steps) - 1
    reached = f" ({more} more step{'s' if more > 1 else ''} with as much)" if more else ""
    return f"step {steps[0].step}, {layers or 'the image alone'}{reached}"


def _shown_shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _size(count: int) -> tuple[str, str]:
    """Return bytes as digits and in the unit that suits them."""
    return f"{count:,}", decimal(count)
