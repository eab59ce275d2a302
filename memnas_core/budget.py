"""The budget of a search: how many bytes a network may need, and how candidates are kept within it.

No network beyond the budget is trained. Near a limit most of what growing makes is beyond it, so that a round could
run dry. Then further candidates are made with more than one move: a candidate that is too large is trimmed on until it
fits. The first base is trimmed in the same way where it does not fit.
"""

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from memnas_core.architecture import Architecture, Block, Branch, Cell, Combiner, Operation
from memnas_core.config import NetworkSettings, ObjectiveSettings
from memnas_core.devices import devices
from memnas_core.errors import SettingsError
from memnas_core.graph import Shape
from memnas_core.grow_trim import Candidate, Move, MoveKind, apply, edge_cuts, trims
from memnas_core.measure import MemoryFigures, measure

Measuring = Callable[[Architecture], MemoryFigures]
"""Returns the memory figures of an architecture at the widths, image and classes of the search."""

MOVES = " + "
"""Between the moves that made a candidate, where there are several."""

GLANCES = 4
"""Trims that each step of steering chooses from: the more, the fewer trims a candidate needs, and the more alike."""

MISSES = 60
"""Steered candidates in a row that may be known before a round is taken to have no more."""


class Use(NamedTuple):
    """What a network uses of one limit.

    Attributes:
        what: weights, activations or both together, in words.
        used_bytes: What the network needs.
        limit_bytes: What it may need.
    """

    what: str
    used_bytes: int
    limit_bytes: int

    @property
    def excess(self) -> float:
        """How far the network is beyond the limit, relative to the limit; 0 where it is not."""
        return max(0, self.used_bytes - self.limit_bytes) / self.limit_bytes

    def __str__(self) -> str:
        """Return words for a person."""
        share = self.used_bytes / self.limit_bytes
        return f"{self.what} {self.used_bytes:,} of {self.limit_bytes:,} bytes ({share:.1%})"


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits that hold: those of the settings, and where they say nothing the device's. None: no limit.

    Attributes:
        max_param_bytes: Weights.
        max_activation_bytes: Activations under the convention of the settings.
        max_total_bytes: Both together.
    """

    max_param_bytes: int | None
    max_activation_bytes: int | None
    max_total_bytes: int | None

    @property
    def has_limits(self) -> bool:
        """Whether there is any limit."""
        return (self.max_param_bytes, self.max_activation_bytes, self.max_total_bytes) != (None, None, None)

    def uses(self, param_bytes: int, activation_bytes: int) -> tuple[Use, ...]:
        """Return what a network uses of each limit that there is."""
        all_three = (
            ("weights", param_bytes, self.max_param_bytes),
            ("activations", activation_bytes, self.max_activation_bytes),
            ("both together", param_bytes + activation_bytes, self.max_total_bytes),
        )
        return tuple(Use(what, used, limit) for what, used, limit in all_three if limit is not None)


def budget_of(objective: ObjectiveSettings) -> Budget:
    """Return the limits that the settings name or that their device has; explicit ones come first."""
    limits = (objective.max_param_bytes, objective.max_activation_bytes, objective.max_total_bytes)
    if objective.device is None:
        return Budget(*limits)
    device = devices()[objective.device]
    own = (device.max_param_bytes, device.max_activation_bytes, device.max_total_bytes)
    return Budget(*(limit if limit is not None else theirs for limit, theirs in zip(limits, own, strict=True)))


def uses(memory: MemoryFigures, objective: ObjectiveSettings) -> tuple[Use, ...]:
    """Return what a network uses of the budget; empty where there is none."""
    budget = budget_of(objective)
    if not budget.has_limits:
        return ()
    return budget.uses(memory.param_bytes, memory.activation_bytes(objective.activation_convention))


def excess(memory: MemoryFigures, objective: ObjectiveSettings) -> float:
    """Return how far a network is beyond the budget, summed over the limits, each relative to itself; 0: it fits."""
    return sum(use.excess for use in uses(memory, objective))


def fits(memory: MemoryFigures, objective: ObjectiveSettings) -> bool:
    """Return whether a network is within the budget."""
    return not excess(memory, objective)


def smallest_architecture(strides: Sequence[int], filters: int) -> Architecture:
    """Return the architecture that needs least of everything: in each block one cell with one layer without weights.

    That layer is an average pooling in blocks of stride 2 and an identity in the others, where it is no layer at all.
    It has the fewest weights, the lowest activations under every convention, and so the lowest sum, of all
    architectures with these strides and filters. Let F be the filters:

    - Weights. Every network has the same stem, and a classifier that reads at least F channels, since a block's output
      joins cells of F or 2F channels. This one has nothing else: neither layer has weights, and what enters a block has
      F channels already.
    - Activations. In this network one layer runs at a time and alone: the stem, a pooling in each block of stride 2,
      the pool and the classifier. Any other network has the stem too, a pool and a classifier with at least as many
      channels; and in a block of stride 2 some layer that reads a tensor of the input's resolution, of at least F
      channels, and writes one of lower resolution: half of it in one direction or in both, again with F channels or
      more. While that runs, both are in memory, and neither can lie in the other, as an element-wise layer alone may
      write in place. So whatever this network needs in a step any other one needs in some step, under `sequential`,
      `minimum` and `arena`. Under the first two an identity of stride 2 would do as well; at run time it takes rows
      first, half of its input, and a max pooling writes an index.
    - Under `paper` a tensor dies in the step in which its last reader's output appears, so that this network never
      holds two tensors. The largest is the image, the stem's output or the classifier's; any other network holds these.
    """
    operations = [Operation.IDENTITY if stride == 1 else Operation.AVERAGE_POOL_3X3 for stride in strides]
    cells = [Cell(Branch(0, operation), None, Combiner.SUM, included=True) for operation in operations]
    return Architecture(tuple(Block((cell,), stride) for cell, stride in zip(cells, strides, strict=True)), filters)


def check_budget(network: NetworkSettings, objective: ObjectiveSettings, input_shape: Shape, classes: int) -> None:
    """Refuse a budget that no network of the template can meet.

    Args:
        network: Filters and strides.
        objective: The budget, the element widths and the convention.
        input_shape: Channels, height and width of an image.
        classes: Number of classes.

    Raises:
        SettingsError: Names the limits that cannot be met, and the smallest footprint that there is.
    """
    smallest = smallest_architecture(network.strides, network.filters)
    memory = measure(smallest, input_shape, classes, objective.weight_bytes, objective.activation_bytes)
    beyond = [use for use in uses(memory, objective) if use.excess]
    if not beyond:
        return
    keys = {"weights": "max_param_bytes", "activations": "max_activation_bytes", "both together": "max_total_bytes"}
    device = f" (device {objective.device})" if objective.device else ""
    needs = ", ".join(f"{keys[use.what]} of at least {use.used_bytes:,}" for use in beyond)
    found = ", ".join(f"{use.limit_bytes:,}" for use in beyond)
    activations = memory.activation_bytes(objective.activation_convention)
    raise SettingsError(
        f"objective: expected {needs}, found {found}{device}; the smallest network of these settings has "
        f"{memory.param_bytes:,} bytes of weights and {activations:,} bytes of activations "
        f"({objective.activation_convention}), {memory.param_bytes + activations:,} together; raise the limit, or "
        "lower network.filters, data.image_size or the element widths"
    )


def fitted_seed(
    seed: Architecture, objective: ObjectiveSettings, measured: Measuring
) -> tuple[Architecture, tuple[Move, ...]]:
    """Trim the first base until it fits, with the trim that leaves the least excess each time.

    Of trims that leave as much, the one that leaves the larger network comes first if it fits, else the smaller one,
    then the one that is enumerated first. Trimming ends at identities. Where these don't fit, but the smallest
    architecture does, which has poolings for some of them, further moves lead there.

    Returns:
        The base and the moves that made it. It does not fit only where nothing does.
    """
    moves: list[Move] = []
    while not fits(measured(seed), objective):
        options = []
        for place, move in enumerate((*trims(seed), *edge_cuts(seed))):
            trimmed = apply(seed, move)
            if trimmed is not None and trimmed != seed:
                memory = measured(trimmed)
                beyond = excess(memory, objective)
                total = memory.param_bytes + memory.activation_bytes(objective.activation_convention)
                options.append((beyond, total if beyond else -total, place, move, trimmed))
        if not options:
            smallest = smallest_architecture([block.stride for block in seed.blocks], seed.filters)
            if fits(measured(smallest), objective):
                moves += _from_identities(seed)
                seed = smallest
            break
        _, _, _, move, seed = min(options, key=lambda option: option[:3])
        moves.append(move)
    return seed, tuple(moves)


def _from_identities(bare: Architecture) -> Iterator[Move]:
    """Yield the moves from one identity a block to the smallest architecture."""
    pooling = Branch(0, Operation.AVERAGE_POOL_3X3)
    yield Move(MoveKind.GROW, added=Cell(pooling, pooling, Combiner.SUM, included=True))
    for number, block in enumerate(bare.blocks, start=1):
        if block.stride == 1:
            yield Move(MoveKind.TRIM_CELL, number, 2)
        else:
            yield Move(MoveKind.TRIM_CELL, number, 1)
            yield Move(MoveKind.CUT_EDGE, number, 1, 2)


def trimmed_to_fit(
    candidates: Sequence[Candidate],
    count: int,
    known: Collection[str],
    objective: ObjectiveSettings,
    measured: Measuring,
    rng: random.Random,
) -> list[tuple[Candidate, MemoryFigures]]:
    """Make candidates that fit out of some that don't: grown or trimmed once, and trimmed on.

    Args:
        candidates: Those that don't fit; one or more.
        count: So many are wanted.
        known: Ids that are no candidates again.
        objective: The budget, the element widths and the convention.
        measured: Measures a network.
        rng: Chooses which are trimmed, and how.

    Returns:
        The new candidates, each network once, at most `count`: fewer where so few are found that are not known.
    """
    seen = set(known)
    found: list[tuple[Candidate, MemoryFigures]] = []
    misses = 0
    while len(found) < count and misses < MISSES:
        parent = rng.choice(candidates)
        architecture, memory, moves = parent.architecture, measured(parent.architecture), [parent.move]
        while not fits(memory, objective):
            options = _glance(architecture, rng)
            if not options:
                break
            weighed = [(measured(trimmed), move, trimmed) for move, trimmed in options]
            memory, move, architecture = min(weighed, key=lambda option: excess(option[0], objective))
            moves.append(str(move))
        arch_id = architecture.arch_id
        misses += 1
        if arch_id not in seen and fits(memory, objective):
            seen.add(arch_id)
            misses = 0
            new = Candidate(architecture, arch_id, parent.parent_id, MOVES.join(moves), parent.round)
            found.append((new, memory))
    return found


def _glance(architecture: Architecture, rng: random.Random) -> list[tuple[Move, Architecture]]:
    """Return a few of the trims that leave another network, chosen at random; none only where there is none."""
    every = [*trims(architecture), *edge_cuts(architecture)]
    options: list[tuple[Move, Architecture]] = []
    for move in rng.sample(every, len(every)):
        trimmed = apply(architecture, move)
        if trimmed is not None and trimmed != architecture:
            options.append((move, trimmed))
            if len(options) == GLANCES:
                break
    return options
