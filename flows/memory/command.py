"""`memnas memory`: the memory figures of one network, the tensors that make its peak, and whether it fits."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, replace
from math import ceil
from pathlib import Path

import click
from rich.filesize import decimal

from flows.memory.inputs import MAX_BATCH, parse_input, parse_model_args
from flows.memory.layers import LayerRow, layer_rows
from flows.memory.options import ByteCount, ElementWidth, shown_width
from flows.memory.targets import DEFAULT_CLASSES, Building, Target, find_network
from flows.memory.text import print_layers, print_report, print_verdict, shown_shape
from memnas_core.errors import InputError
from memnas_core.files.outputs import refuse_special
from memnas_core.files.printable import printable
from memnas_core.files.writing import write_text
from memnas_core.memory.arena_report import ArenaReport, arena_report
from memnas_core.memory.arena_rules import ArenaRules
from memnas_core.memory.block_arena import ARENA
from memnas_core.memory.fit import Verdict, judge_arena, judge_table
from memnas_core.memory.parameters import parameter_count
from memnas_core.memory.report import MemoryReport, memory_report
from memnas_core.space.graph import Graph

MOST_CLASSES = 10**9
MOST_ALIGNMENT = 2**30

svg_file = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """How the network is stored and run, as the options say.

    Attributes:
        weight_bytes: Bytes of one element of a kernel or matrix.
        bias_bytes: Bytes of one element of a bias, scale or shift.
        activation_bytes: Bytes of one element of an activation.
        fold_batch_norm: Whether batch norm is folded into the convolutions.
        rules: How the runtime uses the memory of activations.
        depthwise_in_place: Whether depthwise convolutions overwrite their input.
        order: Order of the layers, `minimum` or `sequential`.
        alignment: Every offset in the arena is a multiple of this many bytes.
        limit: The most bytes that activations may take; None for no limit.
        param_limit: The most bytes that parameters may take; None for no limit.
    """

    weight_bytes: float
    bias_bytes: float
    activation_bytes: float
    fold_batch_norm: bool
    rules: ArenaRules
    depthwise_in_place: bool
    order: str
    alignment: int
    limit: int | None
    param_limit: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """All figures of a network.

    Attributes:
        report: Figures of all conventions except the arena.
        arena: Figures of the arena.
        stored_parameters: Number of parameters that are stored, smaller when batch norm is folded.
        verdicts: Whether the activations fit, by convention; empty without a limit.
        params_fit: Whether the parameters fit; None without a limit.
    """

    report: MemoryReport
    arena: ArenaReport
    stored_parameters: int
    verdicts: Mapping[str, Verdict]
    params_fit: bool | None

    @property
    def fits(self) -> bool:
        """Whether no limit is exceeded; for activations the arena counts, which is what a runtime reserves."""
        return self.params_fit is not False and ("arena" not in self.verdicts or self.verdicts["arena"].fits)


@click.command("memory")
@click.argument("target")
@click.option(
    "--input",
    "input_texts",
    multiple=True,
    metavar="C,H,W",
    help="Shape of an image: 3,224,224; of another tensor: 640; of integers: 16:int; one integer an image: :int; named "
    "or inside a dictionary or tuple: mask=16:bool, batch.x=640, pair.0=640. Once for each input. Not needed for "
    "FILE.pt2 and a search.",
)
@click.option(
    "--batch", type=click.IntRange(1, MAX_BATCH), default=1, show_default=True, help="Number of images at once."
)
@click.option(
    "--classes",
    type=click.IntRange(1, MOST_CLASSES),
    help=f"Outputs of the classifier.  [default: {DEFAULT_CLASSES}, or what the torch network has]",
)
@click.option(
    "--model-args",
    "model_args",
    multiple=True,
    metavar="NAME=VALUE,...",
    help="Arguments that build a network of timm, torchvision or a Python module: img_size=96,in_chans=1.",
)
@click.option("--weight-bytes", type=ElementWidth(), default="float32", show_default=True, help="Width of a weight.")
@click.option("--bias-bytes", type=ElementWidth(), help="Width of a bias, scale or shift.  [default: that of a weight]")
@click.option(
    "--activation-bytes", type=ElementWidth(), default="float32", show_default=True, help="Width of an activation."
)
@click.option(
    "--fold-batch-norm/--no-fold-batch-norm", help="Batch norm is folded into the convolution before it.  [default: no]"
)
@click.option(
    "--in-place/--no-in-place",
    default=ARENA.rules.in_place,
    show_default=True,
    help="Arena: additions and activations overwrite an input that nothing needs any more.",
)
@click.option(
    "--depthwise-in-place/--no-depthwise-in-place",
    help="Arena: depthwise convolutions overwrite their input, channel by channel.  [default: no]",
)
@click.option(
    "--direct-concats/--no-direct-concats",
    default=ARENA.rules.direct_concats,
    show_default=True,
    help="Arena: what a concatenation joins is written straight into its output.",
)
@click.option(
    "--count-inputs/--no-count-inputs",
    default=ARENA.rules.counts_inputs,
    show_default=True,
    help="Arena: the image lies in it.",
)
@click.option(
    "--count-outputs/--no-count-outputs",
    default=ARENA.rules.counts_outputs,
    show_default=True,
    help="Arena: what the network returns lies in it.",
)
@click.option(
    "--alignment",
    type=click.IntRange(1, MOST_ALIGNMENT),
    default=ARENA.alignment,
    show_default=True,
    help="Arena: offsets are multiples of so many bytes.",
)
@click.option(
    "--order",
    type=click.Choice(["minimum", "sequential"]),
    default="minimum",
    show_default=True,
    help="Arena: layers run in the order of this convention; sequential: as the network is written.",
)
@click.option(
    "--limit", type=ByteCount(), help="Memory for activations: 64kB, 64KiB. Exit code 1 if the arena is larger."
)
@click.option("--param-limit", type=ByteCount(), help="Memory for parameters. Exit code 1 if they are larger.")
@click.option("--layers", is_flag=True, help="Print a table of all layers.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document; all sizes are bytes.")
@click.option("--plot", type=svg_file, metavar="FILE.svg", help="Draw which tensor lives from when to when (minimum).")
@click.option(
    "--arena-plot", type=svg_file, metavar="FILE.svg", help="Draw where in the arena each tensor lies, and when."
)
@click.pass_context
def memory_command(
    context: click.Context,
    target: str,
    input_texts: tuple[str, ...],
    batch: int,
    classes: int | None,
    model_args: tuple[str, ...],
    weight_bytes: float,
    bias_bytes: float | None,
    activation_bytes: float,
    fold_batch_norm: bool,
    in_place: bool,
    depthwise_in_place: bool,
    direct_concats: bool,
    count_inputs: bool,
    count_outputs: bool,
    alignment: int,
    order: str,
    limit: int | None,
    param_limit: int | None,
    layers: bool,
    as_json: bool,
    plot: Path | None,
    arena_plot: Path | None,
) -> None:
    """Print the memory that TARGET needs for an image, and which tensors make its peak.

    TARGET is an architecture's JSON file, a search's folder, a program of torch.export.save (FILE.pt2),
    torchvision:NAME, timm:NAME (nothing is downloaded), or MODULE:CALLABLE, a torch module or a function that returns
    one. Naming a callable runs the code of its module.

    Conventions: paper counts as the MemNAS paper does, sequential runs one layer after another as the network is
    written, minimum in the best order; arena is one piece of memory with an offset for each tensor.
    """
    question = Question(
        weight_bytes=weight_bytes,
        bias_bytes=weight_bytes if bias_bytes is None else bias_bytes,
        activation_bytes=activation_bytes,
        fold_batch_norm=fold_batch_norm,
        rules=ArenaRules(
            in_place=in_place,
            direct_concats=direct_concats,
            counts_inputs=count_inputs,
            counts_outputs=count_outputs,
        ),
        depthwise_in_place=depthwise_in_place,
        order=order,
        alignment=alignment,
        limit=limit,
        param_limit=param_limit,
    )
    with redirect_stdout(sys.stderr):  # what the user's own code prints must not end up in the JSON document
        building = Building(classes=classes, arguments=parse_model_args(model_args), batch=batch)
        network = find_network(target, [parse_input(text) for text in input_texts], building)
    answer = _answered(network, question)
    rows = layer_rows(network.graph, question.activation_bytes) if layers else ()
    _draw(answer, target, _shown_inputs(network), plot, arena_plot)
    if as_json:
        click.echo(json.dumps(_document(target, network, question, answer, rows), indent=2))
    else:
        _print(target, network, question, answer, classes is None)
        print_layers(rows)
    if not answer.fits:
        context.exit(1)


def _answered(network: Target, question: Question) -> Answer:
    graph = network.graph
    if isinstance(graph, Graph) and question.activation_bytes % 1:
        raise InputError(
            "--activation-bytes: expected whole bytes for an architecture, whose runtime packs none, found "
            f"{shown_width(question.activation_bytes)}"
        )
    stored = parameter_count(graph, question.fold_batch_norm)
    report = replace(
        memory_report(graph, question.weight_bytes, question.activation_bytes),
        param_bytes=ceil(stored.kernels * question.weight_bytes + stored.vectors * question.bias_bytes),
    )
    arena = arena_report(
        graph,
        report,
        question.rules,
        question.activation_bytes,
        question.order,
        question.alignment,
        question.depthwise_in_place,
    )
    verdicts = {}
    if question.limit is not None:
        shapes = graph.shapes()
        verdicts = {name: judge_table(table, shapes, question.limit) for name, table in report.tables.items()}
        verdicts["arena"] = judge_arena(arena.plan, arena.shapes, question.limit)
    params_fit = None if question.param_limit is None else report.param_bytes <= question.param_limit
    return Answer(report, arena, stored.total, verdicts, params_fit)


def _document(
    target: str, network: Target, question: Question, answer: Answer, rows: Sequence[LayerRow]
) -> dict[str, object]:
    """Return everything as one JSON document."""
    document = answer.report.document()
    arena_bytes = answer.arena.plan.bytes
    figures: dict[str, object] = {
        "target": target,
        "input": network.inputs[0] if len(network.inputs) == 1 else network.inputs,
        "batch": network.batch,
        "classes": network.classes,
        "weight_bytes": question.weight_bytes,
        "bias_bytes": question.bias_bytes,
        "activation_bytes": question.activation_bytes,
        "fold_batch_norm": question.fold_batch_norm,
        "unread_parameters": network.unread_parameters,
        "stored_parameters": answer.stored_parameters,
    }
    figures |= document | {
        "peaks": {**answer.report.peak_document(), "arena_bytes": arena_bytes},
        "totals": {**answer.report.total_document(), "arena_bytes": answer.report.param_bytes + arena_bytes},
        "arena": answer.arena.document(),
    }
    if answer.verdicts:
        judged = {name: verdict.document() for name, verdict in answer.verdicts.items()}
        figures["limit"] = {"bytes": question.limit, "conventions": judged}
    if question.param_limit is not None:
        figures["param_limit"] = {"bytes": question.param_limit, "fits": answer.params_fit}
    if rows:
        figures["layers"] = [asdict(row) for row in rows]
    figures["fits"] = answer.fits if answer.verdicts or answer.params_fit is not None else None
    return figures


def _draw(answer: Answer, target: str, inputs: str, plot: Path | None, arena_plot: Path | None) -> None:
    if plot is None and arena_plot is None:
        return
    from memnas_core.pictures import arena_svg, lifetime_svg
    from memnas_core.pictures.canvas import shortened

    for option, file in (("--plot", plot), ("--arena-plot", arena_plot)):
        if file is not None:
            refuse_special(file, option)
    title = f"{shortened(target, 48)}, {shortened(inputs, 32)}"
    if plot is not None:
        write_text(plot, lifetime_svg(answer.report.tables["minimum"], f"{title}: minimum"))
    if arena_plot is not None:
        if not answer.arena.plan.bytes:
            raise InputError("--arena-plot: expected tensors in the arena, found none with these switches")
        write_text(arena_plot, arena_svg(answer.arena.plan, f"{title}: arena"))


def _print(target: str, network: Target, question: Question, answer: Answer, default_classes: bool) -> None:
    described = f"{target}, {_shown_inputs(network)}"
    if network.classes:
        described += f", {network.classes} classes{' (default of --classes)' if default_classes else ''}"
    widths = f"bytes of a weight: {shown_width(question.weight_bytes)}"
    if question.bias_bytes != question.weight_bytes:
        widths += f", of a bias: {question.bias_bytes:g}"
    click.echo(f"{printable(described)}; {widths}, of an activation: {shown_width(question.activation_bytes)}")
    size = answer.report.param_bytes
    folded = " with batch norm folded" if question.fold_batch_norm else ""
    click.echo(f"parameters: {answer.stored_parameters:,}{folded} = {size:,} bytes ({decimal(size)})")
    if parameter_count(network.graph, fold_batch_norm=False).total > answer.report.parameters:
        click.echo(f"  a complex one is two: torch counts {answer.report.parameters:,}")
    if network.unread_parameters:
        click.echo(f"  {network.unread_parameters:,} of them are not read at inference")
    if question.param_limit is not None:
        excess = size - question.param_limit
        verdict = f"do not fit: {excess:,} bytes more than" if excess > 0 else f"fit: {-excess:,} free of"
        click.echo(f"  they {verdict} {question.param_limit:,} bytes")
    print_report(answer.report, answer.arena, answer.verdicts)
    if answer.verdicts:
        print_verdict(answer.verdicts["arena"])


def _shown_inputs(network: Target) -> str:
    shapes = " and ".join(shown_shape(shape) for shape in network.inputs)
    if [len(shape) for shape in network.inputs] == [3]:
        return f"one image of {shapes}" if network.batch == 1 else f"{network.batch} images of {shapes}"
    return f"input {shapes}" + (f", batch of {network.batch}" if network.batch > 1 else "")
