"""A table of candidates as `experiments.candidates` writes it, with made-up accuracies that can be learned."""

import random

import numpy as np

from experiments.candidates import TrainedCandidate
from memnas_core.memory.figures import measure
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture
from memnas_core.space.architecture_json import to_json
from memnas_core.space.layers import Shape, Workload
from memnas_core.space.lineages import draw_lineages

GOOD = (ops.CONV_3X3, ops.DILATED_3X3, ops.FACTORIZED_7X7)


def made_up_rows(noise: float = 0.002, children: int = 14) -> tuple[TrainedCandidate, ...]:
    """Return three lineages of two rounds: accuracy grows with the number of layers that mix channels."""
    rng = random.Random(0)
    rows = []
    for descendant in draw_lineages((1, 2, 1), 4, lineages=3, rounds=2, children=children, seed=0):
        candidate = descendant.candidate
        figures = measure(candidate.architecture, Workload(Shape(1, 8, 8), 10, 4, 4))
        true = 0.9 - 0.2 * np.exp(-good_layers(candidate.architecture) / 6)
        rows.append(
            TrainedCandidate(
                arch_id=candidate.arch_id,
                architecture=to_json(candidate.architecture),
                lineage=descendant.lineage,
                round=candidate.round,
                parent_id=candidate.parent_id or "",
                move=candidate.words,
                memory=figures.peaks,
                accuracies=tuple(float(true + rng.gauss(0, noise)) for _ in range(2)),
                seconds=(1.0, 1.0),
                images_seen=(1, 1),
                machine="none",
            )
        )
    return tuple(rows)


def good_layers(architecture: Architecture) -> int:
    """Return how many layers mix channels."""
    branches = (branch for block in architecture.blocks for cell in block.cells for branch in cell.branches)
    return sum(branch.operation in GOOD for branch in branches)
