"""How long each part of a round takes, and the rows that record it."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Part(StrEnum):
    """A part of a round outside training, in the order of the round."""

    GENERATE = "generate"
    MEMORY = "memory"
    RANK = "rank"
    FILES = "files"
    RERANK = "re-rank"
    CONTROLLER = "controller"
    MLFLOW = "mlflow"
    TABLES = "tables"
    DVC = "dvc"
    WINNER = "winner"
    PREFECT = "prefect"


class Situation(StrEnum):
    """What is measured in a row."""

    ROUND = "round"  # a round of the search that the settings describe
    CANDIDATES = "candidates"  # a round with a given number of candidates, all else equal
    CELLS = "cells"  # a round with a given number of cells in a block, all else equal


@dataclass(frozen=True, slots=True)
class Row:
    """One part of one round, measured once.

    Attributes:
        situation: What was varied.
        part: Part of the round.
        candidates: Candidates of the round.
        cells: Most cells in a block of the bases.
        trained: Candidates that were trained.
        repeat: Number of the search or of the repetition, from 0.
        round: Number of the round.
        seconds: Wall time in seconds.
        cpu_seconds: CPU time of the main process in seconds.
    """

    situation: Situation
    part: Part
    candidates: int
    cells: int
    trained: int
    repeat: int
    round: int
    seconds: float
    cpu_seconds: float


class Spent(NamedTuple):
    """Wall time and CPU time in seconds."""

    wall: float
    cpu: float

    def plus(self, other: "Spent", share: float = 1.0) -> "Spent":
        """Return the sum of this and a share of another."""
        return Spent(self.wall + share * other.wall, self.cpu + share * other.cpu)


class Clock:
    """Time by part, for one thread; when one part calls another, the time counts only for the inner one."""

    def __init__(self) -> None:
        self.spent: dict[Part, Spent] = defaultdict(lambda: Spent(0.0, 0.0))
        self._inner = Spent(0.0, 0.0)

    def timed(self, part: Part, function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        """Return a function that does the same and whose time counts for a part."""

        @wraps(function)
        def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            outer, self._inner = self._inner, Spent(0.0, 0.0)
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                took = Spent(time.perf_counter() - wall, time.process_time() - cpu)
                self.spent[part] = self.spent[part].plus(took).plus(self._inner, -1.0)
                self._inner = outer.plus(took)

        return wrapper

    def add(self, other: "Clock", share: float = 1.0) -> None:
        """Add a share of another clock's time."""
        for part, spent in other.spent.items():
            self.spent[part] = self.spent[part].plus(spent, share)

    def rows(
        self, situation: Situation, candidates: int, cells: int, trained: int, repeat: int, number: int
    ) -> list[Row]:
        """Return a row for each part that took time."""
        return [
            Row(situation, part, candidates, cells, trained, repeat, number, spent.wall, spent.cpu)
            for part, spent in self.spent.items()
        ]
