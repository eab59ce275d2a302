"""The `memnas` command run in this process."""

import sys
from collections.abc import Callable

import pytest

from flows.cli import ENVIRONMENT, main

Memnas = Callable[..., tuple[int, str, str]]
"""Takes arguments; returns exit code, output and errors."""


def in_this_process(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *first: str) -> Memnas:
    """Return a function that runs the command with these arguments and those that it is given."""
    for name, value in ENVIRONMENT.items():  # so that the command changes nothing for later tests
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["memnas", *first, *arguments])
        capfd.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        out, err = capfd.readouterr()
        assert isinstance(code, int)
        return code, out, err

    return run
