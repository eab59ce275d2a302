"""Networks made of a function or of torchvision, for tests of tracing, and the figures that the tests compare."""

import random
import warnings
from collections.abc import Callable

from torch import Tensor, nn
from torchvision import models

from memnas_core.memory.lifetimes import peaks
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.graph import Graph
from memnas_core.space.layers import LayerKind
from memnas_core.space.operations import OPERATIONS
from memnas_core.tracing.recorder import weightless
from memnas_core.tracing.trace import TracedGraph

IMAGE_SHAPE = (3, 8, 8)  # 192 elements; a tensor of c channels has 64 c


class Net(nn.Module):
    """A network from a forward function and the modules, parameters, buffers and plain attributes that it uses."""

    def __init__(self, forward: Callable[..., object], **parts: object) -> None:
        super().__init__()
        self._forward = forward
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, *inputs: object, **named: object) -> object:
        return self._forward(self, *inputs, **named)


def conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)


def figures(graph: TracedGraph | Graph) -> tuple[int, int, int]:
    """Return the peaks (paper, sequential, minimum) in elements."""
    return tuple(peaks(graph.plain(), graph.sizes(1)))


def torchvision_model(name: str) -> nn.Module:
    with weightless(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return models.get_model(name, weights=None)


def random_architecture(rng: random.Random) -> Architecture:
    """Return two blocks of one to three cells that read anything before them."""
    blocks = []
    for stride in (rng.choice((1, 2)), 2):
        count = rng.randint(1, 3)
        cells = []
        for number in range(count):
            branches = [Branch(rng.randint(0, number), rng.choice(tuple(OPERATIONS))) for _ in range(2)]
            cells.append(Cell(branches[0], rng.choice((branches[1], None)), rng.choice(list(Combiner)), True))
        blocks.append(Block(tuple(cells), stride))
    return Architecture(tuple(blocks), filters=4)


def without_subsampling(graph: Graph) -> Graph:
    """Replace each subsampled tensor by its source: torch's strided slice is a view of it.

    This is the one rule in which our own graph, whose SUBSAMPLE writes a tensor, differs from a traced one.
    """
    source = {}
    layers = []
    for layer in graph.layers:
        inputs = tuple(source.get(name, name) for name in layer.inputs)
        if layer.kind is LayerKind.SUBSAMPLE:
            source[layer.name] = inputs[0]
        else:
            layers.append(layer._replace(inputs=inputs))
    return Graph(graph.input_shape, tuple(layers), graph.output)
