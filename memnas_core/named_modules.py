"""Torch networks by the names that a person gives: of torchvision, of timm, or of a callable in a Python module.

Nothing is downloaded. torchvision's and timm's networks are built without data in their weights where they allow it.
Naming a callable runs the code of the module that it is in.
"""

import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from difflib import get_close_matches
from pathlib import Path

from torch import nn

from memnas_core.errors import InputError
from memnas_core.recorder import weightless

TORCHVISION = "torchvision:"
TIMM = "timm:"


def torchvision_module(name: str, classes: int | None) -> nn.Module:
    """Return a classifier of torchvision.

    Args:
        name: Such as `mobilenet_v2`.
        classes: Outputs of the classifier; None for what it has.

    Raises:
        InputError: There is none of that name.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise InputError(f"{TORCHVISION}{name}: expected a classifier of torchvision; {_hint(name, known, 'resnet18')}")
    choice = {} if classes is None else {"num_classes": classes}
    with weightless(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # two networks announce another initialisation
        module: nn.Module = models.get_model(name, weights=None, **choice)
    return module


def timm_module(name: str, classes: int | None) -> nn.Module:
    """Return a network of timm, without its weights.

    Args:
        name: Such as `mobilenetv3_small_100`.
        classes: Outputs of the classifier; None for what it has.

    Raises:
        InputError: timm is not installed, or has none of that name.
    """
    try:
        import timm
    except ModuleNotFoundError:
        raise InputError(f"{TIMM}{name}: expected timm to be installed, found it is not; pip install timm") from None
    known = timm.list_models()
    if name not in known:
        raise InputError(f"{TIMM}{name}: expected a network of timm; {_hint(name, known, 'mobilenetv3_small_100')}")

    def build() -> nn.Module:
        if classes is None:
            return timm.create_model(name)
        return timm.create_model(name, num_classes=classes)

    try:
        with weightless():
            return build()
    except (RuntimeError, NotImplementedError):
        return build()  # it computes with its weights as it is built


def imported_module(target: str) -> nn.Module:
    """Return the network that `module:name` names: a module, or what a class or function returns without arguments.

    The current folder is searched first, as `python -m` does. What the code prints goes to stderr.

    Raises:
        InputError: The Python module can't be imported, has no such name, or that gives no network.
    """
    module_name, _, path = target.partition(":")
    with _importing_here(), redirect_stdout(sys.stderr):
        found = _import(target, module_name)
        for part in path.split("."):
            if not hasattr(found, part):
                names = [name for name in vars(found) if not name.startswith("_")] if hasattr(found, "__dict__") else []
                raise InputError(f"{target}: expected a network or callable; {_hint(part, names, '', 'in it')}")
            found = getattr(found, part)
        if isinstance(found, nn.Module):
            return found
        if not callable(found):
            raise InputError(f"{target}: expected a torch module or a callable, found {type(found).__name__}")
        made = _called(target, found)
    if not isinstance(made, nn.Module):
        raise InputError(f"{target}: expected a callable that returns a torch module, found {type(made).__name__}")
    return made


def _hint(name: str, known: Sequence[str], example: str, where: str = "it has") -> str:
    close = get_close_matches(name.lower(), known, n=4, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    if example:
        return f"{where} {len(known)}, such as {example}"
    return f"found no {name!r} {where}"


@contextmanager
def _importing_here() -> Iterator[None]:
    here = str(Path.cwd())
    before = sys.path.copy()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path[:] = before


def _import(target: str, module_name: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(
                f"{target}: expected a Python module {module_name!r} in this folder or installed, found none"
            ) from error
        raise _failure(target, "import", error) from error
    except (Exception, SystemExit) as error:  # whatever a person's code raises is told
        raise _failure(target, "import", error) from error


def _called(target: str, build: Callable[..., object]) -> object:
    try:
        missing = [
            name
            for name, parameter in inspect.signature(build).parameters.items()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
    except (TypeError, ValueError):
        missing = []  # it does not say what it takes
    if missing:
        raise InputError(
            f"{target}: expected a callable that needs no arguments, found one that needs {', '.join(missing)}; "
            "write a function that calls it with them, and name that"
        )
    try:
        return build()
    except (Exception, SystemExit) as error:
        raise _failure(target, "call", error) from error


def _failure(target: str, action: str, error: BaseException) -> InputError:
    """Say what a person's code raised, and in which line of which file."""
    step = error.__traceback__
    line = ""
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if not file.startswith("<") and os.path.realpath(file) != os.path.realpath(__file__):
            line = f" in line {step.tb_lineno} of {Path(file).name}"
        step = step.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        line = f" in line {error.lineno} of {Path(error.filename).name}"
    words = " ".join(str(error).split())
    return InputError(f"{target}: expected its {action} to succeed, found {type(error).__name__}{line}: {words}")
