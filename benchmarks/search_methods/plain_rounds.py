"""memnas's rounds in one process, without Prefect, MLflow, DVC and workers: the same steps and the same trainings.

Starting `memnas search` takes longer than a short search on small images trains. A test holds that both train the same
networks to the same accuracies.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.search_methods.tally import Tally
from benchmarks.search_methods.trainer import Task
from memnas_core.contenders import Contender, Ranking
from memnas_core.grow_trim import MoveCounts
from memnas_core.result_folder import SearchFolder
from memnas_core.rungs import climb
from memnas_core.trainer import run
from memnas_core.training_records import TrainingRecord, finished
from tasks.round_steps import generate, rank, rerank, select, update_controller
from tasks.session import Search


class SilentDisplay:
    """Stands where the steps of a search say something."""

    def say(self, text: str) -> None:
        """Say nothing."""


def search_plainly(task: Task, tally: Tally, limit: int, folder: Path) -> None:
    """Search until so many training images are spent; the round in which they are goes on to its end.

    Args:
        task: Settings and data.
        tally: Receives a row for each rung of a candidate.
        limit: Training images.
        folder: Receives finished trainings, under the keys of what decides them.
    """
    search = Search(
        task.settings,
        SearchFolder(folder),
        task.folder,
        task.info,
        workers=None,  # type: ignore[arg-type]  # the steps used here need none of these
        tracker=None,  # type: ignore[arg-type]
        versions=None,  # type: ignore[arg-type]
        display=SilentDisplay(),  # type: ignore[arg-type]
    )
    number, ranking = 0, Ranking(search.seeds, MoveCounts(0, 0, 0, 0, 0))
    while True:
        records = _train_top(search, ranking, number, tally)
        search.accept(rerank.fn(search, ranking, records, number).rows)
        if tally.images >= limit or _is_full(search):
            return
        search.controller = update_controller.fn(search)
        number += 1
        generation = generate.fn(search, number)
        if not generation.candidates:
            return
        ranking = rank.fn(search, generation, number)


def _is_full(search: Search) -> bool:
    """Return whether the one base of a search by Eq. 4 has grown to its end (`memnas_core.search.completion`)."""
    settings, blocks = search.settings.search, search.base.architecture.blocks
    return settings.aim == "score" and max(len(block.cells) for block in blocks) >= settings.max_cells


def _train_top(search: Search, ranking: Ranking, number: int, tally: Tally) -> list[TrainingRecord]:
    top = ranking.top(search.settings.search.top_k) if number > 0 else ranking.contenders
    images = search.rungs(number)

    def train_all(
        rung: int, running: Sequence[Contender], before: Sequence[TrainingRecord | None]
    ) -> Iterator[TrainingRecord]:
        for contender, so_far in zip(running, before, strict=True):
            job = search.candidate_job(contender.candidate, images[rung], so_far)
            record = finished(job) or run(job)
            tally.add(record.arch_id, record.validation_accuracy, contender.memory, record.images_seen, record.seconds)
            yield record

    def choose(running: Sequence[Contender], so_far: Sequence[TrainingRecord]) -> Sequence[Contender]:
        return select.fn(search, running, so_far, number)

    return climb(top, len(images), train_all, choose, ended=lambda _contenders, _records: None)
