"""Persistent state: tensors that a network holds from one run to the next, and changes as it runs.

A buffer, or a tensor that a module keeps as an attribute, is state if the network writes what it computes from an image
into it (a cache of keys and values) or puts this in its place (`self.hidden = ...`). The tensor may also lie in a list,
a dictionary or an object that is an attribute.

State is in memory all the time. What is computed from it is an activation. What takes its place is one too, which stays
in memory to the end. A counter of runs, or a flag, is no state in this sense but a constant.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor, nn

from memnas_core.tracing.attributes import containers, entries, joined, restorer

_TABLES = frozenset(("_parameters", "_buffers", "_modules"))


class Outcome(NamedTuple):
    """What a run leaves.

    Attributes:
        returned: What the network returns: tensors, possibly nested.
        held: Name -> tensor that the network holds under this name when the run has ended.
    """

    returned: object
    held: dict[str, Tensor]


def held_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return a network's buffers, and the tensors in the attributes of its modules, by dotted names."""
    held = dict[str, Tensor]()
    for path, part in module.named_modules():
        buffers = part.named_buffers(recurse=False, remove_duplicate=False)
        held |= {joined(path, name): buffer for name, buffer in buffers}
    for path, container in containers(module, without=_TABLES):
        held |= {joined(path, key): entry for key, entry in entries(container) if _is_plain_tensor(entry)}
    return held


@contextmanager
def held_at_end(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Yield a dictionary that has the tensors which a network holds when it has run; then restore its attributes."""
    held: dict[str, Tensor] = {}
    if isinstance(module, torch.jit.ScriptModule):  # takes no hooks, and can't get new attributes
        yield held
        return
    restorers = [restorer(container) for _, container in containers(module)]
    handle = module.register_forward_hook(lambda _module, _args, _result: held.update(held_tensors(module)))
    try:
        yield held
    finally:
        handle.remove()
        for restore in restorers:
            restore()


def _is_plain_tensor(value: object) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and not isinstance(value, nn.Parameter)
