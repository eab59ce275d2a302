"""Choices from a table of candidates: a round's winner, the Pareto front, and the network for lambda."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from memnas_core.controller.examples import Example
from memnas_core.controller.interface import Controller
from memnas_core.errors import RecordError, TrainingError
from memnas_core.objective.budget import fits
from memnas_core.objective.floor import NOT_KNOWN, Guessing, floor_of_choice
from memnas_core.objective.score import Performance, pareto_front, performance_of, score
from memnas_core.records.candidates import CandidateRow
from memnas_core.search.candidates import Base
from memnas_core.settings.schema import ObjectiveSettings, Settings
from memnas_core.space.architecture import Architecture
from memnas_core.space.architecture_json import from_json


def base_of(row: CandidateRow, objective: ObjectiveSettings) -> Base:
    """Return a candidate whose training succeeded as a base.

    Args:
        row: The candidate.
        objective: The convention of the activation peak.
    """
    assert row.measured_accuracy is not None, "only networks with weights can be bases"
    performance = performance_of(row.memory, row.measured_accuracy, objective)
    return Base(from_json(row.architecture), row.arch_id, performance, row.training_key)


def round_winner(rows: Sequence[CandidateRow], base: Base | None, objective: ObjectiveSettings) -> Base:
    """Return the winner of a round, or the old base where no training succeeded.

    Raises:
        TrainingError: There is neither: the first network could not be trained.
    """
    for row in rows:
        if row.is_winner and row.measured_accuracy is not None:
            return base_of(row, objective)
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
    """Return the architectures and figures of the candidates whose training succeeded."""
    return tuple(
        (from_json(row.architecture), performance_of(row.memory, row.measured_accuracy, objective))
        for row in rows
        if row.measured_accuracy is not None
    )


def front_of(rows: Sequence[CandidateRow], objective: ObjectiveSettings) -> tuple[CandidateRow, ...]:
    """Return the Pareto front of all trained candidates: accuracy against weights and peak activations together.

    Networks beyond the budget are left out. A search trains none, but rows may be read with another budget.
    """
    trained = [row for row in rows if row.measured_accuracy is not None and fits(row.memory, objective)]
    costs = [
        (-row.measured_accuracy, performance_of(row.memory, row.measured_accuracy, objective).total_bytes)
        for row in trained
        if row.measured_accuracy is not None
    ]
    front = [trained[i] for i in pareto_front(costs)]
    return tuple(sorted(front, key=lambda row: row.measured_accuracy or 0.0))


def chosen_row(rows: Sequence[CandidateRow], settings: Settings, guessing: Guessing = NOT_KNOWN) -> CandidateRow:
    """Return the network that a search hands over: that of `best_row`, by the accuracies that `search.choice` names.

    Args:
        rows: Candidates of all rounds, the seed's first.
        settings: Settings of the search.
        guessing: Accuracy without a network.

    Raises:
        RecordError: No trained network is within the budget.
    """
    trained = [row for row in rows if row.measured_accuracy is not None]
    if settings.search.choice == "measured" or len(trained) < 2:
        return best_row(rows, settings.objective, guessing)
    examples = [Example(from_json(row.architecture), row.measured_accuracy or 0.0) for row in trained]
    estimates = dict(zip(trained, estimated_accuracies(examples, settings), strict=True))
    judged = [replace(row, measured_accuracy=estimates.get(row)) for row in rows]
    return rows[judged.index(best_row(judged, settings.objective, guessing))]


def estimated_accuracies(examples: Sequence[Example], settings: Settings) -> list[float]:
    """Return the controller's estimate of each trained network's accuracy, learnt from all of them.

    After short trainings, accuracies scatter more than networks differ that are alike. The estimate is a mean over
    those, so that what is chosen is less often what was lucky.

    Args:
        examples: Two or more networks and their accuracies, after trainings of one length.
        settings: The controller, and the seed.
    """
    controller = Controller.train(settings.controller, examples, settings.search.seed)
    predicted = controller.predict([example.architecture for example in examples]).tolist()
    return [min(1.0, max(0.0, accuracy)) for accuracy in predicted]


def best_row(
    rows: Sequence[CandidateRow], objective: ObjectiveSettings, guessing: Guessing = NOT_KNOWN
) -> CandidateRow:
    """Return the network that is chosen for lambda: on the Pareto front, the highest Eq. 4 relative to the seed.

    Scores of different rounds have different bases and do not compare; the seed is one base for all.

    Args:
        rows: Candidates of all rounds, the seed's first.
        objective: Weights of Eq. 4, the budget and the accuracy floor. If no network on the front is above the floor,
            lambda chooses among those above the one that follows from the most accurate (`objective.floor`).
        guessing: Accuracy without a network.

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

    return max(useful_of(front, objective, guessing)[1] or front[-1:], key=value)


def useful_of(
    front: Sequence[CandidateRow], objective: ObjectiveSettings, guessing: Guessing
) -> tuple[float, tuple[CandidateRow, ...]]:
    """Return the accuracy floor in force, and the networks of a front above it; none if no network beats guessing.

    Args:
        front: A Pareto front, the most accurate network last.
        objective: The accuracy floor of the settings.
        guessing: Accuracy without a network.
    """
    floor = floor_of_choice(objective.accuracy_floor, front[-1].measured_accuracy or 0.0, guessing)
    return floor, tuple(row for row in front if (row.measured_accuracy or 0.0) > floor)


def choice_in_words(
    front: Sequence[CandidateRow], chosen: CandidateRow, objective: ObjectiveSettings, guessing: Guessing
) -> Iterator[str]:
    """Yield the lines that say how a network was chosen, and what is doubtful about it.

    Args:
        front: The Pareto front.
        chosen: What `chosen_row` chose, which by estimates may lie beside the front or below the floor.
        objective: Weights of Eq. 4 and the accuracy floor.
        guessing: Accuracy without a network.
    """
    best, wanted = front[-1].measured_accuracy or 0.0, objective.accuracy_floor
    floor, useful = useful_of(front, objective, guessing)
    if isinstance(wanted, float) and best <= wanted:
        yield (
            f"No network is more accurate than objective.accuracy_floor, {wanted}: the most accurate has {best:.4f} on "
            f"the validation images. Instead, lambda chooses among those above {floor:.4f}. More search.rounds may "
            "find better ones."
        )
    above = "" if wanted is None else f", {len(useful)} of them above the accuracy floor of {floor:.4f}"
    is_from_front = chosen in (useful or front[-1:])
    how = f"from a Pareto front of {len(front)}{above}" if is_from_front else "by the controller's estimates"
    yield f"Chosen for lambda = {objective.accuracy_weight}: {chosen.arch_id} of round {chosen.round}, {how}."
    if best <= guessing.accuracy:
        yield (
            f"Warning: no network is more accurate than always guessing the largest class, {guessing.accuracy:.4f} on "
            "the validation images."
        )
