"""Scratch memory of the int8 kernels that ExecuTorch runs on an Arm Cortex-M (CMSIS-NN).

A kernel asks for memory of its own while it runs. How much follows from the layer and from the instructions of the
core, not from the resolution.

Source: CMSIS-NN's functions `arm_convolve_wrapper_s8_get_buffer_size`, `arm_avgpool_s8_get_buffer_size` and
`arm_depthwise_conv_wrapper_s8_get_buffer_size` for each kind of kernels, as ExecuTorch 1.5.1 calls them.
"""

from collections.abc import Mapping
from enum import StrEnum

from memnas_core.memory.steps import aligned
from memnas_core.space.layers import Layer, LayerKind

VECTOR_CHANNELS = 124
"""Channels that a depthwise convolution with vector instructions takes at a time, however few there are."""


class Kernels(StrEnum):
    """What the kernels of a core are made of."""

    PLAIN = "plain C"
    DSP = "DSP instructions"
    VECTOR = "vector instructions"


KERNELS: Mapping[str, Kernels] = {
    f"cortex-m{name}": kernels
    for name, kernels in (
        *((name, Kernels.PLAIN) for name in ("0", "0+", "3")),
        *((name, Kernels.DSP) for name in ("4", "7")),
        *(("23", Kernels.PLAIN), ("33", Kernels.DSP), ("35p", Kernels.DSP)),
        *((name, Kernels.VECTOR) for name in ("55", "85")),
    )
}
"""Core -> its kernels, for all cores that ExecuTorch has int8 kernels for."""


def scratch_bytes(layer: Layer, kernels: Kernels) -> int:
    """Return the scratch memory that a layer's int8 kernel asks for, in bytes.

    Args:
        layer: The layer; convolutions are plain or depthwise.
        kernels: Kernels of the core.
    """
    height, width = layer.kernel
    taps = height * width
    if layer.kind in (LayerKind.AVERAGE_POOL, LayerKind.GLOBAL_AVERAGE_POOL):
        return 4 * layer.in_channels if kernels is Kernels.DSP else 0
    if layer.kind is not LayerKind.CONV or taps == 1:
        return 0
    # Buffers for two columns of int16, or for four of int8.
    columns = 4 * aligned(taps * layer.in_channels, 16 if kernels is Kernels.VECTOR else 4)
    if layer.groups != layer.in_channels:
        return columns
    # Depthwise; ExecuTorch takes every convolution of one channel for that.
    if layer.output.channels != layer.in_channels:
        return columns + taps * layer.output.channels if kernels is Kernels.VECTOR else 0
    if kernels is Kernels.PLAIN or layer.dilation > 1:
        return 0
    if kernels is Kernels.VECTOR:
        return 4 * VECTOR_CHANNELS * taps
    return 0 if layer.kernel == (3, 3) else 2 * taps * layer.in_channels
