"""Persistent state: tensors that a network holds from one run to the next, and changes as it runs.

A buffer, or a tensor that a module keeps as an attribute, is state if the network writes what it computes from an image
into it (a cache of keys and values) or puts this in its place (`self.hidden = ...`). State is in memory all the time.
What is computed from it is an activation. What takes its place is one too, which stays in memory to the end. A counter
of runs, or a flag, is no state in this sense but a constant.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

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
    """Return a network's buffers, and the tensors that its modules keep as attributes or in lists and dictionaries."""
    held = dict(module.named_buffers())
    for path, part in module.named_modules():
        for attribute, value in vars(part).items():
            if attribute in _TABLES:
                continue
            name = f"{path}.{attribute}" if path else attribute
            entries = {"": value}
            if isinstance(value, list | tuple):
                entries = {f".{place}": entry for place, entry in enumerate(value)}
            elif isinstance(value, dict):
                entries = {f".{key}": entry for key, entry in value.items()}
            held |= {name + key: entry for key, entry in entries.items() if _is_plain_tensor(entry)}
    return held


@contextmanager
def held_at_end(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Yield a dictionary that has the tensors which a network holds when it has run; then restore its attributes."""
    held: dict[str, Tensor] = {}
    if isinstance(module, torch.jit.ScriptModule):  # takes no hooks, and can't get new attributes
        yield held
        return
    before = [(part, vars(part).copy(), dict(part._buffers.items())) for part in module.modules()]
    handle = module.register_forward_hook(lambda _module, _args, _result: held.update(held_tensors(module)))
    try:
        yield held
    finally:
        handle.remove()
        for part, attributes, buffers in before:
            for name in vars(part).keys() - attributes.keys():
                delattr(part, name)
            vars(part).update(attributes)
            for name, buffer in buffers.items():
                if vars(part).get("_buffers", {}).get(name, buffer) is not buffer:  # a scripted part has no such table
                    part._buffers[name] = buffer


def _is_plain_tensor(value: object) -> bool:
    return isinstance(value, Tensor) and not isinstance(value, nn.Parameter)
