"""One round of the search: the paper's Figure 1(a)."""

from prefect import flow, unmapped
from prefect.task_runners import ThreadPoolTaskRunner

from memnas_core.grow_trim import MoveCounts, seed_architecture
from memnas_core.jobs import TrainingRecord
from memnas_core.records import CandidateRow
from memnas_core.search import Ranking, seed_contender
from tasks.round_steps import generate, rank, record, register_winner, rerank, train, update_controller
from tasks.session import Search

# Threads only wait for worker processes. More threads than workers keep those busy while a finished candidate is
# being recorded.
WAITING_THREADS = 32


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
    rows = rerank(search, ranking, records, number)
    search.accept(rows)
    search.controller = update_controller(search)
    _close(search, number, ranking, rows, records)
    registering.result()


@flow(name="memnas-seed", flow_run_name="round-0", validate_parameters=False)
def seed_round(search: Search) -> None:
    """Train the network that the first round grows and trims."""
    settings = search.settings
    seed = seed_architecture(settings.network.strides, settings.network.filters)
    contender = seed_contender(seed, search.input_shape, search.classes, settings.objective)
    ranking = Ranking([contender], MoveCounts(0, 0, 0, 0, 0))
    records = _train_top(search, ranking, number=0)
    rows = rerank(search, ranking, records, number=0)
    search.accept(rows)
    _close(search, 0, ranking, rows, records)


def _train_top(search: Search, ranking: Ranking, number: int) -> list[TrainingRecord]:
    """Train the k best in parallel: a task each, which waits for a worker process."""
    top = ranking.top(search.settings.search.top_k)
    search.display.begin_round(number, len(ranking.contenders), len(top))
    return train.map(unmapped(search), list(top)).result()


def _close(
    search: Search,
    number: int,
    ranking: Ranking,
    rows: tuple[CandidateRow, ...],
    records: list[TrainingRecord],
) -> None:
    """Put the round on disk and show what it chose."""
    summary = record(search, number, ranking, rows, records)
    search.close_round(summary)
    search.display.end_round(summary)
