"""Stage `ablations`: what trimming and the controller each contribute, at equal training budget.

Each arm runs the same searches (lambda, seed, k, rounds, epochs): the full search, one without trimming, and
one that draws the k candidates at random instead of asking the controller. Writes `results/ablations.csv`, a row for
each search and round, and the picture.

Arms reach different trade-offs, so neither accuracy nor bytes alone can compare them. Two figures can:

score        Eq. 4, for the search's own lambda, of the network that the search would choose now, relative to the first
             network, which all searches share; only its training differs between seeds.
hypervolume  The mean best accuracy under a memory budget, over budgets from 1/8 to 8 times the first network's bytes,
             evenly spaced in their logarithm. The best is taken among the trained candidates that fit; where none fits,
             the accuracy of guessing counts. This is the volume under the Pareto front, and does not depend on lambda.

Both use accuracies that the search measured, and the best of many noisy accuracies looks better than it is. All arms
share that bias, as they train equally many candidates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import click
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.plan import RESULTS, Plan, load_plan
from experiments.plotting import BLUE, GREEN, VERMILION, draw_seeds, finish, height_of, panels, save
from experiments.search_results import Arm, SearchResult, ablation_keys, best_so_far, read_search
from experiments.stage import run_stage
from experiments.tidy import write_rows
from memnas_core.objective.score import performance_of
from memnas_core.pictures.canvas import add_key
from memnas_core.records.candidates import CandidateRow
from memnas_core.settings.schema import ObjectiveSettings

TABLE = RESULTS / "ablations.csv"
PICTURE = RESULTS / "figures" / "ablations.svg"

BUDGET_RANGE = 8.0
LOOKS = {Arm.FULL: (BLUE, "o"), Arm.GROW_ONLY: (VERMILION, "s"), Arm.RANDOM_CHOICE: (GREEN, "^")}
WORDS = {
    Arm.FULL: "grow and trim, controller",
    Arm.GROW_ONLY: "grow only, controller",
    Arm.RANDOM_CHOICE: "grow and trim, random choice",
}


@dataclass(frozen=True, slots=True)
class AblationPoint:
    """A row of `ablations.csv`: the state of one search after one round.

    Attributes:
        arm: The way to search.
        accuracy_weight: The paper's lambda.
        seed: Seed of the search.
        round: Number of the round; round 0 trains only the first network.
        trained: Candidates whose training has succeeded so far.
        images_seen: Training images that all candidates so far have seen.
        arch_id: Id of the network that the search would choose now.
        accuracy: Validation accuracy of that network, as the search trained it, in [0, 1].
        param_bytes: Bytes of its weights.
        activation_bytes: Bytes of its peak activations, under the convention that the search uses.
        score: Eq. 4 of that network relative to the first network.
        hypervolume: Hypervolume of all candidates trained so far, an accuracy in [0, 1].
    """

    arm: Arm
    accuracy_weight: float
    seed: int
    round: int
    trained: int
    images_seen: int
    arch_id: str
    accuracy: float
    param_bytes: int
    activation_bytes: int
    score: float
    hypervolume: float


def ablation_points(search: SearchResult, objective: ObjectiveSettings) -> tuple[AblationPoint, ...]:
    """Return a search's rows.

    Args:
        search: The search.
        objective: The objective that the search was given.
    """
    key, rounds = search.key, search.rounds
    points = []
    for number, (row, score) in enumerate(best_so_far(rounds, objective)):
        assert row.measured_accuracy is not None, "what is chosen was trained"
        so_far = [candidate for rows in rounds[: number + 1] for candidate in rows]
        points.append(
            AblationPoint(
                arm=key.arm,
                accuracy_weight=key.accuracy_weight,
                seed=key.seed,
                round=number,
                trained=sum(candidate.measured_accuracy is not None for candidate in so_far),
                images_seen=search.images_seen[number],
                arch_id=row.arch_id,
                accuracy=row.measured_accuracy,
                param_bytes=row.memory.param_bytes,
                activation_bytes=row.memory.activation_bytes(objective.activation_convention),
                score=score,
                hypervolume=hypervolume(so_far, objective, guessing=1 / search.metrics.classes),
            )
        )
    return tuple(points)


def hypervolume(rows: Sequence[CandidateRow], objective: ObjectiveSettings, guessing: float) -> float:
    """Return the mean over memory budgets of the best accuracy that fits.

    Args:
        rows: Candidates, the first network's row first.
        objective: The objective, whose convention of activations counts.
        guessing: The accuracy that counts where no candidate fits.
    """
    measured = [
        performance_of(row.memory, row.measured_accuracy, objective)
        for row in rows
        if row.measured_accuracy is not None
    ]
    first = measured[0].total_bytes
    end = math.log(BUDGET_RANGE)
    volume, reached, best = 0.0, -end, guessing
    for found in sorted(measured, key=lambda performance: performance.total_bytes):
        place = min(max(math.log(found.total_bytes / first), -end), end)
        volume += best * (place - reached)
        reached = place
        if found.total_bytes <= first * BUDGET_RANGE:
            best = max(best, found.accuracy)
    return (volume + best * (end - reached)) / (2 * end)


def common_round(points: Sequence[AblationPoint], weight: float) -> int:
    """Return the last round that every search of a lambda has reached, as some searches end before others."""
    own = [point for point in points if point.accuracy_weight == weight]
    searches = {(point.arm, point.seed) for point in own}
    return min(max(p.round for p in own if (p.arm, p.seed) == search) for search in searches)


def notes(points: Sequence[AblationPoint]) -> tuple[str, ...]:
    """Return for each lambda and arm how it compares with the full search, and whether the budgets were equal."""
    sentences = []
    for weight in sorted({point.accuracy_weight for point in points}):
        number = common_round(points, weight)
        now = [p for p in points if (p.accuracy_weight, p.round) == (weight, number)]
        sentences += [_comparison(now, arm) for arm in (Arm.GROW_ONLY, Arm.RANDOM_CHOICE)]
        seen = {point.images_seen for point in now}
        images = f"{max(seen):,} training images each" if len(seen) == 1 else f"{min(seen):,} to {max(seen):,} images"
        sentence = f"At λ = {weight:g} all searches had then seen {images}."
        if any(p.round > number for p in points if p.accuracy_weight == weight):
            sentence += f" Some went on after round {number}, when others had ended; that does not count here."
        sentences.append(sentence)
    return tuple(sentences)


def _comparison(now: Sequence[AblationPoint], arm: Arm) -> str:
    full, other = ({point.seed: point for point in now if point.arm is which} for which in (Arm.FULL, arm))
    seeds = sorted(set(full) & set(other))
    gains = [full[seed].score - other[seed].score for seed in seeds]
    volumes = [full[seed].hypervolume - other[seed].hypervolume for seed in seeds]
    what = "trimming" if arm is Arm.GROW_ONLY else "the controller"
    return (
        f"At λ = {now[0].accuracy_weight:g}, after round {now[0].round}, {what} {_verdict(gains)}: the score is "
        f"{fmean(full[seed].score for seed in seeds):.3f} with and {fmean(other[seed].score for seed in seeds):.3f} "
        f"without, a difference of {fmean(gains):+.3f} (seeds {min(gains):+.3f} to {max(gains):+.3f}, "
        f"n = {len(seeds)}); the hypervolume differs by {fmean(volumes):+.4f} ({min(volumes):+.4f} to "
        f"{max(volumes):+.4f})."
    )


def _verdict(gains: Sequence[float]) -> str:
    if min(gains) > 0:
        return "helps with every seed"
    if max(gains) < 0:
        return "harms with every seed"
    return "helps with some seeds and not with others" if max(gains) > 0 > min(gains) else "makes no clear difference"


def draw(figure: Figure, points: Sequence[AblationPoint]) -> None:
    """Draw score and hypervolume against training images seen, a row of panels for each lambda."""
    weights = sorted({point.accuracy_weight for point in points})
    grid = panels(figure, 2, len(weights))
    for place, weight in enumerate(weights):
        for axes, name, title in zip(
            grid[2 * place : 2 * place + 2],
            ("score", "hypervolume"),
            (
                f"λ = {weight:g}: best score relative to the first network",
                f"λ = {weight:g}: hypervolume (mean accuracy)",
            ),
            strict=True,
        ):
            for arm, look in LOOKS.items():
                own = [point for point in points if (point.arm, point.accuracy_weight) == (arm, weight)]
                seeds = sorted({point.seed for point in own})
                draw_seeds(
                    axes,
                    [[(p.images_seen / 1000, getattr(p, name)) for p in own if p.seed == seed] for seed in seeds],
                    *look,
                )
            finish(axes, title, "training images seen, thousands")
    marks = [
        Line2D([], [], color=color, marker=marker, lw=2.2, mec="white", label=WORDS[arm])
        for arm, (color, marker) in LOOKS.items()
    ]
    add_key(figure, marks, 0.08)


def read_points(plan: Plan) -> list[AblationPoint]:
    """Return the points of the committed searches.

    Raises:
        RecordError: A search is missing or damaged.
    """
    return [
        point
        for key in ablation_keys(plan)
        for point in ablation_points(read_search(key), plan.load_settings(*key.overrides).objective)
    ]


def page_notes(plan: Plan) -> tuple[str, ...]:
    """Return the sentences of the results page, from the committed searches."""
    return notes(read_points(plan))


def main() -> None:
    """Write the table and the picture."""
    plan = load_plan()
    points = read_points(plan)
    write_rows(TABLE, points)
    rows = len(plan.ablations.lambdas)
    save(PICTURE, height_of(rows), "score and hypervolume of three ways to search", lambda f: draw(f, points))
    for sentence in notes(points):
        click.echo(sentence)


if __name__ == "__main__":
    run_stage(main)
