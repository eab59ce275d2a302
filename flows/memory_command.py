"""`memnas memory`: the memory figures of one network, the tensors that make its peak, and whether it fits."""

import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.filesize import decimal

from flows.memory_options import ByteCount, ElementWidth, shown_width
from flows.memory_targets import DEFAULT_CLASSES, Network, find_network, parse_input
from flows.memory_text import print_report, print_verdict, shown_shape
from memnas_core.arena_report import ArenaReport, arena_report
from memnas_core.arena_rules import ArenaRules
from memnas_core.block_arena import ARENA
from memnas_core.errors import InputError
from memnas_core.memory_limit import Verdict, judge_arena, judge_table
from memnas_core.memory_report import MemoryReport, memory_report
from memnas_core.parameters import parameter_count
from memnas_core.printable import printable
from memnas_core.storage import write_text

svg_file = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """How the network is stored and run.

    Attributes:
        weight_bytes: Bytes of an element of a kernel or matrix.
        bias_bytes: Bytes of a bias, scale or shift.
        activation_bytes: Bytes of an activation.
        fold_batch_norm: Whether batch norm is folded into the convolutions.
        rules: What the runtime does with the memory of activations.
        order: `minimum` or `sequential`.
        alignment: Every offset in the arena is a multiple of so many bytes.
        limit: The most that activations may take; None for no limit.
        param_limit: The most that parameters may take; None for no limit.
    """

    weight_bytes: int
    bias_bytes: int
    activation_bytes: int
    fold_batch_norm: bool
    rules: ArenaRules
    order: str
    alignment: int
    limit: int | None
    param_limit: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """All figures of a network.

    Attributes:
        report: Figures of all conventions but the arena.
        arena: The arena.
        stored_parameters: Number of parameters that are stored, fewer where batch norm is folded.
        verdicts: For each convention, whether the activations fit; empty without a limit.
        params_fit: Whether the parameters do; None without a limit.
    """

    report: MemoryReport
    arena: ArenaReport
    stored_parameters: int
    verdicts: Mapping[str, Verdict]
    params_fit: bool | None

    @property
    def fits(self) -> bool:
        """Whether no limit is passed; of the activations the arena counts, which is what a runtime reserves."""
        return self.params_fit is not False and ("arena" not in self.verdicts or self.verdicts["arena"].fits)


@click.command("memory")
@click.argument("target")
@click.option(
    "--input",
    "input_texts",
    multiple=True,
    metavar="C,H,W",
    help="Shape of an image: 3,224,224; of another tensor: 640; of integers: 16:int. Once for each input. Not needed "
    "for FILE.pt2 and a search.",
)
@click.option(
    "--classes",
    type=click.IntRange(min=1),
    help=f"Outputs of the classifier.  [default: {DEFAULT_CLASSES}, or what the torch network has]",
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
    type=click.IntRange(min=1),
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
    classes: int | None,
    weight_bytes: int,
    bias_bytes: int | None,
    activation_bytes: int,
    fold_batch_norm: bool,
    in_place: bool,
    direct_concats: bool,
    count_inputs: bool,
    count_outputs: bool,
    alignment: int,
    order: str,
    limit: int | None,
    param_limit: int | None,
    as_json: bool,
    plot: Path | None,
    arena_plot: Path | None,
) -> None:
    """Print the memory that TARGET needs for one image, and which tensors make its peak.

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
        order=order,
        alignment=alignment,
        limit=limit,
        param_limit=param_limit,
    )
    with redirect_stdout(sys.stderr):  # what a person's own code prints must not stand in a JSON document
        network = find_network(target, [parse_input(text) for text in input_texts], classes)
    answer = _answered(network, question)
    _draw(answer, target, _shown_inputs(network), plot, arena_plot)
    if as_json:
        click.echo(json.dumps(_document(target, network, question, answer), indent=2))
    else:
        _print(target, network, question, answer, classes is None)
    if not answer.fits:
        context.exit(1)


def _answered(network: Network, question: Question) -> Answer:
    graph = network.graph
    stored = parameter_count(graph, question.fold_batch_norm)
    report = replace(
        memory_report(graph, question.weight_bytes, question.activation_bytes),
        param_bytes=stored.bytes(question.weight_bytes, question.bias_bytes),
    )
    arena = arena_report(graph, report, question.rules, question.activation_bytes, question.order, question.alignment)
    verdicts = {}
    if question.limit is not None:
        shapes = graph.shapes()
        verdicts = {name: judge_table(table, shapes, question.limit) for name, table in report.tables.items()}
        verdicts["arena"] = judge_arena(arena.plan, arena.shapes, question.limit)
    params_fit = None if question.param_limit is None else report.param_bytes <= question.param_limit
    return Answer(report, arena, stored.total, verdicts, params_fit)


def _document(target: str, network: Network, question: Question, answer: Answer) -> dict[str, object]:
    """Return everything as one JSON document."""
    document = answer.report.document()
    arena_bytes = answer.arena.plan.bytes
    figures: dict[str, object] = {
        "target": target,
        "input": network.inputs[0] if len(network.inputs) == 1 else network.inputs,
        "batch": 1,
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
    figures["fits"] = answer.fits if answer.verdicts or answer.params_fit is not None else None
    return figures


def _draw(answer: Answer, target: str, inputs: str, plot: Path | None, arena_plot: Path | None) -> None:
    if plot is None and arena_plot is None:
        return
    from memnas_core.pictures import arena_svg, lifetime_svg
    from memnas_core.pictures.canvas import shortened

    title = f"{shortened(target, 48)}, {shortened(inputs, 32)}"
    if plot is not None:
        write_text(plot, lifetime_svg(answer.report.tables["minimum"], f"{title}: minimum"))
    if arena_plot is not None:
        if not answer.arena.plan.bytes:
            raise InputError("--arena-plot: expected tensors in the arena, found none with these switches")
        write_text(arena_plot, arena_svg(answer.arena.plan, f"{title}: arena"))


def _print(target: str, network: Network, question: Question, answer: Answer, default_classes: bool) -> None:
    described = f"{target}, {_shown_inputs(network)}"
    if network.classes:
        described += f", {network.classes} classes{' (default of --classes)' if default_classes else ''}"
    widths = f"bytes of a weight: {shown_width(question.weight_bytes)}"
    if question.bias_bytes != question.weight_bytes:
        widths += f", of a bias: {question.bias_bytes}"
    click.echo(f"{printable(described)}; {widths}, of an activation: {shown_width(question.activation_bytes)}")
    size = answer.report.param_bytes
    folded = " with batch norm folded" if question.fold_batch_norm else ""
    click.echo(f"parameters: {answer.stored_parameters:,}{folded} = {size:,} bytes ({decimal(size)})")
    if network.unread_parameters:
        click.echo(f"  {network.unread_parameters:,} of them are not read at inference")
    if question.param_limit is not None:
        excess = size - question.param_limit
        verdict = f"do not fit: {excess:,} bytes more than" if excess > 0 else f"fit: {-excess:,} free of"
        click.echo(f"  they {verdict} {question.param_limit:,} bytes")
    print_report(answer.report, answer.arena, answer.verdicts)
    if answer.verdicts:
        print_verdict(answer.verdicts["arena"])


def _shown_inputs(network: Network) -> str:
    shapes = " and ".join(shown_shape(shape) for shape in network.inputs)
    return f"one image of {shapes}" if [len(shape) for shape in network.inputs] == [3] else f"input {shapes}"
