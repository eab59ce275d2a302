"""Tensors as `memnas_core.recorder` meets them: in nests, on the meta device, and beside it."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

META = torch.device("meta")


def tensors_in(value: object) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists, mappings and dataclasses."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors_in(getattr(value, field.name))


def storage_elements(tensor: Tensor) -> int:
    """Return the elements of the whole storage in which a tensor lies."""
    return tensor.untyped_storage().nbytes() // tensor.element_size()


class StandIns:
    """Tensors without data for those that a network makes beside the meta device.

    A network may keep tensors that are no buffers, or make some as it runs; torch refuses to compute with them and
    with tensors without data together. Tensors that share a storage get stand-ins that share one.
    """

    def __init__(self) -> None:
        self._storages: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    def replaced(
        self, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> tuple[tuple[object, ...], Mapping[str, object]]:
        """Return the arguments of an operation, stand-ins for those with data if others have none."""
        with_data = [tensor.device != META for tensor in tensors_in((args, kwargs))]
        if all(with_data) or not any(with_data):
            return args, kwargs
        replaced: tuple[tuple[object, ...], Mapping[str, object]] = tree_map_only(
            Tensor, self._stand_in, (args, kwargs)
        )
        return replaced

    def storage(self, tensor: Tensor) -> torch.UntypedStorage:
        """Return a tensor's storage, or its stand-in's if it has one."""
        storage = tensor.untyped_storage()
        return self._storages.get(id(storage), (storage, storage))[1]

    def _stand_in(self, tensor: Tensor) -> Tensor:
        if tensor.device == META:
            return tensor
        storage = tensor.untyped_storage()
        if id(storage) not in self._storages:
            new = torch.empty(storage.nbytes(), dtype=torch.uint8, device=META).untyped_storage()
            self._storages[id(storage)] = storage, new  # both are kept: an id is its own only while it lives
        _, stand_in = self._storages[id(storage)]
        empty = torch.empty(0, dtype=tensor.dtype, device=META)
        return empty.set_(stand_in, tensor.storage_offset(), tensor.shape, tensor.stride())
