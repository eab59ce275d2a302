"""The findings, the tables and the picture of the search benchmark, from its rows alone."""

import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from benchmarks.search_methods.tally import Row
from benchmarks.spread import Spread
from memnas_core.pictures.canvas import inner_axes, picture
from memnas_core.pictures.look import ACCENT, BLUE, FAINT, INK

LOOKS = {
    "memnas": ("memnas", ACCENT, "-"),
    "memnas-paper": ("memnas, the paper's version", ACCENT, ":"),
    "random": ("random search", "#66727f", "-"),
    "evolution": ("regularised evolution", BLUE, "-"),
    "nsga2": ("NSGA-II (Optuna)", "#3f7d4e", "-"),
    "moasha": ("MOASHA (Syne Tune)", "#8a5a9e", "-"),
}
"""Name in words, colour and line of each method."""

OURS = ("memnas", "memnas-paper")


class Measured(NamedTuple):
    """A finished run: its rows, and what it ran with."""

    rows: tuple[Row, ...]
    circumstances: dict[str, object]


class Cost(NamedTuple):
    """What a method needs to reach the target of its data set.

    Attributes:
        dataset: Its name.
        method: Its name.
        final: Hypervolume at the end.
        needed: Images at which each seed reached the target; infinite where it did not.
        spent: Images that the best peer's runs took in the end, the median: 1 of the shares.
    """

    dataset: str
    method: str
    final: Spread
    needed: tuple[float, ...]
    spent: float

    @property
    def share(self) -> float:
        """Median of the images needed, as a share of what the best peer spent; infinite where most do not get there."""
        return statistics.median(self.needed) / self.spent


def costs(measured: Sequence[Measured]) -> Iterator[tuple[str, str, float, list[Cost]]]:
    """Yield for each data set its name, the best peer, that peer's median final hypervolume, and each method's cost."""
    for dataset in dict.fromkeys(run.rows[0].dataset for run in measured):
        by_method = _by_method(measured, dataset)
        final = {name: [run.rows[-1].hypervolume for run in runs] for name, runs in by_method.items()}
        peers = [name for name in by_method if name not in OURS]
        if not peers:
            continue
        best = max(peers, key=lambda name: statistics.median(final[name]))
        target = statistics.median(final[best])
        spent = statistics.median(run.rows[-1].images for run in by_method[best])
        found = [
            Cost(
                dataset,
                name,
                Spread.of(final[name]),
                tuple(_images_to(run.rows, target) for run in runs),
                spent,
            )
            for name, runs in by_method.items()
        ]
        yield dataset, best, target, found


def _by_method(measured: Sequence[Measured], dataset: str) -> dict[str, list[Measured]]:
    found: dict[str, list[Measured]] = {}
    for name in LOOKS:
        runs = [run for run in measured if (run.rows[0].dataset, run.rows[0].method) == (dataset, name)]
        if runs:
            found[name] = runs
    return found


def _images_to(rows: Sequence[Row], target: float) -> float:
    return min((row.images for row in rows if row.hypervolume >= target), default=float("inf"))


def page_lines(measured: Sequence[Measured], command: str) -> Iterator[str]:
    """Yield what was found, the table of each data set, and how it was measured, in Markdown."""
    found = list(costs(measured))
    for dataset, best, target, methods in found:
        yield f"- {_finding(dataset, best, target, methods)}"
    for dataset, best, target, methods in found:
        yield ""
        yield f"### {dataset}: images to reach {target:.4f}, the median final hypervolume of {LOOKS[best][0]}"
        yield ""
        yield "| method | seeds | final hypervolume: median (range) | seeds that reach it | images, median | share |"
        yield "|---|---:|---:|---:|---:|---:|"
        for cost in methods:
            reached = sum(np.isfinite(cost.needed))
            needed = statistics.median(cost.needed)
            yield (
                f"| {LOOKS[cost.method][0]} | {len(cost.needed)} | {cost.final.median:.4f} ({cost.final.least:.4f} to "
                f"{cost.final.most:.4f}) | {reached} | {_images(needed)} | {_share(cost.share)} |"
            )
    yield ""
    yield "### How it was measured"
    yield ""
    yield from _circumstances(measured, command)


def _finding(dataset: str, best: str, target: float, methods: Sequence[Cost]) -> str:
    """Return the result of a data set in a sentence, flattering or not."""
    words = f"{dataset}: the best peer is {LOOKS[best][0]}, with a median hypervolume of {target:.4f} in the end"
    ours = next((cost for cost in methods if cost.method == "memnas"), None)
    if ours is None:
        return f"{words}; memnas was not measured"
    reached = sum(np.isfinite(ours.needed))
    if not np.isfinite(ours.share):
        return f"{words}; memnas does not get there: it does with {reached} of {len(ours.needed)} seeds"
    share = f"{_share(ours.share)} of its images (median; {reached} of {len(ours.needed)} seeds get there)"
    return f"{words}; memnas needs {share}"


def _images(images: float) -> str:
    return f"{images:,.0f}" if np.isfinite(images) else "not reached"


def _share(share: float) -> str:
    return f"{share:.3f}" if np.isfinite(share) else "–"


def _circumstances(measured: Sequence[Measured], command: str) -> Iterator[str]:
    every = [run.circumstances for run in measured]
    dates = sorted({str(one["started"]).split()[0] for one in every})
    machines = sorted({str(one["machine"]) for one in every})
    loads = [float(str(one["load"])) for one in every]
    seeds = sorted({run.rows[0].seed for run in measured})
    yield f"- command: `{command}`"
    yield f"- date: {' to '.join(dict.fromkeys((dates[0], dates[-1])))}"
    yield f"- machine: {'; '.join(machines)}, load {min(loads):.1f} to {max(loads):.1f}; no figure here is a time"
    trainers = sorted({str(one["training_version"]) for one in every})
    yield f"- versions: {_versions(every)}; digest of the trainer's code: {', '.join(trainers)}"
    yield f"- n: {len(measured)} runs, seeds {', '.join(map(str, seeds))}; spread: least to most over seeds"
    for dataset in dict.fromkeys(run.rows[0].dataset for run in measured):
        one = next(run.circumstances for run in measured if run.rows[0].dataset == dataset)
        yield (
            f"- {dataset}: {one['train_images']:,} training images, {one['validation_images']:,} validation images, "
            f"{one['full_images']:,} images a full training, {one['limit']:,} images a run. Reference point: accuracy "
            f"{one['accuracy_floor']} and {one['largest_bytes']:,} bytes; best point: accuracy 1 and "
            f"{one['smallest_bytes']:,} bytes"
        )


def _versions(every: Sequence[dict[str, object]]) -> str:
    names = ("python", "torch", "optuna", "syne-tune", "numpy")
    found: dict[str, set[str]] = {name: set() for name in names}
    for one in every:
        versions = one["versions"]
        assert isinstance(versions, dict), "a run notes its versions"
        for name in names:
            found[name].add(versions[name])
    return ", ".join(f"{name} {'/'.join(sorted(values))}" for name, values in found.items())


def search_picture(measured: Sequence[Measured]) -> str:
    """Return hypervolume over images spent as SVG: medians, and bands from least to most over seeds."""
    datasets = list(dict.fromkeys(run.rows[0].dataset for run in measured))
    width, height, left = 9.6, 3.9, 0.6
    label = "hypervolume of accuracy and total memory over training images spent, by method"

    def draw(figure: Figure) -> None:
        panel = (width - left) / len(datasets)
        for number, dataset in enumerate(datasets):
            axes = inner_axes(figure, left + number * panel, 0.35, panel - 0.55, height - 1.3)
            for method, runs in _by_method(measured, dataset).items():
                name, colour, line = LOOKS[method]
                images, curves = _curves(runs)
                axes.fill_between(images, curves.min(0), curves.max(0), color=colour, alpha=0.12, lw=0, step="post")
                axes.plot(images, np.median(curves, 0), line, color=colour, lw=1.4, label=name, drawstyle="steps-post")
            axes.set_title(dataset)
            axes.set_xlabel("training images spent (thousands)")
            axes.set_ylim(bottom=0)
            axes.set_xlim(left=0)
            axes.grid(color=FAINT)
            if not number:
                axes.set_ylabel("hypervolume", color=INK)
                handles, labels = axes.get_legend_handles_labels()
                figure.legend(handles, labels, loc="lower center", ncols=6)

    return picture(width, height, label, draw)


def _curves(runs: Sequence[Measured]) -> tuple[np.ndarray, np.ndarray]:
    """Return thousands of images, and for each run the hypervolume that it has with so many."""
    limit = max(run.rows[-1].images for run in runs)
    images = np.unique([0, *(row.images for run in runs for row in run.rows), limit])
    curves = []
    for run in runs:
        ends = np.array([row.images for row in run.rows])
        values = np.array([0.0, *(row.hypervolume for row in run.rows)])
        curves.append(values[np.searchsorted(ends, images, side="right")])
    return images / 1000, np.array(curves)
