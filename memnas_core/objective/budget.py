"""The budget of a search: how many bytes a network may need, and how candidates are kept within it.

No network beyond the budget is trained. Near a limit most grown networks exceed it, so that a round could run out of
candidates. Further ones are then made with more than one move: a candidate that is too large is trimmed until it fits.
The first base is trimmed in the same way if it does not fit.
"""

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from memnas_core.errors import SettingsError
from memnas_core.memory.figures import MemoryFigures, measure
from memnas_core.memory.kernel_scratch import KERNELS, Kernels
from memnas_core.settings.devices import devices
from memnas_core.settings.schema import NetworkSettings, ObjectiveSettings
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.layers import Workload
from memnas_core.space.moves import WIDTHS, Candidate, Move, MoveKind, apply, reductions

Measuring = Callable[[Architecture], MemoryFigures]
"""Returns the memory figures of an architecture at the widths, image and classes of the search."""

GLANCES = 4
"""Trims that each step of `trimmed_to_fit` chooses from; with more, candidates need fewer but become more alike."""

MISSES = 60
"""Attempts in a row without a new candidate after which `trimmed_to_fit` gives up."""


class Use(NamedTuple):
    """How much of one limit a network uses.

    Attributes:
        what: What is limited, in words: weights, activations or both together.
        used_bytes: Bytes that the network needs.
        limit_bytes: Bytes that it may need.
    """

    what: str
    used_bytes: int
    limit_bytes: int

    @property
    def excess(self) -> float:
        """By how much the network exceeds the limit, as a share of the limit; 0 if it does not."""
        return max(0, self.used_bytes - self.limit_bytes) / self.limit_bytes

    def __str__(self) -> str:
        """Return words for a person."""
        share = self.used_bytes / self.limit_bytes
        return f"{self.what} {self.used_bytes:,} of {self.limit_bytes:,} bytes ({share:.1%})"


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits in force: those of the settings, or of the device where the settings name none. None: no limit.

    Attributes:
        max_param_bytes: Largest size of the weights.
        max_activation_bytes: Largest activation memory under the convention of the settings.
        max_total_bytes: Largest sum of both.
    """

    max_param_bytes: int | None
    max_activation_bytes: int | None
    max_total_bytes: int | None

    @property
    def has_limits(self) -> bool:
        """Whether there is any limit."""
        return (self.max_param_bytes, self.max_activation_bytes, self.max_total_bytes) != (None, None, None)

    def uses(self, param_bytes: int, activation_bytes: int) -> tuple[Use, ...]:
        """Return how much of each existing limit a network uses."""
        all_three = (
            ("weights", param_bytes, self.max_param_bytes),
            ("activations", activation_bytes, self.max_activation_bytes),
            ("both together", param_bytes + activation_bytes, self.max_total_bytes),
        )
        return tuple(Use(what, used, limit) for what, used, limit in all_three if limit is not None)


def budget_of(objective: ObjectiveSettings) -> Budget:
    """Return the limits of the settings and their device; those named in the settings take precedence."""
    limits = (objective.max_param_bytes, objective.max_activation_bytes, objective.max_total_bytes)
    if objective.device is None:
        return Budget(*limits)
    device = devices()[objective.device]
    own = (device.max_param_bytes, device.max_activation_bytes, device.max_total_bytes)
    return Budget(*(limit if limit is not None else theirs for limit, theirs in zip(limits, own, strict=True)))


def kernels_of(objective: ObjectiveSettings) -> Kernels | None:
    """Return the int8 kernels of the device, whose scratch memory the arena holds; None if the search has none."""
    if objective.device is None or (objective.weight_bytes, objective.activation_bytes) != (1, 1):
        return None
    return KERNELS.get(devices()[objective.device].core)


def measuring(workload: Workload, objective: ObjectiveSettings) -> Measuring:
    """Return the function that measures the networks of a search.

    Args:
        workload: Images, classes and element widths.
        objective: Names the device.
    """
    return partial(measure, workload=workload, kernels=kernels_of(objective))


def uses(memory: MemoryFigures, objective: ObjectiveSettings) -> tuple[Use, ...]:
    """Return how much of each limit of the budget a network uses; empty without limits."""
    budget = budget_of(objective)
    if not budget.has_limits:
        return ()
    return budget.uses(memory.param_bytes, memory.activation_bytes(objective.activation_convention))


def excess(memory: MemoryFigures, objective: ObjectiveSettings) -> float:
    """Return the sum over the limits of the share by which a network exceeds each; 0 if it fits."""
    return sum(use.excess for use in uses(memory, objective))


def fits(memory: MemoryFigures, objective: ObjectiveSettings) -> bool:
    """Return whether a network is within the budget."""
    return not excess(memory, objective)


def smallest_architecture(
    strides: Sequence[int], filters: int, pooling: ops.Operation = ops.AVERAGE_POOL_3X3, stem_stride: int = 1
) -> Architecture:
    """Return the architecture that needs least memory of every kind: one cell with one weightless layer in each block.

    That layer is a pooling in blocks of stride 2 and an identity in the others, which lowers to no layer. The pooling
    is an average, or a maximum where the scratch memory of int8 kernels counts, which only the average may need. It
    has the fewest weights, the lowest activations under every convention, and so the lowest sum, of all architectures
    with these strides and filters. Let F be the filters:

    - Weights. Every network has the same stem, and a classifier that reads at least F channels, since a block's output
      joins cells of F or 2F channels. This one has no other weights: pooling and identity have none, and the input of
      every block has F channels, so that it needs no projection.
    - Activations. This network is a plain chain: the stem, a pooling in each block of stride 2, the global pool and
      the classifier. Any other network has the stem too, and a pool and a classifier with at least as many channels.
      In a block of stride 2 it has some layer that reads a tensor of the input's resolution with at least F channels,
      and writes one of lower resolution (halved in one direction or both), again with at least F channels. While that
      layer runs, both tensors are in memory and cannot overlap, since only element-wise layers may write in place. So
      each step of this network needs no more than some step of any other one, under `sequential`, `minimum` and
      `arena`. Under the first two an identity of stride 2 would need as little; but at run time it first takes every
      other row, half of its input, and a max pooling of floats also writes an index.
    - Under `paper` a tensor is freed in the step in which its last reader's output appears, so this network never holds
      two. The largest is the image, the stem's output or the classifier's, which any other network holds too.
    """
    operations = [ops.IDENTITY if stride == 1 else pooling for stride in strides]
    cells = [Cell(Branch(0, operation), None, Combiner.SUM, included=True) for operation in operations]
    blocks = tuple(Block((cell,), stride) for cell, stride in zip(cells, strides, strict=True))
    return Architecture(blocks, filters, stem_stride)


def smallest_architectures(
    strides: Sequence[int], filters: int, pooling: ops.Operation, widths: bool, stem_stride: int = 1
) -> tuple[Architecture, ...]:
    """Return the networks of which one fits if any network does; without widths, that of `smallest_architecture` alone.

    If blocks may be narrowed, the others have the least number of filters m from one block on. Take any network, and
    let p be its first block with fewer than F filters, which is projected from F channels or more; without such a
    block, the first network here needs no more. The one with m filters from p on has no more weights: its only
    projection is no larger than that of block p, and its classifier reads m channels. Up to p it is as small as the
    first network here, the projection reads and writes no more, and later all tensors are smaller.
    """
    plain = smallest_architecture(strides, filters, pooling, stem_stride)
    if not widths or filters <= WIDTHS[0]:
        return (plain,)
    narrow = tuple(replace(block, filters=WIDTHS[0]) for block in plain.blocks)
    later = (replace(plain, blocks=plain.blocks[:place] + narrow[place:]) for place in range(len(narrow)))
    return (plain, *later)


def check_budget(
    network: NetworkSettings, objective: ObjectiveSettings, workload: Workload, widths: bool = False
) -> None:
    """Refuse a budget that no network of the template can meet.

    Args:
        network: Filters and strides.
        objective: The budget and the convention.
        workload: Images, classes and element widths.
        widths: Whether blocks may be narrowed.

    Raises:
        SettingsError: The smallest network exceeds a limit; the message names such limits and its footprint.
    """
    filters = 1 if widths else network.filters  # the first networks' stems may have so few
    smallest = smallest_architectures(network.strides, filters, _least_pooling(objective), widths, network.stem_stride)
    memory = min(map(measuring(workload, objective), smallest), key=lambda figures: excess(figures, objective))
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
    seed: Architecture, objective: ObjectiveSettings, measured: Measuring, widths: bool = False
) -> tuple[Architecture, tuple[Move, ...]]:
    """Trim the first base until it fits, each time with the trim that leaves the least excess.

    Ties go to the larger network if it fits, otherwise to the smaller one, and then to the trim that is enumerated
    first. Trimming ends when only identities are left. If these do not fit but the smallest architecture does, which
    has poolings in place of some of them, further moves lead to it.

    Args:
        seed: The first base.
        objective: The budget and the convention.
        measured: Function that measures a network.
        widths: Whether blocks are narrowed too.

    Returns:
        The base and the moves that led to it. If the base does not fit, no network does.
    """
    moves: list[Move] = []
    while not fits(measured(seed), objective):
        options = []
        for place, move in enumerate(reductions(seed, widths)):
            trimmed = apply(seed, move)
            if trimmed is not None and trimmed != seed:
                memory = measured(trimmed)
                beyond = excess(memory, objective)
                total = memory.param_bytes + memory.activation_bytes(objective.activation_convention)
                options.append((beyond, total if beyond else -total, place, move, trimmed))
        if not options:
            pooling, strides = _least_pooling(objective), [block.stride for block in seed.blocks]
            for smallest in smallest_architectures(strides, seed.filters, pooling, widths, seed.stem_stride):
                if fits(measured(smallest), objective):
                    moves += (*_to_widths(seed, smallest), *_from_identities(seed, pooling))
                    return smallest, tuple(moves)
            break
        _, _, _, move, seed = min(options, key=lambda option: option[:3])
        moves.append(move)
    return seed, tuple(moves)


def _least_pooling(objective: ObjectiveSettings) -> ops.Operation:
    return ops.AVERAGE_POOL_3X3 if kernels_of(objective) is None else ops.MAX_POOL_3X3


def _to_widths(bare: Architecture, smallest: Architecture) -> Iterator[Move]:
    """Yield the moves that give a network, narrowed as far as possible, the widths of another."""
    for number, (width, wanted) in enumerate(zip(bare.widths, smallest.widths, strict=True), start=1):
        if width != wanted:
            yield Move(MoveKind.WIDEN, number, filters=wanted)


def _from_identities(bare: Architecture, pooling: ops.Operation) -> Iterator[Move]:
    """Yield the moves from a network with one identity per block to the smallest architecture."""
    branch = Branch(0, pooling)
    yield Move(MoveKind.GROW, added=Cell(branch, branch, Combiner.SUM, included=True))
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
    widths: bool = False,
) -> list[tuple[Candidate, MemoryFigures]]:
    """Return candidates that fit, made from some that do not by trimming them further.

    Args:
        candidates: One or more candidates that do not fit.
        count: Number of candidates wanted.
        known: Ids of networks to leave out.
        objective: The budget, the element widths and the convention.
        measured: Function that measures a network.
        rng: Random source for the choice of candidates and of trims.
        widths: Whether blocks are narrowed too.

    Returns:
        The new candidates and their memory, each network once; fewer than `count` if no more are found.
    """
    seen = set(known)
    found: list[tuple[Candidate, MemoryFigures]] = []
    misses = 0
    while len(found) < count and misses < MISSES:
        parent = rng.choice(candidates)
        architecture, memory, moves = parent.architecture, measured(parent.architecture), [*parent.moves]
        while not fits(memory, objective):
            options = _glance(architecture, rng, widths)
            if not options:
                break
            weighed = [(measured(trimmed), move, trimmed) for move, trimmed in options]
            memory, move, architecture = min(weighed, key=lambda option: excess(option[0], objective))
            moves.append(move)
        arch_id = architecture.arch_id
        misses += 1
        if arch_id not in seen and fits(memory, objective):
            seen.add(arch_id)
            misses = 0
            new = Candidate(architecture, arch_id, parent.parent_id, tuple(moves), parent.round)
            found.append((new, memory))
    return found


def _glance(architecture: Architecture, rng: random.Random, widths: bool) -> list[tuple[Move, Architecture]]:
    """Return up to `GLANCES` random trims that change the network, with their results; empty only if none does."""
    every = list(reductions(architecture, widths))
    options: list[tuple[Move, Architecture]] = []
    for move in rng.sample(every, len(every)):
        trimmed = apply(architecture, move)
        if trimmed is not None and trimmed != architecture:
            options.append((move, trimmed))
            if len(options) == GLANCES:
                break
    return options
