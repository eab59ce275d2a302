"""MemNAS-A and -B: a network found on small images, extended to ImageNet.

The paper only says that the block architecture is kept and that the network has 16 blocks and 256 filters (section
4.1). The rest is our reading:

- The 16 blocks are the found ones in their order, each repeated in place, as networks are usually deepened. Trimming
  has made early and late blocks differ, and this keeps early blocks early. Of five blocks, the first appears
  four times and each other three times.
- A search does not decide where resolution falls, and the strides of five blocks do not say where those of sixteen
  belong. As in DARTS and NASNet, three 3x3 convolutions with stride 2 (F/4, F/2 and F filters) bring 224x224 down to
  28x28, and blocks 6 and 11, at one third and two thirds of the depth, halve it to 14x14 and 7x7.
- The head is the same as the small network's: global average pooling and one linear layer.
"""

from dataclasses import replace

from memnas_core.errors import GraphError
from memnas_core.space.architecture import Architecture
from memnas_core.space.graph import IMAGE, Graph, head, lower_block
from memnas_core.space.layers import Layer, LayerKind, Shape

BLOCKS = 16
FILTERS = 256
IMAGENET = Shape(3, 224, 224)
IMAGENET_CLASSES = 1000
STEM_LAYERS = 3
HALVINGS = 2


def extend(architecture: Architecture, blocks: int = BLOCKS, filters: int = FILTERS) -> Architecture:
    """Return a found network with more blocks and filters.

    Args:
        architecture: The network that a search found.
        blocks: Number of blocks of the result, at least as many as were found.
        filters: Number of filters of the result, the paper's F. A block's own number grows as F does.

    Raises:
        GraphError: Fewer blocks were asked for than were found.
    """
    found = architecture.blocks
    if blocks < len(found):
        raise GraphError(f"blocks: expected at least {len(found)}, as many as were found; got {blocks}")
    halving = {blocks * part // (HALVINGS + 1) for part in range(1, HALVINGS + 1)}
    wider = [
        replace(block, filters=block.filters and max(1, block.filters * filters // architecture.filters))
        for block in found
    ]
    return Architecture(
        tuple(replace(wider[place * len(found) // blocks], stride=1 + (place in halving)) for place in range(blocks)),
        filters,
    )


def lower_extended(architecture: Architecture, input_shape: Shape = IMAGENET, classes: int = IMAGENET_CLASSES) -> Graph:
    """Return the graph of an extended network: stem, blocks, head.

    Args:
        architecture: Network that `extend` returned.
        input_shape: Shape of one image.
        classes: Outputs of the classifier.

    Raises:
        GraphError: The strides cannot halve the image evenly.
    """
    factor = 2**STEM_LAYERS * architecture.reduction
    if input_shape.height % factor or input_shape.width % factor:
        raise GraphError(
            f"image {input_shape.height}x{input_shape.width}: expected sides that are multiples of {factor}, which "
            "stem and blocks can halve"
        )
    layers = list(_stem(architecture.filters, input_shape))
    source, shape = layers[-1].name, layers[-1].output
    for number, block in enumerate(architecture.blocks, start=1):
        fragment = lower_block(block, architecture.filters, source, shape, number)
        layers += fragment.layers
        source, shape = fragment.output, fragment.shape
    layers += head(source, shape, classes)
    return Graph(input_shape, tuple(layers), layers[-1].name)


def _stem(filters: int, image: Shape) -> tuple[Layer, ...]:
    layers = []
    source, shape = IMAGE, image
    for number in range(1, STEM_LAYERS + 1):
        output = Shape(filters // 2 ** (STEM_LAYERS - number), shape.height // 2, shape.width // 2)
        name = f"stem{number}"
        layers.append(Layer(name, LayerKind.CONV, (source,), shape.channels, output, (3, 3), (2, 2)))
        source, shape = name, output
    return tuple(layers)
