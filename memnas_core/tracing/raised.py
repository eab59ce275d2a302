"""Where in a user's own code an error was raised."""

from pathlib import Path

import torch

_SKIPPED = tuple(f"{folder}/" for folder in (Path(torch.__file__).parent, Path(__file__).parent))


def raised_at(error: BaseException) -> str:
    """Return `line 12 of net.py`: the innermost line outside torch and outside memnas; empty if there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"line {error.lineno} of {Path(error.filename).name}"
    step, line = error.__traceback__, ""
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if not file.startswith(("<", *_SKIPPED)) and not str(Path(file).resolve()).startswith(_SKIPPED):
            line = f"line {step.tb_lineno} of {Path(file).name}"
        step = step.tb_next
    return line


def one_line(error: BaseException) -> str:
    """Return an error's message on one line."""
    return " ".join(str(error).split())
