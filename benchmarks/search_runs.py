"""One run of a method on a data set with a seed: what it is told, where its rows lie, and how it runs.

`benchmarks.search` says what for.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from benchmarks.search_methods import evolution, moasha, nsga2, random_search
from benchmarks.search_methods.interface import Method, SpentError
from benchmarks.search_methods.plain_rounds import search_plainly
from benchmarks.search_methods.tally import Row, Tally
from benchmarks.search_methods.trainer import SEED_CELLS, Task, Trainer
from experiments.code_version import code_version
from memnas_core.config import Settings
from memnas_core.environment import machine, versions
from memnas_core.jobs import training_version
from memnas_core.settings_file import load_settings
from memnas_core.storage import write_text
from memnas_core.tables import read_parquet, write_parquet

DATASETS = {
    "digits": Path("benchmarks/search.digits.yaml"),
    "fashion-mnist": Path("benchmarks/search.fashion.yaml"),
}

TRAININGS = 25
"""A run may spend the images of so many full trainings."""

SEEDS = (0, 1, 2, 3, 4)

PEERS: Mapping[str, Method] = {
    "random": random_search.search,
    "evolution": evolution.search,
    "nsga2": nsga2.search,
    "moasha": moasha.search,
}
PAPER = (
    "search.aim=score",
    "search.seed_cells=[[conv_3x3, conv_3x3]]",
    "search.seed_rungs=[1.0]",
    "search.weights=fresh",
    "search.warm_learning_rate=null",
    "search.rungs=[1.0]",
    "search.keep=1.0",
    "controller.version=paper",
    "controller.target=metric",
    "objective.accuracy_floor=null",
)
"""The paper's version: one base, every candidate fully trained from nothing, its SCC on Eq. 4."""

PRODUCTS: Mapping[str, tuple[str, ...]] = {"memnas": (), "memnas-paper": PAPER}
"""What each version of memnas overrides the settings with."""

METHODS = (*PRODUCTS, *PEERS)


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Attributes:
        dataset: Its name.
        method: Its name.
        seed: Of the method, the trainings and the validation split.
        store: Folder that everything of all runs lies in.
    """

    dataset: str
    method: str
    seed: int
    store: Path

    @property
    def settings(self) -> Settings:
        """What the run is told, as far as it is not the method's own."""
        return load_settings(DATASETS[self.dataset], [f"search.seed={self.seed}"])

    @property
    def key(self) -> str:
        """Digest of what decides its result: of memnas's own settings and code a peer's depends on none.

        Nor does it on the trainer's code, whose digest is noted: remove the runs where it began to train otherwise.
        """
        settings = self.settings.as_dict()
        search = self.settings.search
        if self.method in PEERS:
            settings = {name: settings[name] for name in ("data", "network", "objective", "training")}
            settings |= {"seeds": SEED_CELLS, "max_cells": search.max_cells}
        deciding: list[object] = [settings, PRODUCTS.get(self.method), TRAININGS]
        if self.method in PRODUCTS:
            deciding.append(code_version("search"))
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def path(self) -> Path:
        """Where its rows lie once it has ended; what it ran with lies beside."""
        return self.store / "runs" / self.dataset / f"{self.method}-{self.seed}-{self.key}.parquet"

    @property
    def is_finished(self) -> bool:
        """Whether its rows are there."""
        return self.path.is_file()

    def rows(self) -> tuple[Row, ...]:
        """Return the rows up to the last image that all methods may spend.

        Raises:
            RecordError: They are missing or damaged.
        """
        remedy = "run python -m benchmarks.search again"
        rows = read_parquet(self.path, Row, "the rows of a run", remedy)
        limit = self.circumstances()["limit"]
        assert isinstance(limit, int), "a run notes its limit"
        return tuple(row for row in rows if row.images <= limit)

    def circumstances(self) -> dict[str, object]:
        """Return what the run ran with."""
        return dict(json.loads(self.path.with_suffix(".json").read_text(encoding="utf-8")))


def perform(run: Run) -> None:
    """Perform a run and write its rows; one that was killed goes on with the trainings that it finished."""
    started = datetime.now(UTC)
    task = Task.prepare(run.settings, run.store)
    limit = TRAININGS * task.full_images
    tally = Tally(run.dataset, run.method, run.seed, task.box)
    if run.method in PEERS:
        trainer = Trainer(task, tally, limit, run.store / "trainings")
        with suppress(SpentError):
            PEERS[run.method](task.space, trainer, run.seed)
    else:
        settings = load_settings(DATASETS[run.dataset], [*PRODUCTS[run.method], f"search.seed={run.seed}"])
        search_plainly(replace(task, settings=settings), tally, limit, run.store / "products")
    circumstances = {
        "limit": limit,
        "full_images": task.full_images,
        "accuracy_floor": task.box.accuracy_floor,
        "smallest_bytes": task.box.smallest_bytes,
        "largest_bytes": task.box.largest_bytes,
        "train_images": task.info.train_size,
        "validation_images": task.info.validation_size,
        "overrides": PRODUCTS.get(run.method, ()),
        "started": f"{started:%Y-%m-%d %H:%M}",
        "seconds": round((datetime.now(UTC) - started).total_seconds()),
        "machine": machine(),
        "load": os.getloadavg()[0],
        "versions": {**dict(versions()), **{name: metadata.version(name) for name in ("optuna", "syne-tune")}},
        "training_version": training_version(),
        "settings": run.settings.as_dict(),
    }
    run.path.parent.mkdir(parents=True, exist_ok=True)
    write_text(run.path.with_suffix(".json"), json.dumps(circumstances, indent=1) + "\n")
    write_parquet(run.path, Row, tally.rows)  # last: it is what makes the run finished
