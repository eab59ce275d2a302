"""A candidate's network with the weights of its base: the torch part of inheritance.

What a layer begins with is decided by `memnas_core.heritage`. A grown network computes what its base computes. A
trimmed one has lost something, and the statistics of its batch norms no longer fit what flows through it: they are
measured anew on a few training images, without training.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from memnas_core.heritage import FRESH, Continued, Heritage, PassedOn, Runs
from memnas_core.network import Network

CALIBRATION_IMAGES = 256
"""Training images on which statistics are measured."""


def inherit(network: Network, base: Mapping[str, Tensor], heritage: Heritage, filters: int, images: Tensor) -> None:
    """Give a new network the weights of its base, in place.

    Args:
        network: The candidate's, with fresh weights, on the CPU.
        base: State of the base's network, by name.
        heritage: Which layers continue which.
        filters: The paper's F, the channels of a run.
        images: Normalised training images on which statistics are measured, shape (batch, channels, height, width).
    """
    state = network.state_dict()
    with torch.no_grad():
        for name, source in heritage.continued.items():
            _continue(state, base, name, source, filters)
        for name, passed in heritage.passed_on.items():
            _pass_on(state[f"layers.{name}.0.weight"], passed, filters)
        _measure_statistics(network, heritage, images)


def _continue(
    state: Mapping[str, Tensor], base: Mapping[str, Tensor], name: str, source: Continued, filters: int
) -> None:
    """Copy a layer's tensors; of the one that reads a concatenation, run by run."""
    ours, theirs = f"layers.{name}.", f"layers.{source.layer}."
    for key, tensor in state.items():
        if key.startswith(ours):
            old = base[theirs + key.removeprefix(ours)]
            tensor.copy_(_by_runs(old, source.runs, filters))


def _by_runs(weight: Tensor, runs: Runs, filters: int) -> Tensor:
    """Return a weight, shape (out, in, ...), whose input channels are the old ones' in another order, or zero."""
    if weight.dim() < 2 or (runs == (0,) and weight.shape[1] <= filters):  # bias, statistic, or nothing to move
        return weight
    parts = [
        torch.zeros_like(weight[:, :filters]) if run is FRESH else weight[:, run * filters : (run + 1) * filters]
        for run in runs
    ]
    return torch.cat(parts, dim=1)


def _pass_on(weight: Tensor, passed: PassedOn, filters: int) -> None:
    """Let a 1x1 convolution, shape (F, runs x F, 1, 1), hand one run on."""
    weight.zero_()
    first = passed.run * filters
    weight[:, first : first + filters, 0, 0] = torch.eye(filters)


def _measure_statistics(network: Network, heritage: Heritage, images: Tensor) -> None:
    """Measure the statistics of batch norms that have none, or of all where the function is not kept.

    A batch norm behind a new projection gets the scale and the shift that undo it, so that the projection changes
    nothing at first, in training and in evaluation.
    """
    norms = {name: layer[1] for name, layer in network.layers.items() if isinstance(layer, nn.Sequential)}
    network.eval()
    with _hooks() as handles:
        for name, norm in norms.items():
            if name in heritage.passed_on or name not in heritage.continued or not heritage.keeps_function:
                undo = name in heritage.passed_on
                handles.append(norm.register_forward_pre_hook(partial(_take_statistics, undo=undo)))
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


def _take_statistics(norm: nn.Module, inputs: tuple[Tensor, ...], *, undo: bool) -> None:
    """Set a batch norm's statistics to those of its input, shape (batch, channels, height, width)."""
    assert isinstance(norm, nn.BatchNorm2d), "only batch norms are hooked"
    assert norm.running_mean is not None, "statistics are tracked"
    assert norm.running_var is not None, "statistics are tracked"
    variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    if undo:
        norm.weight.copy_(torch.sqrt(variance + norm.eps))
        norm.bias.copy_(mean)
