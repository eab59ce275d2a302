"""What an operation does to places in memory: whether it may overwrite what it reads, and whether it only joins."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from memnas_core.recorder_tensors import storage_elements


def keeps_places(reads: Sequence[Tensor], written: Tensor, is_pointwise: bool) -> bool:
    """Return whether an operation needs, for each element that it writes, only those at the same place.

    Tensors that are smaller than the result are stretched over it and can't be overwritten anyhow; they don't count.

    Args:
        reads: The activations that it reads.
        written: Its result.
        is_pointwise: Whether it works element by element. Another one keeps places if it writes into the one tensor
            of the result's size that it reads, as torch itself does it then.
    """
    size = storage_elements(written)
    rivals = [tensor for tensor in reads if storage_elements(tensor) == size]
    if not is_pointwise:
        return {_storage(tensor) for tensor in rivals} == {_storage(written)}
    return bool(rivals) and all(
        (tensor.shape, tensor.stride(), tensor.storage_offset())
        == (written.shape, written.stride(), written.storage_offset())
        for tensor in rivals
    )


def joins_whole_tensors(
    args: Sequence[object], kwargs: Mapping[str, object], activations: Sequence[Tensor], written: Tensor
) -> bool:
    """Return whether a concatenation writes whole, different activations one behind the other in memory.

    So it is at batch 1 where channels are joined and are the slowest dimension, but not if a constant is among the
    tensors, or a part of one.
    """
    tensors = args[0] if args else kwargs.get("tensors")
    dimension = args[1] if len(args) > 1 else kwargs.get("dim", 0)
    if not isinstance(tensors, list | tuple) or not isinstance(dimension, int):
        return False
    storages = {_storage(tensor) for tensor in activations}
    return (
        len(tensors) == len(activations) == len(storages)
        and all(side == 1 for side in written.shape[: dimension % written.dim()])
        and all(
            tensor.is_contiguous() and tensor.numel() == storage_elements(tensor) for tensor in (*activations, written)
        )
    )


def _storage(tensor: Tensor) -> int:
    return id(tensor.untyped_storage())  # its own, as the recorder keeps all storages alive
