"""A small search whose accuracies are made up; its networks and bytes are real."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from memnas_core.data import DatasetInfo
from memnas_core.memory.figures import measure
from memnas_core.memory.lifetimes import lifetimes
from memnas_core.memory.running_order import best_order
from memnas_core.objective.score import Performance, pareto_front, score
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.rounds import RoundSummary
from memnas_core.records.trainings import EpochFigures, Status
from memnas_core.results.page import ChosenNetwork, ReportData
from memnas_core.settings.file import load_settings
from memnas_core.space.architecture import Architecture
from memnas_core.space.architecture_json import to_json
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape, Workload
from memnas_core.space.moves import Candidate, first_network, generate, seed_architecture

SETTINGS = load_settings(Path(__file__).parents[3] / "params.yaml")
SHAPE = Shape(1, 8, 8)
CLASSES = tuple(str(digit) for digit in range(10))


def made_up_search(seed: int, rounds: int, trained: int) -> ReportData:
    """Walk at random through the search space; no network is trained, so every accuracy is invented."""
    rng = random.Random(seed)
    base = seed_architecture(SETTINGS.network.strides, SETTINGS.network.filters)
    rows = [_row(first_network(base), 0.9, None, 1, is_winner=True)]
    summaries = [_summary(rows[0], rows[0], (0, 0, 0, 1), 1, 0)]
    winner = rows[0]
    networks = {base.arch_id: base}
    for number in range(1, rounds + 1):
        candidates, counts = generate(base, number, networks)
        picked = rng.sample(candidates, trained)
        networks |= {candidate.arch_id: candidate.architecture for candidate in picked}
        previous = winner
        fresh = []
        for rank, candidate in enumerate(picked, start=1):
            accuracy = min(0.99, max(0.2, rng.gauss((previous.measured_accuracy or 0) + 0.008, 0.012)))
            fresh.append(_row(candidate, accuracy, previous, rank))
        if trained > 2:
            fresh[-1] = replace(
                fresh[-1],
                measured_accuracy=None,
                measured_score=None,
                measured_rank=None,
                status=Status.DIVERGED,
            )
        order = sorted(fresh, key=lambda row: -9 if row.measured_score is None else row.measured_score, reverse=True)
        fresh = [
            replace(row, measured_rank=place if row.measured_score is not None else None, is_winner=place == 1)
            for place, row in enumerate(order, start=1)
        ]
        winner = fresh[0]
        base = networks[winner.arch_id]
        rows += fresh
        moves = (counts.grown, counts.trimmed, counts.cut, counts.unique)
        failed = sum(row.measured_accuracy is None for row in fresh)
        summaries.append(_summary(winner, previous, moves, trained - failed, failed))
    return _report_data(rows, summaries, winner, base)


def _row(
    candidate: Candidate, accuracy: float, base: CandidateRow | None, rank: int, is_winner: bool = False
) -> CandidateRow:
    memory = measure(candidate.architecture, Workload(SHAPE, len(CLASSES), 4, 4))
    own = Performance(accuracy, memory.minimum_bytes, memory.param_bytes)
    y = 0.0 if base is None else score(own, _performance(base), SETTINGS.objective.accuracy_weight)
    return CandidateRow(
        arch_id=candidate.arch_id,
        architecture=to_json(candidate.architecture),
        parent_id=candidate.parent_id or "",
        move=candidate.words,
        round=candidate.round,
        memory=memory,
        predicted_score=None if candidate.round < 2 else y + 0.01,
        predicted_accuracy=None,
        predicted_rank=rank,
        measured_accuracy=accuracy,
        measured_score=y,
        measured_rank=rank,
        status=Status.TRAINED,
        training_seconds=4.2,
        images_seen=20000,
        is_winner=is_winner,
    )


def _performance(row: CandidateRow) -> Performance:
    assert row.measured_accuracy is not None
    return Performance(row.measured_accuracy, row.memory.minimum_bytes, row.memory.param_bytes)


def _summary(
    winner: CandidateRow, base: CandidateRow, moves: tuple[int, int, int, int], trained: int, failed: int
) -> RoundSummary:
    grown, trimmed, cut, unique = moves
    assert winner.measured_accuracy is not None
    assert winner.measured_score is not None
    return RoundSummary(
        round=winner.round,
        base_id=base.arch_id,
        winner_id=winner.arch_id,
        winner_move=winner.move,
        accuracy=winner.measured_accuracy,
        param_bytes=winner.memory.param_bytes,
        activation_bytes=winner.memory.minimum_bytes,
        score=winner.measured_score,
        cells=1,
        grown=grown,
        trimmed=trimmed,
        cut=cut,
        candidates=unique,
        trained=trained,
        failed=failed,
        rank_tau=None if winner.round < 2 else 0.31,
        images_seen=20000 * trained,
        wall_seconds=20.0 + winner.round,
        training_wall_seconds=19.0,
        training_cpu_seconds=33.0,
    )


def _report_data(
    rows: list[CandidateRow], summaries: list[RoundSummary], winner: CandidateRow, network: Architecture
) -> ReportData:
    trained = [row for row in rows if row.measured_accuracy is not None]
    costs = [(-(row.measured_accuracy or 0), row.memory.param_bytes + row.memory.minimum_bytes) for row in trained]
    graph = lower(network, SHAPE, len(CLASSES))
    history = tuple(
        EpochFigures(epoch, 2.3 / epoch, 1 - 0.8 / epoch, 1 - 0.7 / epoch, 0.05, 0.2) for epoch in range(1, 21)
    )
    started = datetime(2026, 11, 5, 9, 30, tzinfo=UTC)
    return ReportData(
        name="digits-0",
        settings=SETTINGS,
        dataset=DatasetInfo(
            name="digits",
            classes=CLASSES,
            shape=tuple(SHAPE),
            channel_mean=(0.3,),
            channel_std=(0.2,),
            train_size=1150,
            validation_size=287,
            test_size=360,
            horizontal_flip=False,
            digest="0" * 64,
            source="scikit-learn",
            warnings=("11 of the 12 test images are <training> images as well",),
        ),
        rounds=summaries,
        candidates=rows,
        front=[trained[place] for place in pareto_front(costs)],
        chosen=ChosenNetwork(
            architecture=network,
            arch_id=winner.arch_id,
            round=winner.round,
            validation_accuracy=winner.measured_accuracy or 0,
            test_accuracy=0.9417,
            retrained_epochs=None,
            memory=measure(network, Workload(SHAPE, len(CLASSES), 4, 4)),
            history=history,
        ),
        lifetimes=lifetimes(graph.plain(), graph.sizes(4), "minimum"),
        least=best_order(graph)[1],
        versions=[("memnas", "0.1.0"), ("python", "3.11.7"), ("torch", "2.14.1")],
        machine="x86_64, 2 cores",
        started=started,
        finished=started + timedelta(seconds=141),
    )
