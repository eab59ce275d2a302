"""Stage `latency`: how long the networks of Table 2 take for one 224x224 image on one core, all in one run.

    python -m experiments.latency

One thread, batch 1, float32, channels last, evaluation mode, random weights. In every round each network has one turn;
the order shifts by one each round, so that other load on the machine affects all networks alike. The ratio to
MobileNet V2 (1.0x) is taken within a round. Run it on an otherwise idle machine. Writes `results/latency.json`.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from rich.progress import Progress
from torch import nn

from experiments.extend import IMAGENET, extend, lower_extended
from experiments.found import TABLE2_FOUND, found_networks
from experiments.networks import LARGE
from experiments.plan import RESULTS, LatencyPlan, load_plan
from experiments.stage import run_stage, stage_progress
from memnas_core.environment import machine, versions
from memnas_core.errors import RecordError
from memnas_core.files.writing import write_text
from memnas_core.space.layers import Shape
from memnas_core.training.network import build_network

LATENCY = RESULTS / "latency.json"
REFERENCE = "MobileNet V2 (1.0x)"
WARM_UP_PASSES = 3


@dataclass(frozen=True, slots=True)
class NetworkLatency:
    """Forward passes of one network.

    Attributes:
        model: Row of the table.
        arch_id: Id of the found network that was extended; null for a public definition.
        milliseconds: Time of every timed pass, one list for each round.
        median_ms: Median over all passes.
        first_quartile_ms: First quartile over all passes.
        third_quartile_ms: Third quartile over all passes.
        ratio: The network's median time in a round over the reference's in the same round; median over the rounds.
        ratio_low: First quartile of these quotients over the rounds.
        ratio_high: Third quartile of these quotients over the rounds.
    """

    model: str
    arch_id: str | None
    milliseconds: tuple[tuple[float, ...], ...]
    median_ms: float
    first_quartile_ms: float
    third_quartile_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float


@dataclass(frozen=True, slots=True)
class LatencyRun:
    """One run over all networks: the content of `latency.json`.

    Attributes:
        machine: The machine that it ran on.
        versions: Name and version of Python and of the packages that matter.
        threads: Number of torch's threads.
        input_shape: Shape of the image.
        rounds: Number of rounds; each network has one turn in each.
        passes: Timed passes in a turn.
        networks: The measured networks.
    """

    machine: str
    versions: tuple[tuple[str, str], ...]
    threads: int
    input_shape: tuple[int, int, int]
    rounds: int
    passes: int
    networks: tuple[NetworkLatency, ...]


_RUN = TypeAdapter(LatencyRun)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network to time."""

    module: nn.Module
    arch_id: str | None


def measure_latency(
    networks: Mapping[str, Candidate], plan: LatencyPlan, shape: Shape, reference: str, progress: Progress
) -> LatencyRun:
    """Return the time of forward passes of several networks that take turns.

    Args:
        networks: Networks by row, the reference among them.
        plan: Number of rounds, and of passes in a turn.
        shape: Shape of the image.
        reference: The row whose ratio is 1.
        progress: Receives a bar.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = _time_in_turns(networks, plan, shape, progress)
    finally:
        torch.set_num_threads(threads)
    base = [median(turn) for turn in times[reference]]
    return LatencyRun(
        machine=machine(),
        versions=versions(),
        threads=1,
        input_shape=(shape.channels, shape.height, shape.width),
        rounds=plan.rounds,
        passes=plan.passes,
        networks=tuple(
            summarise(model, candidate.arch_id, times[model], base) for model, candidate in networks.items()
        ),
    )


def _time_in_turns(
    networks: Mapping[str, Candidate], plan: LatencyPlan, shape: Shape, progress: Progress
) -> dict[str, list[tuple[float, ...]]]:
    image = torch.rand((1, *shape), generator=torch.Generator().manual_seed(0))
    image = image.contiguous(memory_format=torch.channels_last)
    bar = progress.add_task("turns", total=(plan.rounds + 1) * len(networks))
    for candidate in networks.values():
        candidate.module.eval().to(memory_format=torch.channels_last)
        _turn(candidate.module, image, WARM_UP_PASSES)
        progress.advance(bar)
    times: dict[str, list[tuple[float, ...]]] = {model: [] for model in networks}
    order = list(networks)
    for _ in range(plan.rounds):
        for model in order:
            # The first pass of a turn still finds another network's data in the caches.
            times[model].append(_turn(networks[model].module, image, 1 + plan.passes)[1:])
            progress.advance(bar)
        order = [*order[1:], order[0]]
    return times


@torch.inference_mode()
def _turn(module: nn.Module, image: torch.Tensor, passes: int) -> tuple[float, ...]:
    found = []
    for _ in range(passes):
        started = time.perf_counter()
        module(image)
        found.append(1000 * (time.perf_counter() - started))
    return tuple(found)


def summarise(
    model: str, arch_id: str | None, turns: Sequence[tuple[float, ...]], base: Sequence[float]
) -> NetworkLatency:
    """Return the figures of one network.

    Args:
        model: Row of the table.
        arch_id: Id of the found network that was extended, or None.
        turns: Milliseconds of its passes, one tuple for each round.
        base: The reference's median in each round, in milliseconds.
    """
    passes = [value for turn in turns for value in turn]
    ratios = [median(turn) / reference for turn, reference in zip(turns, base, strict=True)]
    first, middle, third = (float(value) for value in np.quantile(passes, (0.25, 0.5, 0.75)))
    low, ratio, high = (float(value) for value in np.quantile(ratios, (0.25, 0.5, 0.75)))
    return NetworkLatency(model, arch_id, tuple(turns), middle, first, third, ratio, low, high)


def read_latency(path: Path = LATENCY) -> LatencyRun | None:
    """Return the committed run, or None where there is none.

    Raises:
        RecordError: The file is damaged.
    """
    try:
        return _RUN.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise RecordError(f"{path}: expected latencies, found {error}; make them with dvc repro latency") from error


def write_latency(run: LatencyRun, path: Path = LATENCY) -> None:
    """Write a run.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    write_text(path, _RUN.dump_json(run).decode() + "\n")


def main() -> None:
    """Time every network of Table 2 that is defined or was found."""
    plan = load_plan()
    found = found_networks(TABLE2_FOUND, plan)
    networks = {definition.model: Candidate(definition.build(), None) for definition in LARGE}
    for model, architecture in found.items():
        graph = lower_extended(extend(architecture))
        networks[model] = Candidate(build_network(graph, seed=0), architecture.arch_id)
    with stage_progress() as progress:
        run = measure_latency(networks, plan.latency, IMAGENET, REFERENCE, progress)
    write_latency(run)
    progress.console.print(f"{len(run.networks)} networks in {plan.latency.rounds} rounds: {LATENCY}")


if __name__ == "__main__":
    run_stage(main)
