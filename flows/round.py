"""One round of the search, the paper's Figure 1(a), as a Prefect flow: the core's loop with a task for each step."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from prefect import flow, unmapped
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, Settings, temporary_settings
from prefect.task_runners import ThreadPoolTaskRunner

from memnas_core.controller.interface import Controller
from memnas_core.records.rounds import RoundSummary
from memnas_core.records.trainings import TrainingRecord
from memnas_core.search.candidates import Generation, RankedCandidate, Ranking
from memnas_core.search.loop import Candidates, Records, Rows, Steps, play_round
from memnas_core.search.state import SearchState
from tasks import round_steps
from tasks.round_steps import RoundRows
from tasks.session import Session

# Threads only wait for workers, of which a cluster may have hundreds. With more threads than workers, these stay busy
# while a finished candidate is being recorded. A thread starts only when it has something to wait for.
WAITING_THREADS = 1024


def without_heartbeats() -> AbstractContextManager[Settings]:
    """Return a context in which flows send no heartbeats, so that they end at once.

    A flow with heartbeats waits at its end for their thread, up to a second. The search's own heartbeats cover its
    rounds.
    """
    return temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})


class TaskSteps(Steps):
    """The steps of a round as Prefect tasks, one for each step or for each candidate."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._logged: list[PrefectFuture[None]] = []

    def generate(self, _search: SearchState, number: int) -> Generation:
        """Make and measure the round's candidates."""
        return round_steps.generate(self._session, number)

    def rank(self, _search: SearchState, generation: Generation, number: int) -> Ranking:
        """Order the candidates by expected value."""
        return round_steps.rank(self._session, generation, number)

    def begin_training(self, search: SearchState, ranking: Ranking, top: Candidates) -> None:
        """Show how many candidates are trained."""
        self._session.display.begin_round(len(search.rounds), len(ranking.candidates), len(top))

    def train(
        self, search: SearchState, rung: int, candidates: Candidates, before: Sequence[TrainingRecord | None]
    ) -> list[TrainingRecord]:
        """Train candidates in parallel, each in a task that waits for a worker process."""
        if rung > 0:
            self._session.display.begin_rung(rung, len(candidates))
        images = search.rungs(len(search.rounds))[rung]
        trained = round_steps.train.map(
            unmapped(self._session), candidates, unmapped(rung + 1), unmapped(images), before
        )
        return trained.result()

    def select(self, _search: SearchState, candidates: Candidates, records: Records) -> list[RankedCandidate]:
        """Choose the candidates that go on to the next rung."""
        return round_steps.select(self._session, candidates, records)

    def ended(self, _search: SearchState, candidates: Candidates, records: Records) -> None:
        """Log candidates that train no further to MLflow, while others train."""
        self._logged += round_steps.log.map(unmapped(self._session), candidates, records)

    def rerank(self, _search: SearchState, ranking: Ranking, records: Records) -> Rows:
        """Score the trained candidates with their measured accuracy."""
        for future in self._logged:
            future.result()
        return round_steps.rerank(self._session, ranking, records).rows

    def update_controller(self, _search: SearchState) -> Controller | None:
        """Train the controller on all networks trained so far."""
        return round_steps.update_controller(self._session)

    def close(self, search: SearchState, ranking: Ranking, rows: Rows, records: Records) -> RoundSummary:
        """Record the round in MLflow, on disk and under DVC, and show its result."""
        summary = super().close(search, ranking, rows, records)
        round_steps.record(self._session, summary, RoundRows(rows))
        self._session.display.end_round(summary)
        convention = self._session.settings.objective.activation_convention
        self._session.artifacts.show_round(summary, rows, convention)
        self._session.artifacts.show_progress(summary.round + 1)
        return summary


def search_round(session: Session, number: int) -> None:
    """Play a round as a flow run of its own, and meanwhile put the previous round's winner into the model registry.

    Args:
        session: The search; no parameter of the flow, as Prefect could show nothing of it.
        number: Number of the round; round 0 trains the networks that the first round grows and trims.
    """

    @flow(
        name="memnas-round",
        flow_run_name="round-{number}",
        task_runner=ThreadPoolTaskRunner(max_workers=WAITING_THREADS),  # type: ignore[arg-type]  # Prefect's own types
        validate_parameters=False,
    )
    def play(number: int) -> None:
        registering = [round_steps.register_winner.submit(session, number - 1)] if number > 0 else []
        play_round(session.state, TaskSteps(session))
        for future in registering:
            future.result()

    play(number)
