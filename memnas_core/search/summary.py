"""Summaries of rounds, and the criteria by which a search ends."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau

from memnas_core.records.candidates import CandidateRow
from memnas_core.records.rounds import RoundSummary
from memnas_core.records.trainings import Status, TrainingRecord, known_cpu_seconds
from memnas_core.search.candidates import Base
from memnas_core.settings.schema import SearchSettings
from memnas_core.space.moves import MoveCounts


def summarise(
    number: int,
    before: Base | None,
    after: Base,
    counts: MoveCounts,
    rows: Sequence[CandidateRow],
    records: Sequence[TrainingRecord],
    started: float,
    now: float,
) -> RoundSummary:
    """Return the summary of a round.

    Args:
        number: Number of the round.
        before: The round's base; None in round 0.
        after: The network that the round chose.
        counts: Counts of the round's moves.
        rows: Table of the round after re-ranking.
        records: Training records of the round.
        started: Unix time at which the round before ended.
        now: Current Unix time.
    """
    winner = next((row for row in rows if row.is_winner), None)
    trained = sum(row.status is Status.TRAINED for row in rows)
    return RoundSummary(
        round=number,
        base_id=(winner.parent_id if winner else "") or (before or after).arch_id,
        winner_id=after.arch_id,
        winner_move=winner.move if winner else _why_none(rows),
        accuracy=after.performance.accuracy,
        param_bytes=after.performance.param_bytes,
        activation_bytes=after.performance.activation_bytes,
        score=winner.measured_score if winner and winner.measured_score is not None else 0.0,
        cells=max(len(block.cells) for block in after.architecture.blocks),
        grown=counts.grown,
        trimmed=counts.trimmed,
        cut=counts.cut,
        candidates=len(rows),
        trained=trained,
        failed=len(records) - trained,
        rank_tau=predicted_tau(rows),
        images_seen=sum(record.images_seen for record in records),
        wall_seconds=now - started,
        training_wall_seconds=_covered([(record.started, record.seconds) for record in records], started, now),
        training_cpu_seconds=known_cpu_seconds(records),
    )


def _why_none(rows: Sequence[CandidateRow]) -> str:
    return "none, every training failed" if rows else "none, no untried network fits the budget"


def _covered(spans: Sequence[tuple[float, float]], started: float, now: float) -> float:
    """Return the seconds between `started` and `now` in which at least one span (begin, duration) runs."""
    covered, reached = 0.0, started
    for begin, duration in sorted(spans):
        end = min(begin + duration, now)
        covered += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return covered


def predicted_tau(rows: Sequence[CandidateRow]) -> float | None:
    """Return Kendall's tau between predicted and measured score of trained candidates, or None where undefined."""
    pairs = [
        (row.predicted_score, row.measured_score)
        for row in rows
        if row.predicted_score is not None and row.measured_score is not None
    ]
    if len(pairs) < 2:
        return None
    tau = float(kendalltau(*zip(*pairs, strict=True)).statistic)
    return None if np.isnan(tau) else tau


def completion(
    settings: SearchSettings, rounds: Sequence[RoundSummary], images_seen: int, of_aim: str | None
) -> str | None:
    """Return why the search ends now, or None if it goes on.

    Args:
        settings: Settings with the criteria.
        rounds: Summaries of the rounds so far, round 0 included.
        images_seen: Training images seen by all candidates.
        of_aim: Result of `Aim.completion`: why nothing is left to find, or None.
    """
    searched = [summary for summary in rounds if summary.round > 0]
    if len(searched) >= settings.rounds:
        return f"{settings.rounds} rounds done (search.rounds)"
    if of_aim is not None:
        return of_aim
    if settings.max_training_images is not None and images_seen >= settings.max_training_images:
        return f"{images_seen:,} training images seen (search.max_training_images)"
    if searched and not searched[-1].candidates:
        return "no untried network near the base fits the budget (objective)"
    patience = settings.patience
    if patience and len(searched) >= patience and all(summary.score <= 0 for summary in searched[-patience:]):
        return f"{patience} rounds without a candidate above its base (search.patience)"
    return None
