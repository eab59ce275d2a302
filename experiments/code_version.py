"""Stage `code`: a digest of the code behind each costly result, so that DVC repeats it when that code changes.

DVC compares files byte by byte; a stage that depends on source files would train for hours again after a comment is
reworded. Costly stages therefore depend on `results/code/NAME.txt`, which digests the syntax of the modules that decide
their result, and the versions of the packages that compute it. `search` also names searches in the store with it.
"""

import ast
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from experiments.plan import RESULTS
from experiments.stage import run_stage
from memnas_core.storage import write_text

FOLDER = RESULTS / "code"

DECIDING_PACKAGES = ("lightgbm", "numpy", "scikit-learn", "torch")

_DATA = tuple(f"memnas_core.data.{name}" for name in ("prepare", "resizing", "splits"))
_TRAINING = (
    *(
        f"memnas_core.{name}"
        for name in ("architecture", "architecture_json", "graph", "grow_trim", "heritage", "inheritance", "measure")
    ),
    *(f"memnas_core.{name}" for name in ("dataflow", "memory", "network", "order_search", "running_order", "training")),
    "memnas_core.data.augmentation",
    *_DATA,
)
_JOBS = tuple(f"memnas_core.{name}" for name in ("jobs", "trainer", "training_records"))

DECIDING_MODULES: Mapping[str, tuple[str, ...]] = {
    "candidates": (*_TRAINING, *_JOBS, "memnas_core.lineages", "experiments.candidates"),
    "search": (
        *_TRAINING,
        *_JOBS,
        *(f"memnas_core.{name}" for name in ("controller", "controller_forest", "controller_paper")),
        *(f"memnas_core.{name}" for name in ("cell_vectors", "encoding", "examples", "facts", "metric", "search")),
        *(f"memnas_core.{name}" for name in ("front", "front_search", "halving", "rungs")),
        *(f"memnas_core.{name}" for name in ("choice", "contenders", "round_summary")),
        *(f"memnas_core.{name}" for name in ("arena", "arena_rules", "block_arena", "budget", "devices", "placement")),
        *(f"memnas_core.{name}" for name in ("runtime_arena", "sharing")),
        *(f"tasks.{name}" for name in ("conclude", "prepare", "round_steps", "session")),
        *("flows.round", "flows.search"),
    ),
    "controllers": (
        *(f"memnas_core.{name}" for name in ("cell_vectors", "controller", "controller_forest", "controller_paper")),
        *(f"memnas_core.{name}" for name in ("encoding", "examples", "facts", "graph", "measure", "metric", "ranking")),
        *(f"experiments.controllers.{name}" for name in ("baselines", "features", "learners", "protocol", "recurrent")),
        *(f"experiments.controllers.{name}" for name in ("judge", "study")),
    ),
    "networks": (
        *_TRAINING,
        *(f"experiments.{name}" for name in ("network_jobs", "networks", "small_networks", "train_networks")),
    ),
}
"""The code that decides each result. Data sets themselves are known by their digest."""


@cache
def code_version(result: str) -> str:
    """Return a digest of the code that decides a result; comments, docstrings and layout don't count.

    Args:
        result: A key of `DECIDING_MODULES`.
    """
    digest = hashlib.sha256()
    for package in DECIDING_PACKAGES:
        digest.update(metadata.version(package).encode())
    for module in DECIDING_MODULES[result]:
        spec = find_spec(module)
        assert spec is not None, f"{module} is part of this project"
        assert spec.origin is not None, f"{module} is a file"
        digest.update(meaning_of(Path(spec.origin).read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:12]


def meaning_of(source: str) -> str:
    """Return Python code without what no program sees: comments, layout, and strings that stand by themselves."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = _without_words(body)  # type: ignore[attr-defined]
    return ast.dump(tree)


def _without_words(body: Sequence[ast.AST]) -> list[ast.AST]:
    return [
        node
        for node in body
        if not (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
    ]


def main() -> None:
    """Write the digests."""
    for name in DECIDING_MODULES:
        write_text(FOLDER / f"{name}.txt", f"{code_version(name)}\n")


if __name__ == "__main__":
    run_stage(main)
