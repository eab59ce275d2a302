"""Files of the project that a wheel brings along: presets of settings, the table of trained candidates.

They lie where people look for them in the repository; a wheel has copies of them in `memnas_core/shipped` (setup.py).
"""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def shipped(name: str) -> Path:
    """Return where a file lies.

    Args:
        name: Its path in the repository, such as `params.yaml`.
    """
    copy = _PACKAGE / "shipped" / name
    return copy if copy.exists() else _PACKAGE.parent / name
