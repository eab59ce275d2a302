"""The findings, tables and picture of the speed benchmark, computed only from its rows."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from matplotlib.figure import Figure

from benchmarks.spread import Spread
from memnas_core.pictures.canvas import inner_axes, picture
from memnas_core.pictures.look import ACCENT, BLUE, FAINT, INK

MEMNAS, REGIONS, COMPILING, PEAK = "memnas", "regions", "compiling", "peak"
WORKERS = ("1 worker", "2 workers")

LOOKS = {
    "plain": "plain PyTorch loop, DataLoader",
    "batched": "+ augmentation in batches",
    "channels_last": "+ channels last",
    "fused": "+ fused optimiser",
    MEMNAS: "memnas, in its own process",
    REGIONS: "memnas, regions compiled",
}
"""Each loop's description, in the order of the tables."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement.

    Attributes:
        what: The thing measured: a loop, `compiling`, workers or the peak.
        network: The network, or the convolution of the peak.
        repeat: Number of the measurement, from 1.
        images: Images that were trained on, or passed through the convolution.
        seconds: Wall time in seconds.
        images_per_second: Images a second of all processes together.
        gflops: Billions of floating-point operations a second, counting convolutions and products only.
    """

    what: str
    network: str
    repeat: int
    images: int
    seconds: float
    images_per_second: float
    gflops: float

    @classmethod
    def of(cls, what: str, network: str, repeat: int, images: int, seconds: float, flops: int) -> Self:
        """Return the row of a measurement; `flops` are those of one image."""
        speed = images / seconds
        return cls(what, network, repeat, images, seconds, speed, speed * flops / 1e9)


def speeds(rows: Sequence[Row], what: str, network: str) -> list[float]:
    """Return images a second, in the order of repeats."""
    return [row.images_per_second for row in rows if (row.what, row.network) == (what, network)]


def ratio(rows: Sequence[Row], what: str, to: str, network: str) -> Spread:
    """Return how many times as fast one is as the other, compared within each repeat."""
    pairs = zip(speeds(rows, what, network), speeds(rows, to, network), strict=True)
    return Spread.of([first / second for first, second in pairs])


def peak(rows: Sequence[Row]) -> Row:
    """Return the fastest convolution."""
    return max((row for row in rows if row.what == PEAK), key=lambda row: row.gflops)


def networks(rows: Sequence[Row]) -> list[str]:
    """Return the networks that were trained, in order."""
    return list(dict.fromkeys(row.network for row in rows if row.what == MEMNAS))


def shares(rows: Sequence[Row], network: str) -> Spread:
    """Return the share of the convolution peak that memnas's training reaches."""
    best = peak(rows).gflops
    return Spread.of([row.gflops / best for row in rows if (row.what, row.network) == (MEMNAS, network)])


def saved_images(rows: Sequence[Row], network: str) -> float | None:
    """Return the images after which compiled regions have made up for their compilation; None if they are slower."""
    (compiling,) = (row.seconds for row in rows if (row.what, row.network) == (COMPILING, network))
    saved = 1 / statistics.median(speeds(rows, MEMNAS, network)) - 1 / statistics.median(speeds(rows, REGIONS, network))
    return compiling / saved if saved > 0 else None


def findings(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the findings in Markdown."""
    for network in networks(rows):
        own, gain = Spread.of(speeds(rows, MEMNAS, network)).median, ratio(rows, MEMNAS, "plain", network)
        together = ratio(rows, WORKERS[1], WORKERS[0], network)
        compiled, after = ratio(rows, REGIONS, MEMNAS, network), saved_images(rows, network)
        pays = "never pay for that" if after is None else f"pay for that after {after:,.0f} images"
        yield (
            f"- **{network.capitalize()} network: {own:,.0f} images a second on one core, {gain.median:.1f} times "
            f"a plain PyTorch loop.** Two workers train {together.median:.2f} times what one does. Convolutions and "
            f"products run at {shares(rows, network).median:.0%} of the machine's convolution peak. Regions that torch "
            f"has compiled are {compiled.median:.2f} times as fast, and {pays}."
        )


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the tables in Markdown."""
    trained = networks(rows)
    yield f"| images a second, one core | {' | '.join(f'{name} | times plain' for name in trained)} |"
    yield f"|---|{'---:|' * 2 * len(trained)}"
    for what, words in LOOKS.items():
        cells = [
            f"{Spread.of(speeds(rows, what, name)).shown(0)} | {ratio(rows, what, 'plain', name).shown(2)}"
            for name in trained
        ]
        yield f"| {words} | {' | '.join(cells)} |"
    yield ""
    yield f"| worker processes, images a second together | {' | '.join(trained)} |"
    yield f"|---|{'---:|' * len(trained)}"
    for workers in WORKERS:
        yield f"| {workers} | {' | '.join(Spread.of(speeds(rows, workers, name)).shown(0) for name in trained)} |"
    yield f"| 2 over 1 | {' | '.join(ratio(rows, WORKERS[1], WORKERS[0], name).shown(2) for name in trained)} |"
    yield ""
    best = peak(rows)
    yield f"The best single convolution ({best.network}, 3x3, one thread) reaches {best.gflops:.1f} GFLOP/s."
    yield ""
    yield f"| convolutions and products, one core | {' | '.join(trained)} |"
    yield f"|---|{'---:|' * len(trained)}"
    own = [[row.gflops for row in rows if (row.what, row.network) == (MEMNAS, name)] for name in trained]
    yield f"| GFLOP/s in memnas's training | {' | '.join(Spread.of(values).shown(1) for values in own)} |"
    yield f"| share of the peak | {' | '.join(f'{shares(rows, name).median:.1%}' for name in trained)} |"
    compiling = {row.network: row.seconds for row in rows if row.what == COMPILING}
    yield f"| seconds to compile the regions | {' | '.join(f'{compiling[name]:.1f}' for name in trained)} |"


def speed_picture(rows: Sequence[Row]) -> str:
    """Return an SVG of images a second of each loop: bars at the medians, lines from least to most."""
    width, height, left = 8.6, 2.7, 2.3
    trained = networks(rows)
    label = "images a second on one core by training loop, for each network"

    def draw(figure: Figure) -> None:
        panel = (width - left) / len(trained)
        for number, network in enumerate(trained):
            axes = inner_axes(figure, left + number * panel, 0.35, panel - 0.3, height - 0.95)
            spreads = [Spread.of(speeds(rows, what, network)) for what in LOOKS]
            medians = [spread.median for spread in spreads]
            colours = [ACCENT if what == MEMNAS else BLUE for what in LOOKS]
            errors = [[s.median - s.least for s in spreads], [s.most - s.median for s in spreads]]
            places = range(len(LOOKS), 0, -1)
            axes.barh(places, medians, 0.65, xerr=errors, color=colours, ecolor=INK, error_kw={"lw": 0.8})
            axes.set_yticks(places, list(LOOKS.values()) if not number else [""] * len(LOOKS))
            axes.set_title(f"{network} network")
            axes.set_xlabel("images a second")
            axes.set_xlim(left=0)
            axes.grid(color=FAINT, axis="x")

    return picture(width, height, label, draw)
