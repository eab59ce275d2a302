"""memnas itself: its settings, and `memnas search` as a process with a store of its own and what its records say.

The benchmark runs the rounds without services (`plain_rounds`), which are checked against the process.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.search_methods.tally import Tally
from memnas_core.errors import RecordError
from memnas_core.jobs import RECORD_FILE, read_record
from memnas_core.result_folder import SearchFolder

NAME = "search"

DEFAULT: tuple[str, ...] = ()

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

ENDLESS = ("search.rounds=1000", "search.patience=null", "final.epochs=null", "execution.workers=1")
"""The images end a search here, and nothing is trained after it."""


def run_search(params: Path, overrides: Sequence[str], seed: int, limit: int, store: Path) -> SearchFolder:
    """Run a search, or go on with it, and return its folder.

    Args:
        params: Settings file.
        overrides: `section.key=value` strings.
        seed: Of the search.
        limit: Training images after which no further round begins.
        store: Of this search alone.

    Raises:
        RecordError: The search failed; its own words are in the log beside the store.
    """
    told = (*overrides, *ENDLESS, f"search.seed={seed}", f"search.max_training_images={limit}", f"store={store}")
    command = [sys.executable, "-m", "flows.cli", "search", "--params", str(params), "--name", NAME, "--resume"]
    for override in told:
        command += ["--set", override]
    store.parent.mkdir(parents=True, exist_ok=True)
    log = store.with_suffix(".log")
    with log.open("a", encoding="utf-8") as file:
        ended = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    if ended.returncode:
        raise RecordError(f"{log}: expected a search that ends well, found exit status {ended.returncode}; read it")
    return SearchFolder(store / "searches" / NAME)


def add_rows(folder: SearchFolder, tally: Tally) -> None:
    """Add every training of a search, each rung for itself, in the order in which they ended.

    Raises:
        RecordError: A record is damaged, or there is a training of a network that no round knows.
    """
    memory = {row.arch_id: row.memory for _, rows in folder.rounds() for row in rows}
    records = [read_record(path.parent) for path in folder.trainings.glob(f"*/{RECORD_FILE}")]
    for record in sorted(records, key=lambda record: record.started + record.seconds):
        if record.arch_id not in memory:
            raise RecordError(f"{folder.path}: expected trainings of its rounds, found one of {record.arch_id}")
        figures = memory[record.arch_id]
        tally.add(record.arch_id, record.validation_accuracy, figures, record.images_seen, record.seconds)
