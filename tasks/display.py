"""What a person sees while a search runs: a bar for the search, the round and each training, and a line for
each candidate that finishes.

On a terminal the bars move; into a file or a pipe only the lines go.
"""

import threading
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from memnas_core.records import RoundSummary
from memnas_core.training import TrainingProgress


def human_bytes(count: float) -> str:
    """Return bytes in the unit that people read: 512 B, 12.3 kB, 4.56 MB (powers of 1000)."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:  # three digits would show more as 1e+03
            return f"{count:.3g} {unit}" if count < 100 or unit != "B" else f"{count:.0f} B"
        count /= 1000
    return f"{count:.3g} GB"


def human_seconds(seconds: float) -> str:
    """Return a duration in words: 4.2 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


class Display:
    """Bars and lines on one console. Safe to call from several threads."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(soft_wrap=True, highlight=False)
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
        self._progress.stop()

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self._console.print(line, markup=False)

    def begin_search(self, rounds: int, done: int) -> None:
        """Show the bar of the whole search."""
        self._search = self._progress.add_task("search", total=rounds, completed=done, note=f"of {rounds} rounds")

    def begin_round(self, number: int, candidates: int, chosen: int) -> None:
        """Show the bar of a round."""
        with self._lock:
            self._finished, self._of = 0, chosen
        self._round = self._progress.add_task(f"round {number}", total=chosen, note=f"best {chosen} of {candidates}")

    def training(self, arch_id: str, progress: TrainingProgress | None) -> None:
        """Show or move the bar of one training."""
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
            self._finished += 1
            place = f"{self._finished}/{self._of}"
        if bar is not None:
            self._progress.remove_task(bar)
        if self._round is not None:
            self._progress.advance(self._round)
        self.say(f"  {place:>7}  {arch_id[:8]}  {line}")

    def end_round(self, summary: RoundSummary) -> None:
        """Remove a round's bar, move the search's, and print what the round chose."""
        if self._round is not None:
            self._progress.remove_task(self._round)
            self._round = None
        if self._search is not None and summary.round > 0:
            self._progress.advance(self._search)
        self.say(
            f"round {summary.round}: {summary.candidates} candidates, {summary.trained} trained"
            + (f", {summary.failed} failed" if summary.failed else "")
            + f"; winner {summary.winner_id[:8]} ({summary.winner_move}): accuracy {summary.accuracy:.4f}, "
            f"weights {human_bytes(summary.param_bytes)}, activations {human_bytes(summary.activation_bytes)}, "
            f"score {summary.score:+.4f}; {human_seconds(summary.wall_seconds)}, "
            f"{summary.overhead_share:.1%} of it not training"
        )
