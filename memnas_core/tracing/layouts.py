"""The order in memory that torch's CPU kernels give a result, where its meta device gives another one.

Images whose channels lie side by side ("channels last", also what a transformer's tokens become when they are put back
into an image) keep this order on a CPU. On the meta device some operations forget it.
"""

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch._prims_common import suggest_memory_format
from torch.utils._pytree import tree_map_only

_DECIDE = {
    "aten::channel_shuffle": 1,
    "aten::convolution": 2,
    "aten::max_unpool2d": 1,
    "aten::native_channel_shuffle": 1,
    "aten::native_group_norm": 1,
    "aten::pixel_shuffle": 1,
    "aten::reflection_pad2d": 1,
    "aten::replication_pad2d": 1,
    "aten::roll": 1,
}
"""Operation -> number of its first arguments of which one with channels last is enough for a result with them."""


def as_on_cpu(func: OpOverload, args: tuple[object, ...], result: object) -> object:
    """Return the result of an operation on the meta device, with its elements in the order that a CPU gives them.

    Args:
        func: The operation.
        args: Its arguments, on the meta device.
        result: What it returned.
    """
    deciding = args[: _DECIDE.get(func._schema.name, 0)]
    if not any(isinstance(tensor, Tensor) and _has_channels_last(tensor) for tensor in deciding):
        return result
    ordered: object = tree_map_only(Tensor, _with_channels_last, result)
    return ordered


def _has_channels_last(tensor: Tensor) -> bool:
    return suggest_memory_format(tensor) is torch.channels_last


def _with_channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
