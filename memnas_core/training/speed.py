"""Time that training takes for an image, measured on this machine in about a second."""

import time

import torch
from torch.nn.functional import cross_entropy

from memnas_core.space.architecture import Architecture
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape
from memnas_core.training.network import build_network

_STEPS = 2
_SECONDS = 1.0


def seconds_an_image(architecture: Architecture, shape: Shape, classes: int, batch_size: int) -> float:
    """Return the time of a training step for one image, in seconds, with one thread on the CPU.

    Augmentation and evaluation are not included.

    Args:
        architecture: Architecture to train.
        shape: Shape of an image.
        classes: Number of classes.
        batch_size: Images per training step.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network = build_network(lower(architecture, shape, classes), seed=0).to(memory_format=torch.channels_last)
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(batch_size, *shape, generator=generator).contiguous(memory_format=torch.channels_last)
        labels = torch.zeros(batch_size, dtype=torch.int64)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9, fused=True)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            cross_entropy(network(images), labels).backward()
            optimizer.step()

        step()  # the first one allocates
        steps, begun = 0, time.perf_counter()
        while steps < _STEPS or time.perf_counter() - begun < _SECONDS:
            step()
            steps += 1
        return (time.perf_counter() - begun) / steps / batch_size
    finally:
        torch.set_num_threads(threads)
