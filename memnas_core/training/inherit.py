"""A candidate's network with the weights of its base: the torch part of inheritance.

`memnas_core.training.inheritance` decides which layer of the base each layer continues, and
`memnas_core.training.channels` which of its channels. A grown or widened network computes the same function as its
base. A trimmed or narrowed one has lost layers or channels, so the statistics of its batch norms no longer fit its
activations: they are measured again on a few training images, without training.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from memnas_core.training.channels import GONE, Channels, inherited_channels
from memnas_core.training.inheritance import Inheritance
from memnas_core.training.network import Network

CALIBRATION_IMAGES = 256
"""Number of training images on which batch-norm statistics are measured."""


def inherit(network: Network, base: Mapping[str, Tensor], inheritance: Inheritance, images: Tensor) -> None:
    """Give a new network the weights of its base, in place.

    Args:
        network: Network of the candidate, with fresh weights, on the CPU.
        base: State of the base's network, tensors by name.
        inheritance: Initial weights of the candidate's layers.
        images: Normalised training images on which statistics are measured, shape (batch, channels, height, width).
    """
    state = network.state_dict()
    channels = inherited_channels(network.graph.layers, inheritance, _scales(base))
    with torch.no_grad():
        for name, taken in channels.items():
            if taken.layer is None:
                _pass_on(state[f"layers.{name}.0.weight"], taken)
            else:
                _continue(state, base, name, taken)
        _measure_statistics(network, channels, images, inheritance.keeps_function)


_SCALE = ".1.weight"


def _scales(base: Mapping[str, Tensor]) -> dict[str, NDArray[np.float64]]:
    """Return the absolute scale of each batch norm, by the name of its layer."""
    return {
        key.removeprefix("layers.").removesuffix(_SCALE): tensor.abs().double().numpy()
        for key, tensor in base.items()
        if key.endswith(_SCALE)
    }


def _continue(state: Mapping[str, Tensor], base: Mapping[str, Tensor], name: str, taken: Channels) -> None:
    """Copy the tensors of a layer's channels from the base."""
    ours, theirs = f"layers.{name}.", f"layers.{taken.layer}."
    rows = torch.from_numpy(taken.outputs)
    inherited = rows != GONE
    for key, tensor in state.items():
        if key.startswith(ours):
            old = base[theirs + key.removeprefix(ours)]
            if tensor.dim() == 0:  # the number of batches seen
                tensor.copy_(old)
            elif (fitting := _of_inputs(old, tensor, taken)) is not None:
                tensor[inherited] = fitting[rows[inherited]]


def _of_inputs(old: Tensor, new: Tensor, taken: Channels) -> Tensor | None:
    """Return the base's tensor with the input channels of the candidate's, zeros where they are GONE.

    Args:
        old: The base's tensor, shape (out, in, ...) for a weight, else (out,).
        new: The candidate's.
        taken: Channels of the layer.

    Returns:
        The tensor; None for a convolution in groups, other than depthwise, that has other channels than in the base.
    """
    if old.dim() == 1 or old.shape[1] == new.shape[1] == 1:  # one for each channel, or depthwise
        return old
    if new.shape[1] != len(taken.inputs):
        return old if old.shape == new.shape else None
    columns = torch.from_numpy(taken.inputs)
    found = old[:, columns.clamp(min=0)]
    found[:, columns == GONE] = 0
    return found


def _pass_on(weight: Tensor, taken: Channels) -> None:
    """Make a 1x1 convolution's weight, shape (out, in, 1, 1), pass channels on; fresh ones stay as they are."""
    outputs, inputs = torch.from_numpy(taken.outputs), torch.from_numpy(taken.inputs)
    inherited = outputs != GONE
    weight[inherited, :, 0, 0] = (outputs[inherited, None] == inputs).to(weight.dtype)


def _measure_statistics(
    network: Network, channels: Mapping[str, Channels], images: Tensor, keeps_function: bool
) -> None:
    """Measure the statistics of channels that inherit none, or of all if the function is not kept.

    A batch norm behind a new projection gets the scale and the shift that undo it, so that the projection changes
    nothing at first, in training and in evaluation.
    """
    norms = {name: layer[1] for name, layer in network.layers.items() if isinstance(layer, nn.Sequential)}
    network.eval()
    with _hooks() as handles:
        for name, norm in norms.items():
            assert isinstance(norm, nn.BatchNorm2d), "a convolution is followed by its batch norm"
            every = torch.ones(norm.num_features, dtype=torch.bool)
            inherited = torch.from_numpy(channels[name].outputs != GONE) if name in channels else ~every
            is_new = name in channels and channels[name].layer is None
            measured = ~inherited if keeps_function and not is_new else every
            if measured.any():
                undone = inherited if is_new else ~every
                handles.append(norm.register_forward_pre_hook(partial(_take_statistics, of=measured, undone=undone)))
        if handles:
            network(images)


@contextmanager
def _hooks() -> Iterator[list[torch.utils.hooks.RemovableHandle]]:
    handles: list[torch.utils.hooks.RemovableHandle] = []
    try:
        yield handles
    finally:
        for handle in handles:
            handle.remove()


def _take_statistics(norm: nn.Module, inputs: tuple[Tensor, ...], *, of: Tensor, undone: Tensor) -> None:
    """Set a batch norm's statistics to those of its input, shape (batch, channels, height, width).

    Args:
        norm: The batch norm.
        inputs: Its input.
        of: Whether each channel's statistics are set, shape (channels,).
        undone: Whether each channel's scale and shift are set so that they undo the norm, shape (channels,).
    """
    assert isinstance(norm, nn.BatchNorm2d), "only batch norms are hooked"
    assert norm.running_mean is not None, "statistics are tracked"
    assert norm.running_var is not None, "statistics are tracked"
    variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
    norm.running_mean[of] = mean[of]
    norm.running_var[of] = variance[of]
    norm.weight[undone] = torch.sqrt(variance + norm.eps)[undone]
    norm.bias[undone] = mean[undone]
