"""What `memnas memory` prints: tables of memory figures, and the tensors behind them."""

from collections.abc import Mapping, Sequence

import click
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from flows.memory.layers import LayerRow
from memnas_core.files.printable import printable
from memnas_core.memory.arena_report import ArenaReport
from memnas_core.memory.fit import Verdict
from memnas_core.memory.report import MemoryReport, PeakStep

WORDS = frozenset(("convention", "tensor", "shape", "layer", "operations"))
MOST_CULPRITS = 20
MOST_COLUMNS = 1000


def print_report(report: MemoryReport, arena: ArenaReport, verdicts: Mapping[str, Verdict]) -> None:
    """Print the table of conventions, what is known about bounds, and what is in memory at the peaks.

    Args:
        report: Figures of all conventions except the arena.
        arena: Figures of the arena.
        verdicts: Whether the network fits, by convention; empty without a limit.
    """
    sizes = {**report.peaks, "arena": arena.plan.bytes}
    rows = []
    for convention, size in sizes.items():
        fits = _shown_verdict(verdicts[convention]) if verdicts else ""
        rows.append((convention, *shown_size(size), *shown_size(report.param_bytes + size), fits))
    limit = next((f"within {verdict.limit_bytes:,}" for verdict in verdicts.values()), "")
    _print_table(("convention", "bytes", "", "with parameters", "", limit), rows)
    if report.minimum_exact:
        click.echo("minimum is exact: no order of the layers needs less")
    else:
        bound = report.minimum_lower_bound_bytes
        click.echo(f"minimum is the best order found; no order needs less than {bound:,} bytes")
    click.echo(_described(arena))
    for conventions, steps in _alike({**report.at_peak, "arena": (arena.at_peak,)}).items():
        click.echo(f"\nat the peak under {_joined(conventions)}: {_shown_steps(steps)}")
        tensors = [(tensor.name, shown_shape(tensor.shape), *shown_size(tensor.bytes)) for tensor in steps[0].tensors]
        _print_table(("tensor", "shape", "bytes", ""), tensors)


def print_verdict(verdict: Verdict) -> None:
    """Print whether the arena fits, and if not, which tensors are in memory."""
    limit = f"{verdict.limit_bytes:,} bytes"
    if verdict.fits:
        click.echo(f"\nfits: the arena leaves {verdict.limit_bytes - verdict.peak_bytes:,} of {limit} free")
        return
    click.echo(f"\ndoes not fit: the arena is {verdict.excess_bytes:,} bytes larger than {limit}")
    if not verdict.steps_above:
        click.echo("its tensors would fit; the gaps between them and alignment do not")
        return
    alone = [culprit.tensor.name for culprit in verdict.culprits if culprit.tensor.bytes > verdict.limit_bytes]
    if alone:
        more = f" and {len(alone) - 5} more" if len(alone) > 5 else ""
        click.echo(
            f"larger than the limit by themselves, so that no order helps: {printable(', '.join(alone[:5]))}{more}"
        )
    steps = "step is" if verdict.steps_above == 1 else "steps are"
    click.echo(f"{verdict.steps_above} {steps} above the limit; tensors in memory there, which must shrink:")
    rows = [
        (culprit.tensor.name, shown_shape(culprit.tensor.shape), *shown_size(culprit.tensor.bytes), str(culprit.steps))
        for culprit in verdict.culprits[:MOST_CULPRITS]
    ]
    _print_table(("tensor", "shape", "bytes", "", "steps"), rows)
    if len(verdict.culprits) > MOST_CULPRITS:
        click.echo(f"and {len(verdict.culprits) - MOST_CULPRITS} smaller ones; --json lists all")


def print_layers(rows: Sequence[LayerRow]) -> None:
    """Print a table of layers, if there are any."""
    if not rows:
        return
    click.echo("\nlayers, each with its first output and with the parameters that it is the first to read:")
    cells = [
        (row.layer, ", ".join(row.operations), shown_shape(row.shape), *shown_size(row.bytes), f"{row.weights:,}")
        for row in rows
    ]
    _print_table(("layer", "operations", "shape", "bytes", "", "parameters"), cells, fold=False)


def shown_shape(shape: Sequence[int]) -> str:
    """Return a shape such as `3×224×224`."""
    return "×".join(map(str, shape)) or "one number"


def shown_size(count: int) -> tuple[str, str]:
    """Return bytes as digits and in a suitable unit."""
    return f"{count:,}", decimal(count)


def _described(arena: ArenaReport) -> str:
    """Return what the arena was planned for, and how good it is."""
    rules, plan = arena.rules, arena.plan
    order = "of minimum" if arena.order == "minimum" else "as written"
    parts = [
        f"{'operators of ExecuTorch' if arena.operators == 'executorch' else 'layers'} in the order {order}",
        f"alignment {plan.alignment}",
        "element-wise layers in place" if rules.in_place else "nothing in place",
        *(("depthwise convolutions in place",) if arena.depthwise_in_place else ()),
        "concatenations written directly" if rules.direct_concats else "concatenations copied",
        f"inputs {'counted' if rules.counts_inputs else 'not counted'}",
        f"outputs {'counted' if rules.counts_outputs else 'not counted'}",
    ]
    bound = "none is smaller" if plan.is_optimal else f"none is smaller than {plan.lower_bound:,} bytes"
    return f"arena: {', '.join(parts)}; for this {bound}"


def _shown_verdict(verdict: Verdict) -> str:
    return "yes" if verdict.fits else f"no: {verdict.excess_bytes:,} more"


def _print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, fold: bool = True) -> None:
    """Print columns, words aligned left and figures right; empty columns are left out.

    Args:
        heads: Heads of the columns.
        rows: Cells of each row.
        fold: Whether words are folded to the width of the terminal.
    """
    table = Table(box=None, pad_edge=False)
    used = [place for place, head in enumerate(heads) if head or any(row[place] for row in rows)]
    for place in used:
        table.add_column(heads[place], justify="left" if heads[place] in WORDS else "right", overflow="fold")
    for row in rows:
        table.add_row(*(escape(printable(row[place])) for place in used))
    console = Console(highlight=False)
    if not fold:
        wide = console.options.update_width(MOST_COLUMNS)
        console = Console(highlight=False, width=max(console.width, console.measure(table, options=wide).maximum))
    console.print(table)


def _alike(at_peak: Mapping[str, tuple[PeakStep, ...]]) -> dict[tuple[str, ...], tuple[PeakStep, ...]]:
    """Group the conventions whose first step at the peak is the same."""
    groups: list[tuple[tuple[str, ...], tuple[PeakStep, ...]]] = []
    for convention, steps in at_peak.items():
        for place, (names, others) in enumerate(groups):
            if (others[0].layers, others[0].tensors) == (steps[0].layers, steps[0].tensors):
                groups[place] = ((*names, convention), others)
                break
        else:
            groups.append(((convention,), steps))
    return dict(groups)


def _joined(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _shown_steps(steps: tuple[PeakStep, ...]) -> str:
    layers = ", ".join(steps[0].layers)
    more = len(steps) - 1
    reached = f" ({more} more step{'s' if more > 1 else ''} with as much)" if more else ""
    return f"step {steps[0].step}, {printable(layers) or 'the input alone'}{reached}"
