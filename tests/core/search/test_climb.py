"""Candidates on rungs, with trainings that are made up."""

from collections.abc import Sequence

from memnas_core.memory.figures import MemoryFigures
from memnas_core.records.trainings import Status, TrainingRecord
from memnas_core.search.candidates import RankedCandidate
from memnas_core.search.halving import climb
from memnas_core.space import operations as ops
from memnas_core.space.moves import first_network, seed_architecture

THREE = (ops.CONV_3X3, ops.DEPTHWISE_3X3, ops.DEPTHWISE_5X5)
SEEDS = [seed_architecture((1,), 4, (operation, operation)) for operation in THREE]
A, B, C = (
    RankedCandidate(first_network(network), MemoryFigures(1, 1, 1, 1, 1), rank, None, None)
    for rank, network in enumerate(SEEDS, start=1)
)
NAMES = {ranked.candidate.arch_id: name for name, ranked in (("A", A), ("B", B), ("C", C))}

# Accuracy of each rung; B's second rung ends below its first.
ACCURACIES = {"A": (0.5, 0.7, 0.9), "B": (0.6, 0.4), "C": (0.2,)}


def test_climb() -> None:
    told: list[tuple[object, ...]] = []

    def named(candidates: Sequence[RankedCandidate]) -> str:
        return "".join(NAMES[ranked.candidate.arch_id] for ranked in candidates)

    def accuracies(records: Sequence[TrainingRecord | None]) -> list[float | None]:
        return [record and record.validation_accuracy for record in records]

    def train(
        rung: int, running: Sequence[RankedCandidate], before: Sequence[TrainingRecord | None]
    ) -> list[TrainingRecord]:
        told.append(("train", rung, named(running), accuracies(before)))
        found = [(c.candidate.arch_id, ACCURACIES[NAMES[c.candidate.arch_id]][rung]) for c in running]
        made = [
            TrainingRecord(arch_id, Status.TRAINED, accuracy, 10, 0.0, 1.0, "cpu", "", key=f"{rung}")
            for arch_id, accuracy in found
        ]
        return made[::-1]  # whichever ends first

    def select(running: Sequence[RankedCandidate], so_far: Sequence[TrainingRecord]) -> list[RankedCandidate]:
        told.append(("select", named(running), accuracies(so_far)))
        return [B, A] if len(running) == 3 else [A]

    def ended(candidates: Sequence[RankedCandidate], records: Sequence[TrainingRecord]) -> None:
        told.append(("ended", named(candidates), [record.images_seen for record in records]))

    records = climb([A, B, C], 3, train, select, ended)
    assert told == [
        ("train", 0, "ABC", [None, None, None]),
        ("select", "ABC", [0.5, 0.6, 0.2]),
        ("ended", "C", [10]),
        ("train", 1, "BA", [0.6, 0.5]),
        ("select", "BA", [0.6, 0.7]),
        ("ended", "B", [20]),
        ("train", 2, "A", [0.7]),
        ("ended", "A", [30]),
    ]
    assert [NAMES[record.arch_id] for record in records] == ["A", "B", "C"]
    # The best rung counts, costs add up.
    assert [(r.validation_accuracy, r.images_seen, r.key) for r in records] == [
        (0.9, 30, "2"),
        (0.6, 20, "0"),
        (0.2, 10, "0"),
    ]
