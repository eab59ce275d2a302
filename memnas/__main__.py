"""The command `memnas`: `flows.cli`, in a checkout and in a wheel.

A wheel has `flows` and `tasks` in `memnas/command`, since PyPI knows other packages of these names. The command looks
there first, and only the command: who imports memnas sees nothing of them. They are named by a string, as the library
itself stands below them and uses nothing of theirs.
"""

import os
import sys
from importlib import import_module
from pathlib import Path

COMMAND = Path(__file__).with_name("command")


def main() -> None:
    """Run the command."""
    if COMMAND.is_dir():
        sys.path.insert(0, str(COMMAND))
        others = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = f"{COMMAND}{os.pathsep}{others}" if others else str(COMMAND)  # for its children
    import_module("flows.cli").main()


if __name__ == "__main__":
    main()
