"""The lineage chart: the seed and the winner of each round, with the other trained children of the round."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memnas_core.pictures.canvas import add_key, coordinates, inner_axes, picture
from memnas_core.pictures.look import ACCENT, BLUE, BLUE_PALE, CHART_WIDTH, FAINT, SMALL_SIZE, SOFT, TINY_SIZE
from memnas_core.pictures.svg import Tips
from memnas_core.pictures.values import FAILURES, shown_percent
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.rounds import RoundSummary

MOVES_UP_TO = 9
"""Largest number of rounds at which the winners' moves are written out."""
SPREAD = 0.22  # horizontal spread of a round's children, in rounds; keeps children of equal accuracy apart

_Point = tuple[float, float]


@dataclass(slots=True)
class _Family:
    """Coordinates of all networks; x is the round and y the accuracy in percent."""

    winners: dict[str, _Point] = field(default_factory=dict)
    line: list[_Point] = field(default_factory=list)
    children: list[_Point] = field(default_factory=list)
    branches: list[list[_Point]] = field(default_factory=list)
    tips: list[str] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)


def lineage_svg(candidates: Sequence[CandidateRow], rounds: Sequence[RoundSummary]) -> str:
    """Return the lineage as SVG.

    Args:
        candidates: Rows of all rounds; those that were not trained are left out, and a failed training is a
            cross at the bottom.
        rounds: Summaries of the rounds in order, at least one.
    """
    family = _Family()
    for summary in rounds:
        _add_round(family, summary, [row for row in candidates if row.round == summary.round])
    names = [_name(row, len(rounds)) for row in rounds]
    height = 4.15 + 0.145 * max(name.count("\n") for name in names)

    def draw(figure: Figure) -> Tips:
        axes = inner_axes(figure, 0.7, 0.45, CHART_WIDTH - 0.95, 3.1)
        axes.add_collection(LineCollection(family.branches, colors=FAINT, linewidths=0.6, zorder=1))
        x, y = coordinates(family.children)
        axes.scatter(x, y, s=13, c=BLUE_PALE, edgecolors=BLUE, linewidths=0.5, zorder=2, gid="children")
        x, y = coordinates(family.line)
        axes.plot(x, y, color=ACCENT, lw=1.8, marker="D", ms=6, zorder=4, gid="winners")
        axes.margins(0.04, 0.09)
        axes.set_xlim(-0.35, rounds[-1].round + 0.35)
        if family.failed:
            low, high = axes.get_ylim()
            low -= 0.07 * (high - low)
            bottom = [low + 0.03 * (high - low)] * len(family.failed)
            axes.plot(family.failed, bottom, ls="none", marker="x", ms=5, color=SOFT, zorder=5, gid="failed")
            axes.set_ylim(low, high)
        axes.set_xticks([summary.round for summary in rounds], names)
        axes.tick_params(axis="x", labelsize=SMALL_SIZE if len(rounds) < 7 else TINY_SIZE)
        if len(rounds) > MOVES_UP_TO:
            axes.set_xlabel("round")
        axes.set_ylabel("validation accuracy, %")
        axes.grid(axis="y")
        add_key(figure, _key(has_failed=bool(family.failed)), 0.12)
        return {"children": family.tips}

    return picture(CHART_WIDTH, height, f"lineage over {len(rounds)} rounds", draw)


def _add_round(family: _Family, summary: RoundSummary, rows: Sequence[CandidateRow]) -> None:
    base = family.winners.get(summary.base_id)
    trained = sorted((row for row in rows if row.measured_accuracy is not None), key=lambda row: row.arch_id)
    for place, row in enumerate(trained):
        if row.arch_id == summary.winner_id:
            continue
        x = summary.round + SPREAD * (2 * (place + 0.5) / len(trained) - 1)
        child = (x, 100 * (row.measured_accuracy or 0.0))
        family.children.append(child)
        family.tips.append(f"{row.arch_id}: {row.move}, {shown_percent(row.measured_accuracy)}")
        if base:
            family.branches.append([base, child])
    failures = sum(row.status in FAILURES for row in rows)
    family.failed += [summary.round + 0.08 * (number - (failures - 1) / 2) for number in range(failures)]
    family.winners[summary.winner_id] = (summary.round, 100 * summary.accuracy)
    family.line.append(family.winners[summary.winner_id])


def _name(summary: RoundSummary, count: int) -> str:
    """Return a round's name and, where there is room, its winner's move in short lines."""
    if summary.round == 0:
        return "seed"
    if count > MOVES_UP_TO:
        return str(summary.round)
    kind, *words = summary.winner_move.split(" ")
    lines = words if kind == "grow" else [" ".join(words)]
    return "\n".join((f"round {summary.round}", kind, *lines))


def _key(has_failed: bool) -> list[Line2D]:
    handles = [
        Line2D([], [], color=ACCENT, lw=1.8, marker="D", ms=6, label="winner of its round"),
        Line2D([], [], ls="none", marker="o", ms=4, mfc=BLUE_PALE, mec=BLUE, label="trained, not chosen"),
    ]
    if has_failed:
        handles.append(Line2D([], [], ls="none", marker="x", ms=5, color=SOFT, label="training failed"))
    return handles
