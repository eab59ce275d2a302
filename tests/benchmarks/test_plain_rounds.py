"""The rounds without services, against `memnas search`."""

import subprocess
import sys
from pathlib import Path

from benchmarks.search_methods.plain_rounds import search_plainly
from benchmarks.search_methods.tally import Tally
from benchmarks.search_methods.trainer import Task
from memnas_core.settings_file import load_settings
from memnas_core.training_records import RECORD_FILE, read_record

PARAMS = Path("benchmarks/search.digits.yaml")
LIMIT = 900
SMALL = (
    "data.max_training_images=200",
    "network.filters=4",
    "training.epochs=2",
    "training.batch_size=32",
    "search.top_k=4",
    "search.rounds=1000",
    f"search.max_training_images={LIMIT}",
    "objective.accuracy_floor=0.1",
    "final.epochs=null",
)


def test_trains_what_the_product_trains(tmp_path: Path) -> None:
    settings = load_settings(PARAMS, SMALL)
    task = Task.prepare(settings, tmp_path)
    tally = Tally("digits", "memnas", 0, task.box)
    search_plainly(task, tally, LIMIT, tmp_path / "plain")

    command = [sys.executable, "-m", "flows.cli", "search", "--params", str(PARAMS), "--name", "small"]
    for setting in (*SMALL, f"store={tmp_path / 'store'}"):
        command += ["--set", setting]
    subprocess.run(command, check=True, capture_output=True)
    trained = (tmp_path / "store" / "searches" / "small" / "trainings").glob(f"*/{RECORD_FILE}")
    records = [read_record(path.parent) for path in trained]

    assert len(records) > len(settings.search.seed_cells) + settings.search.top_k  # more than a round
    assert sorted((row.arch_id, row.accuracy) for row in tally.rows) == sorted(
        (record.arch_id, record.validation_accuracy) for record in records
    )
    assert tally.images == sum(record.images_seen for record in records)
