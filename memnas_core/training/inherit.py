"""A candidate's network with the weights of its base: the torch part of inheritance.

`memnas_core.training.inheritance` decides the initial weights of each layer. A grown network computes the same function
as its base. A trimmed one has lost layers, so the statistics of its batch norms no longer fit its activations: they are
measured again on a few training images, without training.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from memnas_core.training.inheritance import FRESH, Continued, Inheritance, PassedOn, Runs
from memnas_core.training.network import Network

CALIBRATION_IMAGES = 256
"""Number of training images on which batch-norm statistics are measured."""


def inherit(
    network: Network, base: Mapping[str, Tensor], inheritance: Inheritance, filters: int, images: Tensor
) -> None:
    """Give a new network the weights of its base, in place.

    Args:
        network: Network of the candidate, with fresh weights, on the CPU.
        base: State of the base's network, tensors by name.
        inheritance: Initial weights of the candidate's layers.
        filters: The paper's F, the channels of a run.
        images: Normalised training images on which statistics are measured, shape (batch, channels, height, width).
    """
    state = network.state_dict()
    with torch.no_grad():
        for name, source in inheritance.continued.items():
            _continue(state, base, name, source, filters)
        for name, passed in inheritance.passed_on.items():
            _pass_on(state[f"layers.{name}.0.weight"], passed, filters)
        _measure_statistics(network, inheritance, images)


def _continue(
    state: Mapping[str, Tensor], base: Mapping[str, Tensor], name: str, source: Continued, filters: int
) -> None:
    """Copy a layer's tensors from the base, run by run if the layer reads a concatenation."""
    ours, theirs = f"layers.{name}.", f"layers.{source.layer}."
    for key, tensor in state.items():
        if key.startswith(ours):
            old = base[theirs + key.removeprefix(ours)]
            tensor.copy_(_by_runs(old, source.runs, filters))


def _by_runs(weight: Tensor, runs: Runs, filters: int) -> Tensor:
    """Return a weight, shape (out, in, ...), with its input runs in the given order and zeros for fresh ones."""
    if weight.dim() < 2 or (runs == (0,) and weight.shape[1] <= filters):  # bias, statistic, or nothing to move
        return weight
    parts = [
        torch.zeros_like(weight[:, :filters]) if run is FRESH else weight[:, run * filters : (run + 1) * filters]
        for run in runs
    ]
    return torch.cat(parts, dim=1)


def _pass_on(weight: Tensor, passed: PassedOn, filters: int) -> None:
    """Make a 1x1 convolution's weight, shape (F, runs x F, 1, 1), pass one run on unchanged."""
    weight.zero_()
    first = passed.run * filters
    weight[:, first : first + filters, 0, 0] = torch.eye(filters)


def _measure_statistics(network: Network, inheritance: Inheritance, images: Tensor) -> None:
    """Measure the statistics of batch norms that inherit none, or of all if the function is not kept.

    A batch norm behind a new projection gets the scale and the shift that undo it, so that the projection changes
    nothing at first, in training and in evaluation.
    """
    norms = {name: layer[1] for name, layer in network.layers.items() if isinstance(layer, nn.Sequential)}
    network.eval()
    with _hooks() as handles:
        for name, norm in norms.items():
            if name in inheritance.passed_on or name not in inheritance.continued or not inheritance.keeps_function:
                undo = name in inheritance.passed_on
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
