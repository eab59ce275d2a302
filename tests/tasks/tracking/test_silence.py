"""MLflow's own log lines reach no user of the command line."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
from tasks.tracking.tracker import Tracker
tracker = Tracker.connect(None, Path(sys.argv[1]), "memnas")
with tracker.search("a search", {}, {}):
    pass
"""


def test_a_new_store_makes_its_tables_in_silence(tmp_path: Path) -> None:
    """In a process of its own, because pytest takes hold of loggers."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mlflow.db").is_file()
    assert (done.stdout, done.stderr) == ("", "")
