"""The channels of products and batch norms, and where they lie in memory."""

from collections.abc import Callable, Sequence

from torch import Tensor

NORMS = frozenset(("native_batch_norm", "native_batch_norm_legit_no_training", "batch_norm_no_update"))
"""Operations of batch norm; at inference most only scale by constants."""

_MEAN, _TRAINING = 3, 5  # places of these arguments

_PRODUCTS = {"convolution": {0: 1}, "mm": {0: 1, 1: 0}, "addmm": {1: 1, 2: 0}}
"""Name of an operation -> place of the argument that is an activation -> dimension of the result's channels."""

Channels = tuple[int, int]
"""Number of channels, and their distance in memory."""


def is_constant_norm(name: str, args: Sequence[object]) -> bool:
    """Return whether an operation is a batch norm whose mean and variance do not come from the image.

    Those of an instance norm, or of a batch norm without running statistics, do.
    """
    return name in NORMS and args[_MEAN] is not None and not (name == "native_batch_norm" and args[_TRAINING])


def channels_of(
    name: str, args: Sequence[object], written: Tensor, is_constant: Callable[[Tensor], bool]
) -> Channels | None:
    """Return where the channels lie that a product with constants writes, or that a constant batch norm reads.

    Args:
        name: Name of the operation in torch.
        args: Arguments of the operation.
        written: Result of the operation.
        is_constant: Function that tells constants from activations.

    Returns:
        The channels; None for any other operation.
    """
    places = [place for place, value in enumerate(args) if isinstance(value, Tensor) and not is_constant(value)]
    if len(places) != 1:
        return None
    source = args[places[0]]
    if is_constant_norm(name, args) and isinstance(source, Tensor) and places == [0]:
        return _channels(source, 1)
    dimension = _PRODUCTS.get(name, {}).get(places[0])
    return None if dimension is None else _channels(written, dimension)


def _channels(tensor: Tensor, dimension: int) -> Channels:
    sides, steps = tensor.shape, tensor.stride()
    return sides[dimension], steps[dimension] if sides[dimension] > 1 else 0
