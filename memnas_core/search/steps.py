"""The steps of a round on plain values, in the order of the paper's Figure 1(a): generate, rank, train, re-rank, learn.

Nothing here trains, writes or schedules; `memnas_core.search.loop` goes through the steps.
"""

from collections.abc import Mapping, Sequence

from memnas_core.controller.interface import Controller, examples_for
from memnas_core.objective.score import performance_of
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.trainings import Status, TrainingRecord
from memnas_core.search.aim import Comparison
from memnas_core.search.candidates import Generation, RankedCandidate, Ranking
from memnas_core.search.halving import going_on
from memnas_core.search.state import SearchState
from memnas_core.settings.schema import ObjectiveSettings
from memnas_core.space.architecture_json import to_json
from memnas_core.training.job import candidate_seed


def generate(search: SearchState, number: int) -> Generation:
    """Make the candidates of a round, measure each of them, and keep those within the budget."""
    return search.first if number == 0 else search.aim.generate(search, number)


def rank(search: SearchState, generation: Generation, number: int) -> Ranking:
    """Order a round's candidates by expected value; round 0 trains all of its networks, in the order given."""
    if number == 0:
        pairs = zip(generation.candidates, generation.memory, strict=True)
        ranked = [RankedCandidate(*pair, place, None, None) for place, pair in enumerate(pairs, start=1)]
        return Ranking(ranked, generation.counts)
    seed = candidate_seed(search.settings.search.seed, number, search.chosen[-1].arch_id)
    return search.aim.rank(search, generation, seed)


def select(
    search: SearchState, candidates: Sequence[RankedCandidate], records: Sequence[TrainingRecord]
) -> list[RankedCandidate]:
    """Return the candidates of a rung that go on to the next one."""
    by_id = {record.arch_id: record for record in records}
    settings = search.settings
    return promising(candidates, by_id, search.aim.comparison(search), settings.objective, settings.search.keep)


def rerank(search: SearchState, ranking: Ranking, records: Sequence[TrainingRecord]) -> tuple[CandidateRow, ...]:
    """Return the round's table: candidates scored with their measured accuracy, the best first."""
    by_id = {record.arch_id: record for record in records}
    return ranked_rows(ranking, by_id, search.aim.comparison(search), search.settings.objective)


def update_controller(search: SearchState) -> Controller | None:
    """Return a controller trained on all results so far, relative to the next round's base, or None without one."""
    settings, trained = search.settings, search.examples
    # A single example tells nothing about other networks.
    if settings.search.selection == "random" or len(trained) < 2:
        return None
    base, weight = search.chosen[-1].performance, settings.objective.accuracy_weight
    examples = examples_for(settings.controller.target, trained, base, weight)
    return Controller.train(settings.controller, examples, settings.search.seed)


def promising(
    candidates: Sequence[RankedCandidate],
    records: Mapping[str, TrainingRecord],
    comparison: Comparison,
    objective: ObjectiveSettings,
    keep: float,
) -> list[RankedCandidate]:
    """Return the candidates of a rung that go on to the next one (`memnas_core.search.halving`).

    Args:
        candidates: The rung's candidates.
        records: Training records of the candidates so far, by id.
        comparison: Measure by which candidates are compared.
        objective: The convention of the activation peak.
        keep: Largest share of candidates that goes on.
    """
    running = [ranked for ranked in candidates if records[ranked.arch_id].validation_accuracy]
    figures = [performance_of(r.memory, records[r.arch_id].validation_accuracy or 0.0, objective) for r in running]
    values = [comparison.value(measured) for measured in figures]
    possible = [comparison.best_possible(measured) for measured in figures]
    return [running[index] for index in going_on(values, possible, keep)]


def ranked_rows(
    ranking: Ranking, records: Mapping[str, TrainingRecord], comparison: Comparison, objective: ObjectiveSettings
) -> tuple[CandidateRow, ...]:
    """Return a round's table: the trained candidates by measured score, then the others by predicted rank.

    Args:
        ranking: The round's candidates.
        records: Training records of the trained candidates, by id.
        comparison: Measure by which candidates are compared.
        objective: The convention of the activation peak.
    """
    scored: list[tuple[float, RankedCandidate, TrainingRecord]] = []
    for ranked in ranking.candidates:
        record = records.get(ranked.arch_id)
        if record is not None and record.validation_accuracy is not None:
            performance = performance_of(ranked.memory, record.validation_accuracy, objective)
            scored.append((comparison.value(performance), ranked, record))
    scored.sort(key=lambda entry: (-entry[0], entry[1].predicted_rank))
    rows = [
        _row(ranked, record, measured_score=value, measured_rank=rank)
        for rank, (value, ranked, record) in enumerate(scored, start=1)
    ]
    done = {row.arch_id for row in rows}
    rows += [
        _row(ranked, records.get(ranked.arch_id), None, None)
        for ranked in ranking.candidates
        if ranked.arch_id not in done
    ]
    return tuple(rows)


def _row(
    ranked: RankedCandidate, record: TrainingRecord | None, measured_score: float | None, measured_rank: int | None
) -> CandidateRow:
    candidate = ranked.candidate
    return CandidateRow(
        arch_id=candidate.arch_id,
        architecture=to_json(candidate.architecture),
        parent_id=candidate.parent_id or "",
        move=candidate.words,
        round=candidate.round,
        memory=ranked.memory,
        predicted_score=ranked.predicted_score,
        predicted_accuracy=ranked.predicted_accuracy,
        predicted_rank=ranked.predicted_rank,
        measured_accuracy=record.validation_accuracy if record else None,
        measured_score=measured_score,
        measured_rank=measured_rank,
        status=record.status if record else Status.GENERATED,
        training_seconds=record.seconds if record else None,
        images_seen=record.images_seen if record else 0,
        is_winner=measured_rank == 1,
        training_key=record.key if record and record.validation_accuracy is not None else None,
    )
