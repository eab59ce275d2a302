"""The conventions of activation memory written down once more, as simply as can be."""

import random
from collections.abc import Iterator, Sequence

Layers = dict[str, tuple[list[str], list[str]]]
Sizes = dict[str, int]


def producers(layers: Layers) -> dict[str, str]:
    return {tensor: layer for layer, (_, writes) in layers.items() for tensor in writes}


def naive_sequential(layers: Layers, sizes: Sizes, order: Sequence[str]) -> tuple[int, list[int]]:
    """Return peak and profile of an order by keeping a set of what is in memory."""
    read = {tensor for reads, _ in layers.values() for tensor in reads}
    memory = set(sizes) - producers(layers).keys()
    profile = []
    for position, layer in enumerate(order):
        reads, writes = layers[layer]
        assert set(reads) <= memory, f"{layer} runs before its inputs exist"
        memory |= set(writes)
        profile.append(sum(sizes[tensor] for tensor in memory))
        later = {tensor for other in order[position + 1 :] for tensor in layers[other][0]}
        memory = {tensor for tensor in memory if tensor in later or tensor not in read}
    if not order:
        profile.append(sum(sizes[tensor] for tensor in memory))
    return max(profile), profile


def all_orders(layers: Layers) -> Iterator[list[str]]:
    """Yield all topological orders."""
    producer = producers(layers)

    def extend(order: list[str], left: frozenset[str]) -> Iterator[list[str]]:
        if not left:
            yield order
        for layer in left:
            if all(producer.get(tensor) not in left for tensor in layers[layer][0]):
                yield from extend([*order, layer], left - {layer})

    return extend([], frozenset(layers))


def shuffled(rng: random.Random, layers: Layers) -> Layers:
    return dict(rng.sample(list(layers.items()), len(layers)))


def least_by_subsets(layers: Layers, sizes: Sizes) -> int:
    """Return the least peak by dynamic programming over all sets of layers that can have run."""
    producer = producers(layers)
    names = list(layers)
    needs = [{producer[t] for t in layers[n][0] if t in producer} for n in names]
    readers = {t: {n for n in names if t in layers[n][0]} for t in sizes}

    def live(done: frozenset[str], running: str) -> int:
        return sum(
            size
            for tensor, size in sizes.items()
            if (tensor not in producer or producer[tensor] in done | {running})
            and (not readers[tensor] or readers[tensor] - done)
        )

    best = {frozenset[str](): 0}
    for _ in names:
        after: dict[frozenset[str], int] = {}
        for done, peak in best.items():
            for name, before in zip(names, needs, strict=True):
                if name not in done and before <= done:
                    now = done | {name}
                    after[now] = min(after.get(now, 2**60), max(peak, live(done, name)))
        best = after
    return best[frozenset(names)]
