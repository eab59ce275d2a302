"""Inputs of a torch network: tensors by position, by name, and inside dictionaries and tuples."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from memnas_core.errors import InputError
from memnas_core.tracing.tensors import META

DTYPES = {
    "float": torch.float32,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
    "double": torch.float64,
    "int": torch.int64,
    "int32": torch.int32,
    "uint8": torch.uint8,
    "bool": torch.bool,
}
"""What a tensor may hold, by the name that the command line has for it."""


class NetworkInput(NamedTuple):
    """An input tensor of a network.

    Attributes:
        shape: Shape without the batch; empty for one number an image.
        kind: What the tensor holds, a key of `DTYPES`.
        name: Name of the argument of `forward`; empty for the next one by position. `batch.x` is entry `x` of a
            dictionary `batch`, and `state.0` the first entry of a tuple `state`.
    """

    shape: tuple[int, ...]
    kind: str = "float"
    name: str = ""

    def without_data(self, batch: int) -> Tensor:
        """Return this input as a tensor on the meta device."""
        return torch.empty((batch, *self.shape), dtype=DTYPES[self.kind], device=META)

    def __str__(self) -> str:
        """Return the input as it is written on the command line."""
        shape = ",".join(map(str, self.shape))
        kind = f":{self.kind}" if self.kind != "float" or not shape else ""
        return f"{f'{self.name}=' if self.name else ''}{shape}{kind}"


class CallArguments(NamedTuple):
    """Arguments of a network's `forward`."""

    positional: tuple[object, ...]
    named: Mapping[str, object]


def call_arguments(inputs: Sequence[NetworkInput], tensors: Sequence[Tensor]) -> CallArguments:
    """Return the arguments that some inputs make up.

    Args:
        inputs: Inputs in order.
        tensors: A tensor for each input.

    Raises:
        InputError: One name is given twice, or is a tensor and a dictionary at once.
    """
    positional = tuple(tensor for entry, tensor in zip(inputs, tensors, strict=True) if not entry.name)
    tree: dict[str, object] = {}
    for entry, tensor in zip(inputs, tensors, strict=True):
        if not entry.name:
            continue
        *parents, last = entry.name.split(".")
        inside: object = tree
        for parent in parents:
            inside = inside.setdefault(parent, {}) if isinstance(inside, dict) else None
        if not isinstance(inside, dict) or last in inside:
            raise InputError(f"--input {entry}: expected each name once, found {entry.name!r} as another input too")
        inside[last] = tensor
    return CallArguments(positional, {name: _with_tuples(value) for name, value in tree.items()})


def _with_tuples(value: object) -> object:
    """Return a tuple for a dictionary with the keys 0, 1, 2 and so on."""
    if not isinstance(value, dict):
        return value
    made = {key: _with_tuples(entry) for key, entry in value.items()}
    places = [str(place) for place in range(len(made))]
    return tuple(made[place] for place in places) if sorted(made) == sorted(places) else made
