"""The findings, tables and picture of the overhead benchmark, computed only from its rows."""

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.overhead.clock import Part, Row, Situation
from benchmarks.spread import Spread
from memnas_core.pictures.canvas import inner_axes, picture
from memnas_core.pictures.look import ACCENT, BLUE, FAINT, INK, SMALL_SIZE

MINUTE = 60.0
GOAL = 0.03
"""Share of a one-minute round that all parts together may take."""

WORDS = {
    Part.GENERATE: "grow and trim the bases, name each network",
    Part.MEMORY: "weights, peaks and arena of each candidate",
    Part.RANK: "the controller's predictions, the order",
    Part.FILES: "picture, lifetimes and JSON of each trained candidate",
    Part.RERANK: "rungs, measured scores, the next bases",
    Part.CONTROLLER: "train the controller",
    Part.MLFLOW: "runs, figures and files in MLflow",
    Part.TABLES: "tables and weights on disk",
    Part.DVC: "a version of the round's folder",
    Part.WINNER: "export the winner, put it into the model registry (beside the next round's trainings)",
    Part.PREFECT: "the flow and its tasks themselves",
}

COLOURS = {
    Part.GENERATE: BLUE,
    Part.MEMORY: "#7fb0d0",
    Part.RANK: ACCENT,
    Part.FILES: "#b8860b",
    Part.RERANK: "#e0a080",
    Part.CONTROLLER: "#8a5a9e",
    Part.MLFLOW: "#3f7d4e",
    Part.TABLES: "#66727f",
    Part.DVC: "#9fc98f",
    Part.WINNER: INK,
    Part.PREFECT: "#d070a0",
}

AXES = {Situation.CANDIDATES: "candidates", Situation.CELLS: "cells a block"}


def by_part(rows: Sequence[Row]) -> dict[Part, Spread]:
    """Return the seconds of each part, in the order of the round."""
    return {
        part: Spread.of([row.seconds for row in rows if row.part is part])
        for part in Part
        if any(row.part is part for row in rows)
    }


def totals(rows: Sequence[Row]) -> Spread:
    """Return the seconds of all parts of a round together."""
    rounds: dict[tuple[int, int], float] = {}
    for row in rows:
        rounds[row.repeat, row.round] = rounds.get((row.repeat, row.round), 0.0) + row.seconds
    return Spread.of(list(rounds.values()))


def varied(rows: Sequence[Row], situation: Situation) -> dict[int, list[Row]]:
    """Return the rows by the varied quantity, in rising order."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        if row.situation is situation:
            size = row.candidates if situation is Situation.CANDIDATES else row.cells
            found.setdefault(size, []).append(row)
    return dict(sorted(found.items()))


def page_lines(rows: Sequence[Row], circumstances: Sequence[str]) -> Iterator[str]:
    """Yield the findings, the tables, and how they were measured, in Markdown."""
    own = [row for row in rows if row.situation is Situation.ROUND]
    yield from findings(rows)
    yield ""
    yield from circumstances
    yield ""
    yield "### A round of the search"
    yield ""
    yield "| part | what it does | seconds: median (least to largest) | share of a minute |"
    yield "|---|---|---:|---:|"
    for part, spread in by_part(own).items():
        yield f"| {part} | {WORDS[part]} | {spread.shown(3)} | {spread.median / MINUTE:.2%} |"
    whole = totals(own)
    yield f"| **together** | | **{whole.shown(3)}** | **{whole.median / MINUTE:.2%}** |"
    for situation, head in AXES.items():
        groups = varied(rows, situation)
        if groups:
            yield ""
            yield f"### Seconds by {head}: medians"
            yield ""
            yield f"| part | {' | '.join(f'{size:,}' for size in groups)} |"
            yield f"|---|{'---:|' * len(groups)}"
            columns = [by_part(found) for found in groups.values()]
            for part in Part:
                cells = (f"{column[part].median:.3f}" if part in column else "-" for column in columns)
                yield f"| {part} | {' | '.join(cells)} |"
            yield f"| **together** | {' | '.join(f'**{totals(found).median:.3f}**' for found in groups.values())} |"


def findings(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the findings in sentences."""
    own = [row for row in rows if row.situation is Situation.ROUND]
    whole, parts = totals(own), by_part(own)
    largest = sorted(parts, key=lambda part: -parts[part].median)[:3]
    named = ", ".join(f"{part} {parts[part].median:.2f} s" for part in largest)
    verdict = "less" if whole.median < GOAL * MINUTE else "not less"
    yield (
        f"- **All that is not training takes {whole.median:.2f} s a round** ({whole.least:.2f} to {whole.most:.2f}), "
        f"{whole.median / MINUTE:.1%} of a round of a minute: {verdict} than {GOAL:.0%}. Most of it: {named}."
    )
    beside = parts.get(Part.WINNER)
    if beside is not None:
        rest = totals([row for row in own if row.part is not Part.WINNER])
        yield (
            f"- The winner's export and registration ({beside.median:.2f} s) run beside the next round's trainings; "
            f"without them a round waits for {rest.median:.2f} s, {rest.median / MINUTE:.1%} of a minute."
        )
    for situation, head in AXES.items():
        groups = varied(rows, situation)
        if len(groups) > 1:
            (first, few), *_, (last, many) = groups.items()
            before, after = by_part(few), by_part(many)
            grown = max(set(before) & set(after), key=lambda part: after[part].median - before[part].median)
            yield (
                f"- From {first:,} to {last:,} {head} a round's overhead goes from {totals(few).median:.2f} to "
                f"{totals(many).median:.2f} s; what grows most is {grown}, from {before[grown].median:.2f} to "
                f"{after[grown].median:.2f} s."
            )


def growth_picture(rows: Sequence[Row]) -> str:
    """Return an SVG of how the parts grow: medians as lines, the range from least to most as bands."""
    width, height, left, gap = 9.6, 3.9, 0.65, 0.55
    label = "seconds of each part of a round, by candidates and by cells a block"

    def draw(figure: Figure) -> None:
        panel = (width - left - gap - 1.15) / 2
        for number, (situation, head) in enumerate(AXES.items()):
            axes = inner_axes(figure, left + number * (panel + gap), 0.3, panel, height - 0.85)
            groups = {size: by_part(found) for size, found in varied(rows, situation).items()}
            for part in Part:
                sizes = [size for size, parts in groups.items() if part in parts]
                spreads = [groups[size][part] for size in sizes]
                axes.fill_between(
                    sizes, [s.least for s in spreads], [s.most for s in spreads], color=COLOURS[part], alpha=0.15, lw=0
                )
                axes.plot(sizes, [s.median for s in spreads], "-o", color=COLOURS[part], ms=2.5, lw=1.2, label=part)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.xaxis.set_major_locator(FixedLocator(list(groups)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
            axes.axhline(GOAL * MINUTE, color=INK, lw=0.8, ls=(0, (4, 3)))
            axes.grid(axis="y", color=FAINT)
            axes.set_xlabel(head)
            axes.set_ylabel("seconds" if not number else "")
            axes.set_title(f"goal for all together (dashed): {GOAL * MINUTE:g} s" if not number else "")
        figure.legend(
            *figure.axes[0].get_legend_handles_labels(), loc="center right", fontsize=SMALL_SIZE, borderaxespad=0.3
        )

    return picture(width, height, label, draw)
