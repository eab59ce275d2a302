"""A candidate's row and a round's summary, made up, for tests of what is written, read and shown of them."""

from memnas_core.memory.figures import MemoryFigures
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.rounds import RoundSummary
from memnas_core.records.trainings import Status

ROW = CandidateRow(
    arch_id="c0ffee",
    architecture='{"blocks": []}',
    parent_id="ba5e",
    move="trim_cell b1 c2",
    round=2,
    memory=MemoryFigures(4000, 100, 300, 200, 240),
    predicted_score=0.25,
    predicted_accuracy=0.875,
    predicted_rank=3,
    measured_accuracy=0.9,
    measured_score=-0.125,
    measured_rank=1,
    status=Status.TRAINED,
    training_seconds=12.5,
    images_seen=60_000,
    is_winner=True,
    training_key="0123456789abcdef0123",
)
SUMMARY = RoundSummary(
    round=2,
    base_id="ba5e" * 4,
    winner_id="c0ffee0123456789",
    winner_move="grow 0:conv_3x3 1:identity [sum]",
    accuracy=0.87654,
    param_bytes=45_600,
    activation_bytes=512,
    score=-0.03125,
    cells=3,
    grown=784,
    trimmed=5,
    cut=2,
    candidates=412,
    trained=7,
    failed=0,
    rank_tau=None,
    images_seen=700,
    wall_seconds=200.0,
    training_wall_seconds=195.0,
    training_cpu_seconds=380.0,
)
