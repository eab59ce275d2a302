"""What counts as a change of code, and that no deciding module is forgotten."""

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from experiments.code_version import DECIDING_MODULES, meaning_of


def test_words_do_not_change_the_code() -> None:
    source = 'def f(x: int) -> int:\n    """Say."""\n    return x + 1  # why\n'
    same = 'def f(\n    x: int,\n) -> int:\n    # because\n    return x + 1\n\n"""More words."""\n'
    assert meaning_of(source) == meaning_of(same)
    assert meaning_of(source) != meaning_of(source.replace("1", "2"))
    assert meaning_of(source) != meaning_of(source.replace("x + 1", "'x'"))


# What these do decides no result: they record, show, check, or are known by a digest of their own.
WITHOUT_INFLUENCE = {
    *(f"memnas_core.{name}" for name in ("config", "environment", "errors", "records", "result_folder", "storage")),
    *(
        f"memnas_core.{name}"
        for name in ("limits", "memory_guard", "network_files", "result_report", "report", "yaml_reader")
    ),
    *(f"memnas_core.{name}" for name in ("checksums", "reading", "result_checks")),
    *(f"tasks.{name}" for name in ("display", "pushing", "recording", "tracking_store", "versioning")),
    *(f"tasks.tracking.{name}" for name in ("candidate_log", "errors", "models", "runs", "table", "tracker", "ui")),
    *(f"tasks.{name}" for name in ("places", "ray_cluster", "ray_workers", "watch", "worker_pool", "workers")),
    *("flows.interrupt", "flows.start"),
}


def imported(module: str) -> Iterator[str]:
    """Yield the project's modules that a module imports."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    for node in ast.walk(ast.parse(Path(spec.origin).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                if name.split(".")[0] in ("memnas_core", "tasks", "flows") and _is_module(name):
                    yield name


def _is_module(name: str) -> bool:
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        return False
    return spec is not None and spec.origin is not None and not spec.origin.endswith("__init__.py")


def test_all_code_that_decides_a_search_is_in_its_version() -> None:
    reached: set[str] = set()
    waiting = ["flows.search"]
    while waiting:
        module = waiting.pop()
        if module in reached or module in WITHOUT_INFLUENCE:
            continue
        reached.add(module)
        waiting += imported(module)
    unaccounted = {
        name
        for name in reached - set(DECIDING_MODULES["search"])
        # Pictures decide nothing; data sets are known by the digest of the prepared images.
        if not name.startswith(("memnas_core.pictures", "memnas_core.data"))
    }
    assert unaccounted == set()
    assert {name for names in DECIDING_MODULES.values() for name in names if not _is_module(name)} == set()
