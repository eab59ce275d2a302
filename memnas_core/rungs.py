"""How a round's candidates go from rung to rung, whoever trains them (`memnas_core.halving`)."""

from collections.abc import Callable, Iterable, Sequence

from memnas_core.contenders import Contender
from memnas_core.training_records import TrainingRecord, joined


def climb(
    contenders: Sequence[Contender],
    rungs: int,
    train: Callable[[int, Sequence[Contender], Sequence[TrainingRecord | None]], Iterable[TrainingRecord]],
    select: Callable[[Sequence[Contender], Sequence[TrainingRecord]], Sequence[Contender]],
    ended: Callable[[Sequence[Contender], Sequence[TrainingRecord]], None],
) -> list[TrainingRecord]:
    """Train candidates rung by rung and return a record for each, in their order, that adds up its rungs.

    Args:
        contenders: Those of the first rung.
        rungs: Number of rungs.
        train: Trains the candidates of a rung, given its number from 0 and each one's record so far.
        select: Returns those that go on, given the records so far.
        ended: Is told who trains no further, with the records so far.
    """
    trained: dict[str, list[TrainingRecord]] = {contender.candidate.arch_id: [] for contender in contenders}

    def so_far(of: Sequence[Contender]) -> list[TrainingRecord]:
        return [joined(trained[contender.candidate.arch_id]) for contender in of]

    running = contenders
    for rung in range(rungs):
        before: Sequence[TrainingRecord | None] = [None] * len(running)
        if rung > 0:
            going_on = select(running, so_far(running))
            stopped = [contender for contender in running if contender not in going_on]
            ended(stopped, so_far(stopped))
            running, before = going_on, so_far(going_on)
        for record in train(rung, running, before):
            trained[record.arch_id].append(record)
    ended(running, so_far(running))
    return so_far(contenders)
