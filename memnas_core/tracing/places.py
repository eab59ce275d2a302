"""What an operation does to places in memory: whether it may overwrite an input, and whether it only joins inputs."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from memnas_core.tracing.tensors import elements, storage_elements


def keeps_places(reads: Sequence[Tensor], written: Tensor, is_pointwise: bool) -> bool:
    """Return whether each element that an operation writes needs only the input elements at the same place.

    Inputs smaller than the result don't count: they are broadcast and can't be overwritten anyhow.

    Args:
        reads: Activations that the operation reads.
        written: Result of the operation.
        is_pointwise: Whether the operation works element by element. Any other operation keeps places if it writes
            into the only tensor of the result's size that it reads, because torch itself works in place then.
    """
    size = storage_elements(written)
    rivals = [tensor for tensor in reads if storage_elements(tensor) == size]
    if not is_pointwise:
        return {_storage(tensor) for tensor in rivals} == {_storage(written)}
    return bool(rivals) and all(_places(tensor) == _places(written) for tensor in rivals)


def joins_whole_tensors(
    args: Sequence[object], kwargs: Mapping[str, object], activations: Sequence[Tensor], written: Tensor
) -> bool:
    """Return whether a concatenation writes whole, different activations one behind the other in memory.

    This holds at batch 1 if channels are joined and are the slowest dimension, but not if one of the tensors is a
    constant or a part of a tensor.
    """
    tensors = args[0] if args else kwargs.get("tensors")
    dimension = args[1] if len(args) > 1 else kwargs.get("dim", 0)
    if not isinstance(tensors, list | tuple) or not isinstance(dimension, int):
        return False
    storages = {_storage(tensor) for tensor in activations}
    return (
        len(tensors) == len(activations) == len(storages)
        and all(side == 1 for side in written.shape[: dimension % written.dim()])
        and all(one.is_contiguous() and elements(one) == storage_elements(one) for one in (*activations, written))
    )


def _places(tensor: Tensor) -> tuple[list[tuple[int, int]], int]:
    """Return sides and steps in memory, where one can step at all, and the place of the first element."""
    sides = zip(tensor.shape, tensor.stride(), strict=True)
    return [(side, step) for side, step in sides if side > 1], int(tensor.storage_offset())


def is_depthwise(args: Sequence[object], written: Tensor) -> bool:
    """Return whether a convolution makes each channel from one channel of its input alone, in the same layout.

    In another layout, a channel that is copied over its input's channel would overwrite others.

    Args:
        args: Arguments of the convolution.
        written: Its result.
    """
    image, kernel, groups = args[0], args[1], args[8]
    assert isinstance(image, Tensor), "what is convolved"
    assert isinstance(kernel, Tensor), "its kernel"
    is_one_to_one = groups != 1 and groups == kernel.shape[0] == image.shape[1] and not args[6]  # args[6]: transposed
    is_whole = elements(image) == storage_elements(image)
    sides = [dim for dim, side in enumerate(written.shape) if side > 1]
    return is_one_to_one and is_whole and _slowest_first(image, sides) == _slowest_first(written, sides)


def _slowest_first(tensor: Tensor, dimensions: Sequence[int]) -> list[int]:
    steps = tensor.stride()
    return sorted(dimensions, key=lambda dimension: -steps[dimension])


def _storage(tensor: Tensor) -> int:
    return id(tensor.untyped_storage())  # unique, because the recorder keeps all storages alive
