"""Folding of batch norm into the convolution or matrix product in front of it.

At inference a batch norm scales and shifts each channel by constants, so that the weights in front of it can take over
both. This needs four things:

- Mean and variance are the network's own and do not come from the image.
- The channels of the batch norm are those of the product. Behind a flatten, a permutation or a product at each position
  of a sequence, they may be other parts of the tensor.
- The product is one with constants, not of two activations.
- Nothing else reads the result of the product, nor the weights of either.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from memnas_core.tracing.channels import NORMS, Channels
from memnas_core.tracing.recording import Call


def change_by_folding(calls: Sequence[Call], kept: frozenset[int], weights: Mapping[str, Sequence[int]]) -> int:
    """Return the change in the number of biases, scales and shifts by folding; mostly negative.

    Args:
        calls: Operations of the network, in the order in which they ran.
        kept: Values that are needed after the run.
        weights: Shape of each parameter.
    """
    uses = Counter(weight for call in calls for weight in call.weights)
    readers = Counter(value for call in calls for value in call.reads)
    open_for_norms: dict[int, tuple[int, Channels]] = {}  # value -> biases behind its kernel, channels
    change = 0
    for call in calls:
        if call.channels is None or any(uses[weight] > 1 for weight in call.weights):
            continue
        vectors = sum(math.prod(weights[weight]) for weight in call.weights if len(weights[weight]) <= 1)
        if call.name in NORMS:
            (source,) = call.reads
            before, channels = open_for_norms.get(source, (0, None))
            if channels != call.channels or readers[source] > 1 or source in kept:
                continue
            biases = call.channels[0]
            change += biases - before - vectors
            vectors = biases
        open_for_norms[call.writes[0]] = vectors, call.channels
    return change
