"""Stage `code`: a digest of the code behind each costly result, so that DVC repeats it when that code changes.

DVC compares files byte by byte; a stage that depends on source files would train for hours again after a comment is
reworded. Costly stages therefore depend on `results/code/NAME.txt`, which digests the code that decides their result
(`memnas_core.code_digest`), and the versions of the packages that compute it. `search` also names searches in the store
with it.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import metadata

from experiments.plan import RESULTS
from experiments.stage import run_stage
from memnas_core.code_digest import code_digest
from memnas_core.files.writing import write_text
from memnas_core.training.job import TRAINS

FOLDER = RESULTS / "code"

DECIDING_PACKAGES = ("lightgbm", "numpy", "scikit-learn", "torch")

_DATA = (
    "memnas_core.data.prepare:channel_statistics",
    "memnas_core.data.resizing:read_resized",
    "memnas_core.data.splits:plan_splits",
)
_CANDIDATES = "experiments.candidates"

ENTRIES: Mapping[str, tuple[str, ...]] = {
    "candidates": (
        *_DATA,
        *TRAINS,
        *(f"{_CANDIDATES}:{name}" for name in ("draw", "table_row", "training_jobs")),
    ),
    "search": (
        *_DATA,
        *TRAINS,
        "memnas_core.search.choice:best_row",
        "memnas_core.search.loop:Steps",
        "memnas_core.search.loop:run_rounds",
        "memnas_core.search.state:SearchState",
        "tasks.conclude:_final_training",
    ),
    "controllers": tuple(f"experiments.controllers.study:{name}" for name in ("_wanted", "fit", "judged", "_run")),
    "networks": (
        *_DATA,
        *TRAINS,
        *(f"experiments.network_jobs:{name}" for name in ("build", "run")),
        "experiments.train_networks:training_settings",
    ),
}
"""Where the code begins that decides each result. The images themselves are known by their digest."""


@cache
def code_version(result: str) -> str:
    """Return a digest of the code that decides a result.

    Args:
        result: A key of `ENTRIES`.
    """
    versions = [metadata.version(package) for package in DECIDING_PACKAGES]
    deciding = " ".join((*versions, code_digest(*ENTRIES[result])))
    return hashlib.sha256(deciding.encode()).hexdigest()[:12]


def main() -> None:
    """Write the digests."""
    for name in ENTRIES:
        write_text(FOLDER / f"{name}.txt", f"{code_version(name)}\n")


if __name__ == "__main__":
    run_stage(main)
