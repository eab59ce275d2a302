"""Random search: the seeds, then ends of random lineages of grow and trim, each network once."""

import random
from itertools import count

from benchmarks.search.methods.interface import Evaluate
from benchmarks.search.methods.space import Space, random_lineage


def search(space: Space, evaluate: Evaluate, seed: int) -> None:
    """Train random networks until the images are spent."""
    rng = random.Random(seed)
    known: set[str] = set()
    for number in count():
        network = space.seeds[number] if number < len(space.seeds) else random_lineage(space, rng)
        if network.arch_id not in known:
            known.add(network.arch_id)
            evaluate(network)
