"""Tensors as `memnas_core.tracing.recorder` meets them: nested, without data, and with data.

A network runs on tensors without data, but it may ask for their device (`x.to(self.device)`, `torch.autocast`), and it
may read values of its own constants (`if not self.initialized`, `x[:, self.keep]`). So tensors without data say that
they lie on the network's device (`Shadow`), and operations on constants alone are carried out (`Operations`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Self

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._pytree import tree_map_only

from memnas_core.tracing.layouts import as_on_cpu

META = torch.device("meta")

MAX_MADE_BYTES = 2**26
"""Size of the largest tensor that a network makes as it runs (a mask, positions) and that gets values."""

Arguments = tuple[tuple[object, ...], Mapping[str, object]]
"""Positional and named arguments of an operation."""

_ATEN = torch.ops.aten
_MASKABLE = frozenset(
    (_ATEN.index.Tensor, _ATEN._unsafe_index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default)
)
"""Operations whose second argument is a list of indices, or masks."""


class Shadow(Tensor):
    """A tensor without data that says that it lies on a device; it shares the storage of one on the meta device.

    Attributes:
        unclaimed: The tensor on the meta device.
        claimed: The device that the network sees.
    """

    unclaimed: Tensor
    claimed: torch.device

    def __new__(cls, inner: Tensor, claimed: torch.device) -> Self:
        """Return the shadow of a tensor on the meta device."""
        made: Self = Tensor._make_subclass(cls, inner, False, dispatch_device=True, device_for_backend_keys=claimed)
        made.unclaimed = inner.detach()
        made.claimed = claimed
        return made

    def __init__(self, *_arguments: object) -> None:
        super().__init__()

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """The device that the network sees."""
        return self.claimed

    def __repr__(self) -> str:  # type: ignore[override]
        """Return the shape, as there are no values."""
        return f"tensor(..., size={tuple(self.shape)}, dtype={self.dtype})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: OpOverload,
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Answer torch's own question for the device; everything else is for the recorder."""
        first = args[0] if args else None
        if func is torch.ops.prim.device.default and isinstance(first, Shadow):
            return first.claimed
        return NotImplemented


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


def elements(tensor: Tensor) -> int:
    """Return the number of elements of a tensor; a complex number is two, its real and its imaginary part."""
    return tensor.numel() * (1 + tensor.is_complex())


def plain_parts(tensor: Tensor) -> Iterator[Tensor]:
    """Yield the tensors of which one consists: itself, or the numbers and scales of a quantized weight."""
    if not hasattr(tensor, "__tensor_flatten__"):
        yield tensor
        return
    names, _ = tensor.__tensor_flatten__()
    for name in names:
        yield from plain_parts(getattr(tensor, name))


def storage_of(tensor: Tensor) -> torch.UntypedStorage:
    """Return the storage in which a tensor lies; for a sparse one, the storage of its values."""
    if tensor.layout is torch.sparse_coo:
        tensor = tensor._values()
    elif tensor.layout is not torch.strided:
        tensor = tensor.values()
    return tensor.untyped_storage()


def storage_elements(tensor: Tensor) -> int:
    """Return the number of elements, as `elements` counts them, in the whole storage in which a tensor lies."""
    return tensor.untyped_storage().nbytes() // tensor.element_size() * (1 + tensor.is_complex())


def overwritten(func: OpOverload, args: Sequence[object], kwargs: Mapping[str, object]) -> list[object]:
    """Return the arguments that an operation writes into according to its schema."""
    return [
        args[position] if position < len(args) else kwargs.get(argument.name)
        for position, argument in enumerate(func._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]


def _as_index(tensor: object, mask: object) -> tuple[object, ...]:
    """Return the arguments of an indexing that does what `masked_select` does."""
    assert isinstance(tensor, Tensor), "what is selected"
    assert isinstance(mask, Tensor), "by which mask"
    shape = torch.broadcast_shapes(tensor.shape, mask.shape)
    whole = tensor.unclaimed.expand(shape) if isinstance(tensor, Shadow) else tensor.expand(shape)
    return whole, [mask.expand(shape)]


class Operations:
    """Carries out operations: with values where all values are known, and otherwise without data.

    A tensor with data is a constant. It keeps its values, and what is computed from such tensors alone has values too.
    In an operation with a tensor without data, a stand-in on the meta device replaces it; tensors that share a storage
    get stand-ins that share one, and a sparse tensor gets a dense one. A constant into which something without data is
    written has no values from then on.
    """

    def __init__(self, device: torch.device | None) -> None:
        """Begin.

        Args:
            device: Where tensors without data say that they lie; None: on the meta device, and nothing has values.
        """
        self._device = device
        self._stand_ins: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}  # by the storage's id
        self._origins: dict[int, torch.UntypedStorage] = {}  # id of a stand-in's storage -> storage that it replaces
        self._made: dict[int, torch.UntypedStorage] = {}  # storages with data that the run itself has made
        self._saved: dict[int, tuple[torch.UntypedStorage, Tensor, Tensor]] = {}  # those of the network that it changes
        self._stale: dict[int, torch.UntypedStorage] = {}  # storages with data that is out of date

    def carried_out(self, func: OpOverload, args: tuple[object, ...], kwargs: Mapping[str, object]) -> object:
        """Return the result of an operation."""
        if self._has_values(func, args, kwargs):
            for tensor in tensors_in(overwritten(func, args, kwargs)):
                self._save(tensor)
            result = func(*args, **kwargs)
            given = {id(storage_of(tensor)) for tensor in tensors_in((args, kwargs))}
            for tensor in tensors_in(result):
                storage = storage_of(tensor)
                if id(storage) not in given:  # otherwise a view
                    self._made[id(storage)] = storage
            return result
        originals: dict[int, Tensor] = {}
        if func is _ATEN.masked_select.default and len(args) == 2:
            func, args = _ATEN.index.Tensor, _as_index(*args)
        if func in _MASKABLE:
            args = self._with_indices(args)
        meta_args, meta_kwargs = self._without_data(args, kwargs, originals)
        result = self._on_meta(func, meta_args, meta_kwargs)
        for tensor in tensors_in(overwritten(func, args, kwargs)):
            if not isinstance(tensor, Shadow):
                storage = storage_of(tensor)
                self._stale[id(storage)] = storage
        if torch.Tag.inplace_view in func.tags:
            self._follow(func, args, kwargs)
        shown: object = tree_map_only(Tensor, lambda tensor: self._shown(tensor, originals), result)
        return shown

    def shadow(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the meta device as the network sees it."""
        return tensor if self._device is None or isinstance(tensor, Shadow) else Shadow(tensor, self._device)

    def storage(self, tensor: Tensor) -> torch.UntypedStorage:
        """Return the storage of a tensor; for a stand-in, that of the tensor that it replaces."""
        storage = storage_of(tensor)
        return self._origins.get(id(storage), storage)

    def restore(self) -> None:
        """Give the network's own tensors the values that they had before the run."""
        for _, tensor, saved in self._saved.values():
            tensor.copy_(saved)

    def _has_values(self, func: OpOverload, args: tuple[object, ...], kwargs: Mapping[str, object]) -> bool:
        if self._device is None or torch.Tag.nondeterministic_seeded in func.tags:
            return False
        tensors = list(tensors_in((args, kwargs)))
        if not tensors and "device" in kwargs:
            made = tensors_in(func(*args, **{**kwargs, "device": META}))
            return all(storage_of(tensor).nbytes() <= MAX_MADE_BYTES for tensor in made)
        return all(self._has_data(tensor) for tensor in tensors)

    def _has_data(self, tensor: Tensor) -> bool:
        if isinstance(tensor, Shadow) or tensor.device == META:
            return False
        return id(storage_of(tensor)) not in self._stale

    def _save(self, tensor: Tensor) -> None:
        """Remember what a storage holds before the run changes it, unless the run has made it."""
        storage = storage_of(tensor)
        if id(storage) not in self._made and id(storage) not in self._saved:
            whole = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
            self._saved[id(storage)] = storage, whole, whole.clone()

    def _without_data(
        self, args: tuple[object, ...], kwargs: Mapping[str, object], originals: dict[int, Tensor]
    ) -> Arguments:
        """Return arguments on the meta device; `originals` gets the tensors that they replace, by id."""

        def replaced(tensor: Tensor) -> Tensor:
            inner = tensor.unclaimed if isinstance(tensor, Shadow) else self._stand_in(tensor)
            originals[id(inner)] = tensor
            return inner

        if isinstance(kwargs.get("device"), torch.device):
            kwargs = {**kwargs, "device": META}
        done: Arguments = tree_map_only(Tensor, replaced, (args, kwargs))
        return done

    def _with_indices(self, args: tuple[object, ...]) -> tuple[object, ...]:
        """Replace masks with known values by the indices at which they are true; a mask alone tells no size."""
        indices: list[object] = []
        given = args[1]
        assert isinstance(given, list | tuple), "indices"
        for entry in given:
            is_mask = isinstance(entry, Tensor) and entry.dtype in (torch.bool, torch.uint8) and self._has_data(entry)
            indices += entry.nonzero(as_tuple=True) if is_mask else (entry,)
        return args[0], indices, *args[2:]

    def _on_meta(self, func: OpOverload, args: tuple[object, ...], kwargs: Mapping[str, object]) -> object:
        first = args[0] if args else None
        if func is _ATEN._to_copy.default and isinstance(first, Tensor) and "device" in kwargs:
            keeps_type = kwargs.get("dtype") in (None, first.dtype)
            if keeps_type and kwargs.get("memory_format") in (None, torch.preserve_format):
                return _ATEN.alias.default(first)  # the whole network runs on one device, where nothing is moved
        return as_on_cpu(func, args, func(*args, **kwargs))

    def _follow(self, func: OpOverload, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
        """Change the strides of shadows, after those of the tensors behind them."""
        with torch._C._DisableTorchDispatch(), torch._C._PreserveDispatchKeyGuard():
            torch._C._set_meta_in_tls_dispatch_include(True)
            func(*args, **kwargs)

    def _shown(self, tensor: Tensor, originals: Mapping[int, Tensor]) -> Tensor:
        original = originals.get(id(tensor))
        return self.shadow(tensor) if original is None else original

    def _stand_in(self, tensor: Tensor) -> Tensor:
        if tensor.device == META:
            return tensor
        storage, is_dense = storage_of(tensor), tensor.layout is torch.strided
        if id(storage) not in self._stand_ins:
            size = storage.nbytes() if is_dense else tensor.numel() * tensor.element_size()
            new = torch.empty(size, dtype=torch.uint8, device=META).untyped_storage()
            self._stand_ins[id(storage)] = storage, new  # both are kept alive, so that no id is used twice
            self._origins[id(new)] = storage
        _, stand_in = self._stand_ins[id(storage)]
        empty = torch.empty(0, dtype=tensor.dtype, device=META)
        layout = tensor if is_dense else torch.empty(tensor.shape, device=META)
        return empty.set_(stand_in, layout.storage_offset(), layout.shape, layout.stride())
