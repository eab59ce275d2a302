"""What is chosen from a table of candidates: a round's winner, the Pareto front, and the network for lambda."""

from collections.abc import Sequence

from memnas_core.architecture import Architecture
from memnas_core.architecture_json import from_json
from memnas_core.budget import fits
from memnas_core.config import ObjectiveSettings
from memnas_core.contenders import Base, performance_of
from memnas_core.errors import RecordError, TrainingError
from memnas_core.metric import Performance, pareto_front, score
from memnas_core.records import CandidateRow


def round_winner(rows: Sequence[CandidateRow], base: Base | None, objective: ObjectiveSettings) -> Base:
    """Return the winner of a round, or the old base where no training succeeded.

    Raises:
        TrainingError: There is neither: the first network could not be trained.
    """
    for row in rows:
        if row.is_winner and row.measured_accuracy is not None:
            performance = performance_of(row.memory, row.measured_accuracy, objective)
            return Base(from_json(row.architecture), row.arch_id, performance, row.training_key)
    if base is None:
        found = ", ".join(row.status for row in rows)
        raise TrainingError(
            f"round 0: expected the first network to train, found {found}; lower training.learning_rate if it "
            "diverged, and choose another --name; if memory or time ran out, raise execution.memory_limit_bytes or "
            "execution.training_seconds and go on with --resume, or lower training.batch_size under another --name"
        )
    return base


def trained_of(
    rows: Sequence[CandidateRow], objective: ObjectiveSettings
) -> tuple[tuple[Architecture, Performance], ...]:
    """Return what the controller may learn from: the candidates whose training succeeded."""
    return tuple(
        (from_json(row.architecture), performance_of(row.memory, row.measured_accuracy, objective))
        for row in rows
        if row.measured_accuracy is not None
    )


def front_of(rows: Sequence[CandidateRow], objective: ObjectiveSettings) -> tuple[CandidateRow, ...]:
    """Return the Pareto front of all trained candidates: accuracy against weights and peak activations together.

    Networks beyond the budget stay out. A search trains none, but rows may be looked at with another budget.
    """
    trained = [row for row in rows if row.measured_accuracy is not None and fits(row.memory, objective)]
    costs = [
        (-row.measured_accuracy, performance_of(row.memory, row.measured_accuracy, objective).total_bytes)
        for row in trained
        if row.measured_accuracy is not None
    ]
    front = [trained[i] for i in pareto_front(costs)]
    return tuple(sorted(front, key=lambda row: row.measured_accuracy or 0.0))


def best_row(rows: Sequence[CandidateRow], objective: ObjectiveSettings) -> CandidateRow:
    """Return the network that is chosen for lambda: on the Pareto front, the highest Eq. 4 relative to the seed.

    Scores of different rounds have different bases and do not compare; the seed is one base for all.

    Args:
        rows: Candidates of all rounds, the seed's first.
        objective: Weights of Eq. 4, the budget, and the accuracy below which a network is of no use: one that is not
            above it is chosen only where none is, the most accurate then.

    Raises:
        RecordError: No trained network is within the budget.
    """
    seed = round_winner(rows[:1], None, objective).performance
    front = front_of(rows, objective)
    if not front:
        raise RecordError("candidates: expected a trained network within the budget of the settings, found none")

    def value(row: CandidateRow) -> tuple[float, str]:
        assert row.measured_accuracy is not None, "the front holds trained candidates"
        performance = performance_of(row.memory, row.measured_accuracy, objective)
        return score(performance, seed, objective.accuracy_weight), row.arch_id

    useful = [row for row in front if (row.measured_accuracy or 0.0) > (objective.accuracy_floor or 0.0)]
    return max(useful, key=value) if useful else front[-1]
