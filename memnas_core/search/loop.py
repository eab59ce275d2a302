"""The search as a plain loop: the paper's Figure 1(a), round after round.

    search = SearchState(settings, dataset, info, trainings)
    reason = run_rounds(search, Steps())

runs a whole search in this process, without any service. To do a step in another way (as a Prefect task, in worker
processes, with timing), override it in `Steps`.
"""

import time
from collections.abc import Sequence

from memnas_core.controller.interface import Controller
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.rounds import RoundSummary
from memnas_core.records.trainings import TrainingRecord
from memnas_core.search import steps
from memnas_core.search.candidates import Generation, RankedCandidate, Ranking
from memnas_core.search.halving import climb
from memnas_core.search.state import SearchState
from memnas_core.search.summary import completion, summarise
from memnas_core.training import worker
from memnas_core.training.record import finished

Candidates = Sequence[RankedCandidate]
Records = Sequence[TrainingRecord]
Rows = Sequence[CandidateRow]


class Steps:
    """The steps of a round, done in this process. A step gets the results of the steps before it."""

    def generate(self, search: SearchState, number: int) -> Generation:
        """Make and measure the round's candidates."""
        return steps.generate(search, number)

    def rank(self, search: SearchState, generation: Generation, number: int) -> Ranking:
        """Order the candidates by expected value."""
        return steps.rank(search, generation, number)

    def begin_training(self, search: SearchState, ranking: Ranking, top: Candidates) -> None:
        """Receive the ranking and the candidates that are about to be trained."""

    def train(
        self, search: SearchState, rung: int, candidates: Candidates, before: Sequence[TrainingRecord | None]
    ) -> Records:
        """Train the candidates of a rung, unless a finished training of them is on disk.

        Args:
            search: The search.
            rung: Number of the rung, from 0.
            candidates: Candidates of the rung.
            before: Record of each candidate so far; None in the first rung.
        """
        images = search.rungs(len(search.rounds))[rung]
        jobs = [search.candidate_job(c.candidate, images, so_far) for c, so_far in zip(candidates, before, strict=True)]
        return [finished(job) or worker.run(job) for job in jobs]

    def select(self, search: SearchState, candidates: Candidates, records: Records) -> Candidates:
        """Choose the candidates that go on to the next rung."""
        return steps.select(search, candidates, records)

    def ended(self, search: SearchState, candidates: Candidates, records: Records) -> None:
        """Receive the candidates that train no further, with their records."""

    def rerank(self, search: SearchState, ranking: Ranking, records: Records) -> Rows:
        """Score the trained candidates with their measured accuracy."""
        return steps.rerank(search, ranking, records)

    def update_controller(self, search: SearchState) -> Controller | None:
        """Train the controller on all networks trained so far."""
        return steps.update_controller(search)

    def close(self, search: SearchState, ranking: Ranking, rows: Rows, records: Records) -> RoundSummary:
        """Return the summary of the round."""
        before = search.chosen[-2] if len(search.chosen) > 1 else None
        number, counts = len(search.rounds), ranking.counts
        return summarise(number, before, search.base, counts, rows, records, search.mark, time.time())


def run_rounds(search: SearchState, steps: Steps) -> str:
    """Play rounds until a criterion of the settings is met, and return it in words.

    Raises:
        TrainingError: No network of round 0 could be trained.
    """
    while True:
        if search.rounds and (reason := why_it_ends(search)) is not None:
            return reason
        play_round(search, steps)


def why_it_ends(search: SearchState) -> str | None:
    """Return why a search that has played round 0 ends now, or None if it goes on."""
    of_aim = search.aim.completion(search)
    return completion(search.settings.search, search.rounds, search.images_seen, of_aim)


def play_round(search: SearchState, steps: Steps) -> RoundSummary:
    """Generate, rank, train the best, re-rank and update the controller; return the summary of the round.

    Raises:
        TrainingError: No network of round 0 could be trained.

    Source: Figure 1(a); training goes rung by rung, and only the promising candidates go on.
    """
    number = len(search.rounds)
    ranking = steps.rank(search, steps.generate(search, number), number)
    top = ranking.top(search.settings.search.top_k) if number > 0 else ranking.candidates
    steps.begin_training(search, ranking, top)
    records = climb(
        top,
        len(search.rungs(number)),
        train=lambda rung, running, before: steps.train(search, rung, running, before),
        select=lambda running, so_far: steps.select(search, running, so_far),
        ended=lambda ended, so_far: steps.ended(search, ended, so_far),
    )
    rows = steps.rerank(search, ranking, records)
    search.accept(rows)
    search.controller = steps.update_controller(search)
    summary = steps.close(search, ranking, rows, records)
    search.close_round(summary)
    return summary
