"""What is in a search's folder."""

from pathlib import Path

from memnas_core.results.folder import SearchFolder


def tree(path: Path) -> set[str]:
    return {str(entry.relative_to(path)) for entry in path.rglob("*") if entry.is_file()}


def state(folder: SearchFolder) -> dict[str, bytes]:
    return {name: (folder.path / name).read_bytes() for name in tree(folder.path)}
