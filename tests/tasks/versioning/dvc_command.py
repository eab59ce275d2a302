"""DVC as its users run it."""

import os
import subprocess
import sys
from pathlib import Path


def run_dvc(*arguments: str, folder: Path) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    # Or it keeps an index of every temporary folder in /var/tmp.
    environment = os.environ | {"DVC_SITE_CACHE_DIR": str(folder.parent / "dvc-site")}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_out(round_folder: Path) -> None:
    """Bring a round back as its owner would."""
    store = round_folder.parents[3]
    run_dvc("checkout", str(round_folder.with_name(f"{round_folder.name}.dvc").relative_to(store)), folder=store)
