"""One run of a method on a data set with a seed: what decides it, how it goes, and the rows that it leaves."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.search import families, yardstick
from benchmarks.search.contestant import Contestant, Scores, test_as_it_is, train_and_test
from benchmarks.search.methods import dpp_net, dvolver, evolution, inherited, moasha, monas, nsga2, random_search
from benchmarks.search.methods.interface import Method, SpentError
from benchmarks.search.methods.memnas import INHERITED, VARIANTS, Variant, search_plainly
from benchmarks.search.methods.tally import Tally
from benchmarks.search.methods.trainer import Lengths, Task, Trainer
from benchmarks.search.yardstick import BUDGET, DATASETS, FINAL_IMAGES, LIMITS, SEARCH_IMAGES
from experiments.code_version import code_version
from memnas_core.controller.examples import Example
from memnas_core.search.choice import estimated_accuracies
from memnas_core.settings.file import load_settings
from memnas_core.settings.schema import Settings

PEERS: Mapping[str, Method] = {
    "random search": random_search.search,
    "regularised evolution": evolution.search,
    "NSGA-II (Optuna)": nsga2.search,
    "MOASHA (Syne Tune)": moasha.search,
    "DVOLVER's idea": dvolver.search,
    "MONAS's idea": monas.search,
}
"""Methods that train every network from nothing."""

ROUNDS: Mapping[str, Variant] = {
    **VARIANTS,
    "random search, inherited weights": Variant(INHERITED, aim=inherited.RandomAim),
    "regularised evolution, inherited weights": Variant(INHERITED, aim=inherited.EvolutionAim),
    "LEMONADE's idea": Variant(INHERITED, aim=inherited.LemonadeAim),
    "DPP-Net's idea": Variant(dpp_net.OVERRIDES, aim=dpp_net.DppNetAim, one_rung=True),
}
"""Methods that go through memnas's rounds."""

LONGER = ", longer"
"""A family whose members share the whole budget, and keep the weights that it buys."""

FIRST_LONGER = "first network, longer"
"""memnas's first networks, one for each limit, which share the whole budget."""

_DECIDING = ("data", "network", "search", "objective", "training", "controller")
"""The sections of the settings that decide a run."""

_DECIDING_BY_HAND = ("data", "objective", "training")
"""Those that decide what becomes of networks that are scaled by hand."""

METHODS = (*ROUNDS, *PEERS, *families.FAMILIES, *(f"{name}{LONGER}" for name in families.BUILDERS), FIRST_LONGER)


@dataclass(frozen=True, slots=True)
class Row:
    """A network that a run handed over, scored in one way.

    Attributes:
        dataset: Name of the data set.
        method: Name of the method.
        seed: Seed of the method, the trainings and the validation split.
        images: Training images that the run had spent when this was scored.
        stage: `search`: scored with the weights that it was handed over with; `final`: after the training from nothing
            that all methods' networks get.
        arch_id: Id of the architecture; family and width for a hand-scaled network.
        total_bytes: Weights and activations together, in float32.
        param_bytes: Weights.
        accuracy_validation: On the validation images, in [0, 1].
        accuracy_test: On the test images, in [0, 1].
        from_nothing: Whether it was trained from nothing for the images that all get.
        key: Digest of what decides the run.
        code: Digest of the code that decides trainings and memnas's rounds.
        trainings: Trainings of the search, each rung one.
    """

    dataset: str
    method: str
    seed: int
    images: int
    stage: str
    arch_id: str
    total_bytes: int
    param_bytes: int
    accuracy_validation: float
    accuracy_test: float
    from_nothing: bool
    key: str
    code: str
    trainings: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Attributes:
        dataset: Name of the data set.
        method: Name of the method.
        seed: Seed of the method, the trainings and the validation split.
        images: Folder of the images, for a data set that is one.
        store: Folder of prepared data and trainings.
    """

    dataset: str
    method: str
    seed: int
    images: Path | None
    store: Path

    @property
    def overrides(self) -> tuple[str, ...]:
        """What the method changes of the settings that all have."""
        if self.method in PEERS:
            return ("search.choice=measured",)
        return ROUNDS[self.method].overrides if self.method in ROUNDS else ()

    @property
    def key(self) -> str:
        """Digest of the settings and of the yardstick; code is recorded beside it (`Row.code`)."""
        settings = self._settings("data.folder=images", *self.overrides).as_earlier_dict()
        by_hand = self.method.removesuffix(LONGER) in families.BUILDERS
        deciding_settings = {section: settings[section] for section in (_DECIDING_BY_HAND if by_hand else _DECIDING)}
        lengths = (LIMITS, SEARCH_IMAGES, FINAL_IMAGES)
        candidates = () if by_hand else (yardstick.PEER_IMAGES, yardstick.STOPPABLE_IMAGES)
        deciding = [self.dataset, self.method, self.seed, deciding_settings, lengths, candidates]
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:12]

    def task(self) -> Task:
        """Prepare the data, unless they are, and return them with the method's settings."""
        folder = f"data.folder={json.dumps(str(self.images) if self.images else None)}"
        return replace(
            Task.prepare(self._settings(folder), self.store), settings=self._settings(folder, *self.overrides)
        )

    def row(self, one: Contestant, scores: Scores, images: int, trainings: int, *, from_nothing: bool) -> Row:
        """Return the row of a network that was handed over."""
        return Row(
            dataset=self.dataset,
            method=self.method,
            seed=self.seed,
            images=images,
            stage="final" if from_nothing else "search",
            arch_id=one.name,
            total_bytes=one.total_bytes,
            param_bytes=one.param_bytes,
            accuracy_validation=scores.validation,
            accuracy_test=scores.test,
            from_nothing=from_nothing,
            key=self.key,
            code=code_version("search"),
            trainings=trainings,
        )

    def _settings(self, *overrides: str) -> Settings:
        return load_settings(DATASETS[self.dataset], [*overrides, f"search.seed={self.seed}"])


def perform(run: Run) -> list[Row]:
    """Perform a run; one that was killed goes on from the trainings that it finished."""
    task, trainings, finals = run.task(), run.store / "trainings", run.store / "finals"
    if run.method not in ROUNDS and run.method not in PEERS:
        return list(_without_search(run, task, finals))
    tally = Tally()
    with suppress(SpentError):
        if run.method in PEERS:
            lengths = Lengths(yardstick.PEER_IMAGES, yardstick.STOPPABLE_IMAGES)
            PEERS[run.method](task.space, Trainer(task, tally, SEARCH_IMAGES, trainings, lengths), run.seed)
        else:
            search_plainly(task, tally, SEARCH_IMAGES, trainings, ROUNDS[run.method])
    handed_over = most_accurate(tally, task)
    found: list[Row] = []
    for one in handed_over:
        if one.key is not None:
            scores = Scores(one.accuracy or 0.0, test_as_it_is(one, task, trainings))
            found.append(run.row(one, scores, tally.images, tally.trainings, from_nothing=False))
    for number, one in enumerate(handed_over, start=1):
        scores, images = train_and_test(one, task, FINAL_IMAGES, finals), tally.images + number * FINAL_IMAGES
        found.append(run.row(one, scores, images, tally.trainings, from_nothing=True))
    return found


def most_accurate(tally: Tally, task: Task) -> list[Contestant]:
    """Return the network that a method takes for the most accurate within each limit, each once.

    It judges by what it measured, or as `search.choice` says.
    """
    every = [Contestant.of(one.architecture, task, one) for one in tally.networks.values()]
    judged = [one.accuracy or 0.0 for one in every]
    if task.settings.search.choice == "controller":
        examples = [Example(one.architecture, one.accuracy or 0.0) for one in tally.networks.values()]
        judged = estimated_accuracies(examples, task.settings)
    best = []
    for limit in LIMITS:
        within = [
            (accuracy, one.name, one) for accuracy, one in zip(judged, every, strict=True) if one.total_bytes <= limit
        ]
        if within:
            best.append(max(within, key=lambda entry: entry[:2])[2])
    return list(dict.fromkeys(best))


def _without_search(run: Run, task: Task, finals: Path) -> Iterator[Row]:
    """Yield the rows of a method that trains what it hands over, and nothing else."""
    if run.method == FIRST_LONGER:
        networks = tuple(Contestant.of(network, task) for network in task.space.seeds)
    else:
        networks = families.widest(run.method.removesuffix(LONGER), task)
    longer = run.method.endswith(LONGER)
    images = BUDGET // len(networks) if longer else FINAL_IMAGES
    for number, one in enumerate(networks, start=1):
        yield run.row(one, train_and_test(one, task, images, finals), number * images, 0, from_nothing=not longer)
