"""The terminal output of a running search.

It has a bar for the search, the round and each training, and a line for each candidate that finishes.
On a terminal the bars move; a file or a pipe gets only the lines.
"""

import logging
import threading
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from memnas_core.errors import OutputError
from memnas_core.files.printable import printable_lines
from memnas_core.pictures.values import shown_bytes, shown_seconds
from memnas_core.records.rounds import RoundSummary
from memnas_core.records.trainings import TrainingProgress

_log = logging.getLogger(__name__)
"""Prefect takes its lines into the log of the run (PREFECT_LOGGING_EXTRA_LOGGERS)."""
_log.setLevel(logging.INFO)
_log.propagate = False  # the terminal has them already


class _Terminal(Console):
    """A console that is not silently left when the reader of its pipe has ended."""

    def on_broken_pipe(self) -> None:
        raise OutputError(
            "nobody reads the output any more, so the search ends; nothing finished is lost: go on with --resume, and "
            "send the output to a file"
        )


class Display:
    """Bars and lines on one console. Safe to call from several threads."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or _Terminal(soft_wrap=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
        )
        self._lock = threading.Lock()
        self._search: TaskID | None = None
        self._round: TaskID | None = None
        self._trainings: dict[str, TaskID] = {}
        self._finished = 0
        self._of = 0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:  # elsewhere it would print an empty line
            self._progress.stop()

    def say(self, line: str) -> None:
        """Print a line above the bars, and log it."""
        _log.info("%s", line)
        self._console.print(printable_lines(line), markup=False, emoji=False)

    def begin_search(self, rounds: int, done: int) -> None:
        """Show the bar of the whole search."""
        self._search = self._progress.add_task("search", total=rounds, completed=done, note=f"of {rounds} rounds")

    def begin_round(self, number: int, candidates: int, chosen: int) -> None:
        """Show the bar of a round."""
        with self._lock:
            self._finished, self._of = 0, chosen
        self._round = self._progress.add_task(f"round {number}", total=chosen, note=f"best {chosen} of {candidates}")

    def begin_rung(self, rung: int, running: int) -> None:
        """Print how many candidates go on to a further rung, numbered from 0."""
        with self._lock:
            self._finished, self._of = 0, running
        if self._round is not None:
            self._progress.reset(self._round, total=running, note=f"{running} in rung {rung + 1}")
        self.say(f"  {running} go on to rung {rung + 1}")

    def training(self, arch_id: str, progress: TrainingProgress | None) -> None:
        """Show or update the bar of one training."""
        with self._lock:
            if arch_id not in self._trainings:
                self._trainings[arch_id] = self._progress.add_task(f"  {arch_id[:8]}", total=1.0, note="waiting")
            bar = self._trainings[arch_id]
        if progress is not None:
            share = progress.images_seen / progress.images_total
            note = f"epoch {progress.epoch}, loss {progress.train_loss:.3f}"
            self._progress.update(bar, completed=share, note=note)

    def training_done(self, arch_id: str, line: str) -> None:
        """Remove a training's bar and print its line."""
        with self._lock:
            bar = self._trainings.pop(arch_id, None)
            if bar is not None:
                self._progress.remove_task(bar)
            if self._round is not None:
                self._progress.advance(self._round)
            self._finished += 1
            place = f"{self._finished}/{self._of}"
            self.say(f"  {place:>7}  {arch_id[:8]}  {line}")  # under the lock, so that 8/8 cannot come before 7/8

    def end_round(self, summary: RoundSummary) -> None:
        """Remove a round's bar, advance the search's, and print the round's result."""
        if self._round is not None:
            self._progress.remove_task(self._round)
            self._round = None
        if self._search is not None and summary.round > 0:
            self._progress.advance(self._search)
        self.say(
            f"round {summary.round}: {summary.candidates} candidates, {summary.trained} trained"
            + (f", {summary.failed} failed" if summary.failed else "")
            + f"; winner {summary.winner_id[:8]} ({summary.winner_move}): accuracy {summary.accuracy:.4f}, "
            f"weights {shown_bytes(summary.param_bytes)}, activations {shown_bytes(summary.activation_bytes)}, "
            f"score {summary.score:+.4f}; {shown_seconds(summary.wall_seconds)}, "
            f"{summary.overhead_share:.1%} of it not training"
        )
