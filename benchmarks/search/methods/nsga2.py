"""Optuna's NSGA-II over flat parameters (`benchmarks.search.methods.encoding`).

It starts from the same kind of population as regularised evolution, and knows the accuracy floor as a constraint.
A network that is too large is pruned, and one that was trained before has its figures again; neither costs images.
"""

import random

import optuna
from optuna.samplers import NSGAIISampler
from optuna.trial import Trial, TrialState

from benchmarks.search.methods.encoding import Choices, decode, encode, parameters
from benchmarks.search.methods.interface import Evaluate, Figures
from benchmarks.search.methods.space import Space, first_population, random_lineage

POPULATION = 10
"""Optuna's default is 50, more than there are trainings."""

PATIENCE = 500
"""After so many proposals in a row without a new network that fits, the end of a random lineage is put in."""


def search(space: Space, evaluate: Evaluate, seed: int) -> None:
    """Let Optuna propose networks until the images are spent."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rng = random.Random(seed)
    names = dict(parameters(len(space.seeds[0].blocks), space.max_cells, space.filters))
    sampler = NSGAIISampler(population_size=POPULATION, seed=seed)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    for network in first_population(space, POPULATION, rng):
        study.enqueue_trial(dict(encode(network)))
    known: dict[str, Figures] = {}
    fruitless = 0
    while True:
        if fruitless >= PATIENCE:
            study.enqueue_trial(dict(encode(random_lineage(space, rng))))
            fruitless = 0
        trial = study.ask()
        network = decode({name: _suggest(trial, name, choices) for name, choices in names.items()}, space.seeds[0])
        fruitless += 1
        if not space.has(network):
            study.tell(trial, state=TrialState.PRUNED)
            continue
        if network.arch_id not in known:
            known[network.arch_id] = evaluate(network)
            fruitless = 0
        losses = space.box.losses(*known[network.arch_id])
        trial.set_constraint("accuracy floor", losses[0] - 1)
        study.tell(trial, losses)


def _suggest(trial: Trial, name: str, choices: Choices) -> str | int:
    if isinstance(choices, range):
        return trial.suggest_int(name, choices.start, choices.stop - 1)
    return trial.suggest_categorical(name, choices)
