"""A round of seven candidates, worked by hand: what steps of a search are compared with.

Base: accuracy 0.8, activations 1000, weights 2000; lambda = 0.5.

  place  accuracy  activations  weights   y = 0.5 da/a - 0.5 (dr/r + dp/p)
    1    diverged      1000       2000
    2    0.88 +10%     1100 +10%  2200 +10%   0.05  - 0.10  = -0.05
    3    0.84  +5%     1000       2000        0.025         =  0.025
    4    not trained    500       1000
    5    0.80           900 -10%  1600 -20%   0.15          =  0.15
    6    0.84  +5%     1000       2000        0.025, as place 3
    7    out of memory
"""

from memnas_core.memory.figures import MemoryFigures
from memnas_core.objective.score import Performance
from memnas_core.records.trainings import Status, TrainingRecord
from memnas_core.search.candidates import Base, RankedCandidate, Ranking
from memnas_core.search.score_aim import ScoreComparison
from memnas_core.search.steps import ranked_rows
from memnas_core.settings.schema import SearchSettings
from memnas_core.space import operations as ops
from memnas_core.space.moves import Candidate, generate, seed_architecture
from tests.core.objective.plain_objective import OBJECTIVE

SEARCH = SearchSettings(
    seed=0,
    moves="grow_and_trim",
    selection="controller",
    aim="score",
    seed_cells=((ops.CONV_3X3, ops.CONV_3X3),),
    seed_rungs=(1.0,),
    weights="fresh",
    warm_learning_rate=None,
    rungs=(1.0,),
    keep=1.0,
    top_k=8,
    rounds=4,
    max_cells=6,
    max_training_images=None,
    patience=None,
)
SEED = seed_architecture((1, 2), 4)
CANDIDATES, COUNTS = generate(SEED, 1)
BASE = Base(SEED, SEED.arch_id, Performance(accuracy=0.8, activation_bytes=1000, param_bytes=2000))


def ranked(place: int, activation_bytes: int, param_bytes: int, predicted: float | None = None) -> RankedCandidate:
    """Return the candidate at a place of the controller's ranking, with made-up bytes."""
    memory = MemoryFigures(param_bytes, activation_bytes + 7, activation_bytes + 5, activation_bytes)
    return RankedCandidate(CANDIDATES[place], memory, place, predicted, None)


def record(
    candidate: Candidate,
    accuracy: float | None,
    status: Status = Status.TRAINED,
    started: float = 0,
    seconds: float = 2,
) -> TrainingRecord:
    return TrainingRecord(candidate.arch_id, status, accuracy, 100, started, seconds, "cpu", "", key="key")


RANKED = [
    ranked(1, 1000, 2000, 0.9),
    ranked(2, 1100, 2200, 0.7),
    ranked(3, 1000, 2000, 0.6),
    ranked(4, 500, 1000, 0.5),
    ranked(5, 900, 1600, 0.4),
    ranked(6, 1000, 2000, 0.3),
    ranked(7, 1000, 2000, 0.2),
]
RECORDS = {
    r.arch_id: r
    for r in [
        record(CANDIDATES[1], None, Status.DIVERGED),
        record(CANDIDATES[2], 0.88),
        record(CANDIDATES[3], 0.84),
        record(CANDIDATES[5], 0.80),
        record(CANDIDATES[6], 0.84),
        record(CANDIDATES[7], None, Status.OUT_OF_MEMORY),
    ]
}
COMPARISON = ScoreComparison(BASE.performance, OBJECTIVE.accuracy_weight)
ROWS = ranked_rows(Ranking(RANKED, COUNTS), RECORDS, COMPARISON, OBJECTIVE)
