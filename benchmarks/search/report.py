"""The page of the yardstick, computed from its rows alone."""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.search.runs import METHODS, Row
from benchmarks.search.yardstick import BUDGET, FINAL_IMAGES, LIMITS, box_of
from benchmarks.spread import Mean

Handed = Mapping[int, Sequence[Row]]
"""Seed -> networks that a method handed over, scored in one way."""


def page_lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield tables for each data set, in Markdown: fixed limits first, then the hypervolume."""
    for dataset in sorted({row.dataset for row in rows}, reverse=True):
        alike, kept = (_by_method(rows, dataset, from_nothing=way) for way in (True, False))
        yield f"### {dataset}: test accuracy within a limit of weights and activations"
        yield ""
        yield f"With the weights that a run hands over, after {BUDGET:,} training images at most, everything included:"
        yield ""
        yield from _limits(kept)
        yield ""
        yield f"All networks trained from nothing for {FINAL_IMAGES:,} images, so that only their choice is compared:"
        yield ""
        yield from _limits(alike)
        yield ""
        yield f"### {dataset}: hypervolume of what is handed over, on test images"
        yield ""
        yield from _hypervolumes(alike, kept, dataset)
        yield ""
    codes = sorted({row.code for row in rows})
    yield f"- n: {len({row.key for row in rows})} runs, seeds {_numbers({row.seed for row in rows})}"
    yield f"- digest of the code of trainings and rounds: {', '.join(codes)}"


def _numbers(values: set[int]) -> str:
    return ", ".join(map(str, sorted(values)))


def _by_method(rows: Sequence[Row], dataset: str, *, from_nothing: bool) -> dict[str, Handed]:
    found: dict[str, dict[int, list[Row]]] = {name: {} for name in METHODS}
    for row in rows:
        if row.dataset == dataset and row.from_nothing is from_nothing:
            found[row.method].setdefault(row.seed, []).append(row)
    return {name: seeds for name, seeds in found.items() if seeds}


def within(rows: Sequence[Row], limit: int) -> Row | None:
    """Return the network within a limit that is best on the validation images, which is the one to use there."""
    fitting = [row for row in rows if row.total_bytes <= limit]
    return max(fitting, key=lambda row: (row.accuracy_validation, row.arch_id), default=None)


def at_limit(handed: Handed, limit: int) -> Mean | None:
    """Return the mean test accuracy within a limit; None unless every seed handed something over that fits."""
    found = [within(rows, limit) for rows in handed.values()]
    fitting = [row.accuracy_test for row in found if row is not None]
    return Mean.of(fitting) if len(fitting) == len(found) else None


def _limits(methods: Mapping[str, Handed]) -> Iterator[str]:
    yield "| method | " + " | ".join(f"{limit // 1000} kB" for limit in LIMITS) + " |"
    yield "|---|" + "---:|" * len(LIMITS)
    means = {name: [at_limit(handed, limit) for limit in LIMITS] for name, handed in methods.items()}
    best = [max((one.value for one in column if one), default=None) for column in zip(*means.values(), strict=True)]
    for name, of in means.items():
        cells = ("–" if one is None else _bold(one.shown(), one.value == best[at]) for at, one in enumerate(of))
        yield f"| {name} | {' | '.join(cells)} |"


def _bold(words: str, is_best: bool) -> str:
    return f"**{words}**" if is_best else words


def hypervolumes(handed: Handed, dataset: str) -> dict[int, float]:
    """Return for each seed the share of the box that the test accuracies of what was handed over dominate."""
    box = box_of(dataset)
    return {
        seed: box.hypervolume([(row.accuracy_test, row.total_bytes) for row in rows]) for seed, rows in handed.items()
    }


def _hypervolumes(alike: Mapping[str, Handed], kept: Mapping[str, Handed], dataset: str) -> Iterator[str]:
    yield "| method | trained from nothing alike | memnas minus it | weights handed over | memnas minus it |"
    yield "|---|---:|---:|---:|---:|"
    for name in METHODS:
        cells = []
        for way in (alike, kept):
            of = hypervolumes(way.get(name, {}), dataset)
            ours = hypervolumes(way.get("memnas", {}), dataset)
            both = [ours[seed] - of[seed] for seed in ours if seed in of]
            cells.append(Mean.of(list(of.values())).shown() if of else "–")
            cells.append(Mean.of(both).shown("+") if both and name != "memnas" else "–")
        if cells != ["–"] * 4:
            yield f"| {name} | {' | '.join(cells)} |"
