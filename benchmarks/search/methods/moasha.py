"""Syne Tune's multi-objective asynchronous successive halving (MOASHA) on random lineages.

A trial is a full training that may be stopped at a ninth and at a third of it, when it is not among the best third of
those that came so far. The trials are the random networks of random search, so that the difference to it is the
stopping alone. The scheduler is asked and told here, in this process.

Source: Schmucker et al., 2021; Salinas et al., 2021. Its order of networks is not Syne Tune's own: that of 0.16.0 takes
the list of places that sorts the networks for the list of their ranks, so that it stops about at random (see
`RankPriority`).
"""

import random
from datetime import UTC, datetime
from itertools import count

import numpy as np
from numpy.typing import NDArray
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import randint
from syne_tune.optimizer.scheduler import SchedulerDecision
from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA
from syne_tune.optimizer.schedulers.multiobjective.multiobjective_priority import MOPriority

from benchmarks.search.methods.evolution import crowding, domination_ranks
from benchmarks.search.methods.interface import Evaluate, Figures, Rungs
from benchmarks.search.methods.space import Space, random_lineage
from memnas_core.space.architecture import Architecture

FULL = 9
RUNGS = (1, 3)
REDUCTION = 3
"""Resources are ninths of a full training."""


class RankPriority(MOPriority):  # type: ignore[misc]  # Syne Tune's classes carry no types
    """Ranks networks by non-domination rank, then by crowding distance; 0 is the best."""

    def priority_unsafe(self, objectives: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the rank of each row of losses.

        Args:
            objectives: Shape (networks, 2).
        """
        losses = [(float(loss), float(memory)) for loss, memory in objectives]
        ranks, distances = domination_ranks(losses), crowding(losses)
        order = sorted(range(len(losses)), key=lambda place: (ranks[place], -distances[place]))
        return np.argsort(order)


def search(space: Space, evaluate: Evaluate, seed: int) -> None:
    """Let the scheduler propose and stop trainings until the images are spent."""
    np.random.seed(seed)  # the scheduler draws from NumPy's global generator
    scheduler = MOASHA(
        config_space={"lineage": randint(0, 2**31 - 1)},
        metrics=["loss", "memory"],
        time_attr="ninths",
        max_t=FULL,
        grace_period=RUNGS[0],
        reduction_factor=REDUCTION,
        multiobjective_priority=RankPriority(),
        random_seed=seed,
    )
    known: set[str] = set()
    for number in count():
        config = scheduler.suggest().config
        lineage = random.Random(config["lineage"])
        network = space.seeds[number] if number < len(space.seeds) else random_lineage(space, lineage)
        if network.arch_id in known:
            continue
        known.add(network.arch_id)
        _run_trial(scheduler, Trial(number, config, datetime.now(UTC)), network, space, evaluate)


def _run_trial(scheduler: MOASHA, trial: Trial, network: Architecture, space: Space, evaluate: Evaluate) -> None:
    is_stopped = False

    def result(ninths: int, figures: Figures) -> dict[str, float]:
        loss, memory = space.box.losses(*figures)
        return {"ninths": ninths, "loss": loss, "memory": memory}

    def goes_on(rung: int, figures: Figures) -> bool:
        nonlocal is_stopped
        decision = scheduler.on_trial_result(trial, result(RUNGS[rung], figures))
        is_stopped = decision != SchedulerDecision.CONTINUE
        return not is_stopped

    scheduler.on_trial_add(trial)
    figures = evaluate(network, Rungs(tuple(rung / FULL for rung in RUNGS), goes_on))
    if is_stopped:
        scheduler.on_trial_remove(trial)
    else:
        scheduler.on_trial_complete(trial, result(FULL, figures))
