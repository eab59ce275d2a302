"""The tables and the picture of the runtime benchmark, computed only from its rows."""

import statistics
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure

from benchmarks.runtime_memory.predictions import Row
from memnas_core.controller.rank_metrics import kendall_tau
from memnas_core.pictures.canvas import inner_axes, picture
from memnas_core.pictures.look import ACCENT, BLUE, BLUE_PALE, FAINT, INK

TABLED = ("paper", "sequential", "minimum", "arena")
PICTURED = ("paper", "sequential", "minimum", "arena, fused", "arena")
PICTURED_RUNTIMES = ("executorch", "executorch memnas plan", "onnxruntime")


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of all tables, in Markdown."""
    by_pair: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_pair.setdefault((row.runtime, row.convention), []).append(row)
    yield "### Predicted bytes as a share of the runtime's"
    yield ""
    yield "| runtime | convention | n | 5 % | median | 95 % | within 1 % | Kendall's tau |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    for (runtime, convention), found in by_pair.items():
        if convention in TABLED:
            low, middle, high = np.quantile([_ratio(row) for row in found], (0.05, 0.5, 0.95))
            within = statistics.mean(abs(_ratio(row) - 1) <= 0.01 for row in found)
            yield (
                f"| {runtime} | {convention} | {len(found)} | {low:.3f} | {middle:.3f} | {high:.3f} "
                f"| {100 * within:.0f} % | {_tau(found):.3f} |"
            )
    yield ""
    yield "### Every rule set against every runtime: Kendall's tau (median ratio)"
    yield ""
    runtimes = tuple(dict.fromkeys(row.runtime for row in rows))
    yield f"| convention | {' | '.join(runtimes)} |"
    yield f"|---|{'---:|' * len(runtimes)}"
    for convention in dict.fromkeys(row.convention for row in rows):
        if convention != "arena":  # its rules differ between columns
            columns = (by_pair[runtime, convention] for runtime in runtimes)
            cells = (f"{_tau(found):.3f} ({statistics.median(map(_ratio, found)):.2f})" for found in columns)
            yield f"| {convention} | {' | '.join(cells)} |"
    yield ""
    yield "### What the order of layers and the planner save"
    yield ""
    yield "Bytes before divided by bytes after, over networks whose layers can run in more than one order."
    yield ""
    yield "| from | to | n | median | mean | best | share that gains | share that loses |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    for before, after, ratios in _savings(rows):
        gains = statistics.mean(ratio > 1 for ratio in ratios)
        losses = statistics.mean(ratio < 1 for ratio in ratios)
        yield (
            f"| {before} | {after} | {len(ratios)} | {statistics.median(ratios):.3f} | {statistics.mean(ratios):.3f} "
            f"| {max(ratios):.3f} | {100 * gains:.0f} % | {100 * losses:.0f} % |"
        )


def _tau(rows: Sequence[Row]) -> float:
    return kendall_tau([row.runtime_bytes for row in rows], [row.predicted_bytes for row in rows])


def _ratio(row: Row) -> float:
    return row.predicted_bytes / row.runtime_bytes


def _savings(rows: Sequence[Row]) -> Iterator[tuple[str, str, list[float]]]:
    """Yield the description of each comparison, and before / after for each network with branches."""
    branched = [row for row in rows if row.has_branches]

    def predicted(convention: str) -> dict[str, float]:
        pair = ("executorch", convention)
        return {row.arch_id: row.predicted_bytes for row in branched if (row.runtime, row.convention) == pair}

    def real(runtime: str) -> dict[str, float]:
        return {row.arch_id: row.runtime_bytes for row in branched if row.runtime == runtime}

    sequential, least = predicted("sequential"), predicted("minimum")
    plain, best = real("executorch plain order"), real("executorch")
    planned_plain, planned = real("executorch memnas plan plain order"), real("executorch memnas plan")
    gaining = [network for network, figure in sequential.items() if figure > least[network]]
    every = list(sequential)
    for before, after, of, to, networks in (
        ("`sequential`, plain order", "`minimum`", sequential, least, every),
        ("`sequential`, breadth first", "`minimum`", predicted("breadth first"), least, every),
        ("`sequential`, plain order", "`minimum`, where it is less", sequential, least, gaining),
        ("ExecuTorch, plain order", "best order, where `minimum` is less", plain, best, gaining),
        ("memnas's plan, plain order", "best order, where `minimum` is less", planned_plain, planned, gaining),
        ("ExecuTorch, best order", "memnas's plan, best order", best, planned, every),
        ("ExecuTorch, plain order", "memnas's plan, best order", plain, planned, every),
    ):
        if networks:
            yield before, after, [of[network] / to[network] for network in networks]


def ratio_picture(rows: Sequence[Row]) -> str:
    """Return an SVG of the distribution of predicted / real bytes: one line for each convention, from 5 % to 95 %."""
    width, height, left = 9.6, 3.3, 1.25
    label = "predicted bytes as a share of what runtimes reserve, by convention"

    def draw(figure: Figure) -> None:
        panel = (width - left - 0.2) / len(PICTURED_RUNTIMES)
        for number, runtime in enumerate(PICTURED_RUNTIMES):
            axes = inner_axes(figure, left + number * panel, 0.45, panel - 0.2, height - 1.0)
            axes.axvline(1, color=INK, lw=0.8)
            for place, convention in enumerate(reversed(PICTURED)):
                ratios = [_ratio(row) for row in rows if (row.runtime, row.convention) == (runtime, convention)]
                low, quarter, middle, upper, high = np.quantile(ratios, (0.05, 0.25, 0.5, 0.75, 0.95))
                colour = ACCENT if convention == "arena" else BLUE
                axes.plot((low, high), (place, place), color=colour, lw=1)
                axes.plot(
                    (quarter, upper),
                    (place, place),
                    color=BLUE_PALE if colour == BLUE else ACCENT,
                    lw=6,
                    solid_capstyle="butt",
                )
                axes.plot((middle,), (place,), "o", color=colour, ms=5)
            axes.set_yticks(range(len(PICTURED)), reversed(PICTURED) if not number else [""] * len(PICTURED))
            axes.set_ylim(-0.5, len(PICTURED) - 0.5)
            axes.set_xlim(0.3, 1.25)
            axes.grid(axis="x", color=FAINT)
            axes.set_title(runtime)
            axes.set_xlabel("predicted / real")

    return picture(width, height, label, draw)
