"""One round of the search: the paper's Figure 1(a)."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from prefect import flow, unmapped
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, Settings, temporary_settings
from prefect.task_runners import ThreadPoolTaskRunner

from memnas_core.contenders import Contender, Ranking
from memnas_core.grow_trim import MoveCounts
from memnas_core.rungs import climb
from memnas_core.training_records import TrainingRecord
from tasks.round_steps import (
    RoundRows,
    generate,
    log,
    rank,
    record,
    register_winner,
    rerank,
    select,
    train,
    update_controller,
)
from tasks.session import Search

# Threads only wait for workers, of which a cluster may have hundreds. More threads than workers keep those busy while a
# finished candidate is being recorded. None begins before it has something to wait for.
WAITING_THREADS = 1024


def without_heartbeats() -> AbstractContextManager[Settings]:
    """Let flows that begin inside end at once.

    A flow that ends waits up to a second for the thread that tells the server now and then that it lives. For its
    rounds the search tells it.
    """
    return temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})


@flow(
    name="memnas-round",
    flow_run_name="round-{number}",
    task_runner=ThreadPoolTaskRunner(max_workers=WAITING_THREADS),  # type: ignore[arg-type]  # Prefect's own types
    validate_parameters=False,
)
def search_round(search: Search, number: int) -> None:
    """Generate, rank, train the top k in parallel, re-rank, update the controller."""
    registering = register_winner.submit(search, number - 1)  # of the round before, while this one trains
    generation = generate(search, number)
    ranking = rank(search, generation, number)
    records = _train_top(search, ranking, number)
    reranked = rerank(search, ranking, records, number)
    search.accept(reranked.rows)
    search.controller = update_controller(search)
    _close(search, number, ranking, reranked, records)
    registering.result()


@flow(name="memnas-seed", flow_run_name="round-0", validate_parameters=False)
def seed_round(search: Search) -> None:
    """Train the networks that the first round grows and trims."""
    ranking = Ranking(search.seeds, MoveCounts(0, 0, 0, 0, 0))
    records = _train_top(search, ranking, number=0)
    reranked = rerank(search, ranking, records, number=0)
    search.accept(reranked.rows)
    search.controller = update_controller(search)
    _close(search, 0, ranking, reranked, records)


def _train_top(search: Search, ranking: Ranking, number: int) -> list[TrainingRecord]:
    """Train the k best, rung by rung, and return a record for each candidate that adds up its rungs.

    In a rung they train in parallel: a task each, which waits for a worker process.
    """
    top = list(ranking.top(search.settings.search.top_k) if number > 0 else ranking.contenders)
    search.display.begin_round(number, len(ranking.contenders), len(top))
    images, logged = search.rungs(number), list[PrefectFuture[None]]()

    def train_all(
        rung: int, running: Sequence[Contender], before: Sequence[TrainingRecord | None]
    ) -> list[TrainingRecord]:
        if rung > 0:
            search.display.begin_rung(rung, len(running))
        return train.map(unmapped(search), running, unmapped(images[rung]), before).result()

    def choose(running: Sequence[Contender], so_far: Sequence[TrainingRecord]) -> list[Contender]:
        return select(search, running, so_far, number)

    def log_all(ended: Sequence[Contender], records: Sequence[TrainingRecord]) -> None:
        logged.extend(log.map(unmapped(search), ended, records))

    records = climb(top, len(images), train_all, choose, log_all)
    for future in logged:
        future.result()
    return records


def _close(
    search: Search,
    number: int,
    ranking: Ranking,
    reranked: RoundRows,
    records: list[TrainingRecord],
) -> None:
    """Put the round on disk and show what it chose."""
    summary = record(search, number, ranking, reranked, records)
    search.close_round(summary)
    search.display.end_round(summary)
