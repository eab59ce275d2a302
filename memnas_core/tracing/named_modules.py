"""Torch networks by the names that a user gives: of torchvision, of timm, or of a callable in a Python module.

Nothing is downloaded. Networks of torchvision and timm are built without weight data where they allow it. Naming a
callable runs the code of its module.
"""

import importlib
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import Tensor, nn

from memnas_core.errors import InputError
from memnas_core.tracing.raised import one_line, raised_at
from memnas_core.tracing.recorder import weightless

TORCHVISION = "torchvision:"
TIMM = "timm:"


def torchvision_module(name: str, arguments: Mapping[str, object]) -> nn.Module:
    """Return a network of torchvision, without its weights.

    Args:
        name: Name of the network, such as `mobilenet_v2`.
        arguments: Arguments of its builder, such as `num_classes`.

    Raises:
        InputError: torchvision has no network of that name, or it does not take these arguments.
    """
    from torchvision import models

    known = models.list_models()
    target = f"{TORCHVISION}{name}"
    if name not in known:
        raise InputError(f"{target}: expected a network of torchvision; {_hint(name, known, 'resnet18')}")
    without: dict[str, object] = {"weights": None}
    if "weights_backbone" in inspect.signature(models.get_model_builder(name)).parameters:
        without["weights_backbone"] = None  # otherwise they are downloaded
    with weightless(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # two networks announce a change of their initialisation
        try:
            module: nn.Module = models.get_model(name, **without, **arguments)
        except (TypeError, ValueError) as error:
            raise _failure(target, "call", error) from error
    return module


def timm_module(name: str, arguments: Mapping[str, object]) -> nn.Module:
    """Return a network of timm, without its weights.

    Args:
        name: Name of the network, such as `mobilenetv3_small_100`.
        arguments: Arguments of `timm.create_model`, such as `num_classes`, `img_size` and `in_chans`.

    Raises:
        InputError: timm is not installed, has no network of that name, or the network does not take these arguments.
    """
    target = f"{TIMM}{name}"
    try:
        import timm
    except ModuleNotFoundError:
        raise InputError(f"{target}: expected timm to be installed, found it is not; pip install timm") from None
    known = timm.list_models()
    if name not in known:
        raise InputError(f"{target}: expected a network of timm; {_hint(name, known, 'mobilenetv3_small_100')}")

    create: Callable[..., nn.Module] = timm.create_model

    def build() -> nn.Module:
        return create(name, **arguments)

    try:
        with weightless():
            return build()
    except (RuntimeError, NotImplementedError):
        return build()  # this network computes with its weights while it is built
    except (TypeError, ValueError, AssertionError) as error:
        raise _failure(target, "call", error) from error


def imported_module(target: str, arguments: Mapping[str, object]) -> nn.Module:
    """Return the network that `module:name` names: a torch module, or what a callable returns.

    The current folder is searched first, as `python -m` does. What the code prints goes to stderr. Code that reads
    the command line finds it empty.

    Args:
        target: Python module and name, with a colon between them.
        arguments: Arguments by which the callable is called.

    Raises:
        InputError: The Python module can't be imported, has no such name, or the name gives no network.
    """
    module_name, _, path = target.partition(":")
    with _importing_here(), redirect_stdout(sys.stderr):
        found = _import(target, module_name)
        for part in path.split("."):
            if not hasattr(found, part):
                names = [name for name in vars(found) if not name.startswith("_")] if hasattr(found, "__dict__") else []
                raise InputError(f"{target}: expected a network or callable; {_hint(part, names, '', 'in it')}")
            found = getattr(found, part)
        if callable(found) and not isinstance(found, nn.Module):
            found = _called(target, found, arguments)
        elif arguments:
            raise InputError(f"--model-args: expected none for {target}, which is made already, found {arguments}")
    if isinstance(found, torch.export.ExportedProgram):
        return found.module()
    if not isinstance(found, nn.Module):
        raise InputError(
            f"{target}: expected a torch module, or a callable that returns one, found {_described(found)}"
        )
    return found


def _described(found: object) -> str:
    """Return in words what a user has named instead of a network."""
    if isinstance(found, Mapping) and found and all(isinstance(value, Tensor) for value in found.values()):
        return "a state_dict, which has weights but no layers; name the module into which it is loaded"
    if isinstance(found, tuple) and any(isinstance(value, nn.Module) for value in found):
        return "a tuple with a module in it; write a function that returns the module alone, and name that"
    return type(found).__name__


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
    before, arguments = sys.path.copy(), sys.argv.copy()
    sys.path.insert(0, here)
    sys.argv[1:] = []  # an argument parser of the imported module must not read ours
    try:
        yield
    finally:
        sys.path[:], sys.argv[:] = before, arguments


def _import(target: str, module_name: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(
                f"{target}: expected a Python module {module_name!r} in this folder or installed, found none"
            ) from error
        raise _failure(target, "import", error) from error
    except (Exception, SystemExit) as error:  # whatever a user's code raises is reported
        raise _failure(target, "import", error) from error


def _called(target: str, build: Callable[..., object], arguments: Mapping[str, object]) -> object:
    try:
        missing = [
            name
            for name, parameter in inspect.signature(build).parameters.items()
            if name not in arguments
            and parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
    except (TypeError, ValueError):
        missing = []  # the callable has no readable signature
    if missing:
        raise InputError(
            f"{target}: expected a callable that needs no arguments, found one that needs {', '.join(missing)}; "
            f"give them with --model-args {missing[0]}=..., or write a function that calls it with them"
        )
    try:
        return build(**arguments)
    except (Exception, SystemExit) as error:
        raise _failure(target, "call", error) from error


def _failure(target: str, action: str, error: BaseException) -> InputError:
    """Return an error that says what a user's code raised, and in which line of which file."""
    line = raised_at(error)
    place = f" in {line}" if line else ""
    return InputError(
        f"{target}: expected its {action} to succeed, found {type(error).__name__}{place}: {one_line(error)}"
    )
