"""The rows of Table 3: which method learns, and what it learns to predict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from experiments.controllers import baselines, recurrent
from experiments.controllers.baselines import Predict
from experiments.controllers.protocol import Array, Known
from memnas_core.controller.examples import Example
from memnas_core.controller.interface import Controller
from memnas_core.controller.scc import EncoderNetwork, PaperModel
from memnas_core.settings.kinds import ControllerVersion
from memnas_core.settings.schema import ControllerSettings

Target = Literal["accuracy", "metric"]
Fit = Callable[[ControllerSettings, Sequence[Known], Array, int], Predict]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A row of Table 3.

    Attributes:
        name: Name in the table.
        learner: Key of `LEARNERS`.
        target: `metric` learns all of Eq. 4, as the paper's controller does; `accuracy` learns only the accuracy, and
            the memory terms of Eq. 4, which are known, enter exactly.
    """

    name: str
    learner: str
    target: Target


def _random_order(settings: ControllerSettings, train: Sequence[Known], targets: Array, seed: int) -> Predict:
    del settings, train, targets
    rng = np.random.default_rng(seed)
    return lambda candidates: rng.random(len(candidates))


def _scc(version: ControllerVersion) -> Fit:
    def fit(settings: ControllerSettings, train: Sequence[Known], targets: Array, seed: int) -> Predict:
        trained = Controller.train(replace(settings, version=version), _examples(train, targets), seed)
        return lambda candidates: trained.predict([known.architecture for known in candidates])

    return fit


def _recurrent(make_network: Callable[[int, int, int], EncoderNetwork]) -> Fit:
    def fit(settings: ControllerSettings, train: Sequence[Known], targets: Array, seed: int) -> Predict:
        trained = PaperModel.train(settings, _examples(train, targets), seed, make_network)
        return lambda candidates: trained.predict([known.architecture for known in candidates])

    return fit


def _examples(train: Sequence[Known], targets: Array) -> list[Example]:
    return [Example(known.architecture, target) for known, target in zip(train, targets.tolist(), strict=True)]


def _library(fit: Callable[[Sequence[Known], Array, int], Predict]) -> Fit:
    def with_settings(settings: ControllerSettings, train: Sequence[Known], targets: Array, seed: int) -> Predict:
        del settings  # it has its own
        return fit(train, targets, seed)

    return with_settings


LEARNERS: Mapping[str, Fit] = {
    "random": _random_order,
    "parameters": _library(baselines.parameters_alone),
    "single-rnn": _recurrent(recurrent.single_rnn),
    "double-rnn": _recurrent(recurrent.double_rnn),
    "boosting-structural": _library(baselines.boosting_structural),
    "boosting-flat": _library(baselines.boosting_flat),
    "boosting-ranking": _library(baselines.boosting_ranking),
    "gaussian-process": _library(baselines.gaussian_process),
    "scc-paper": _scc("paper"),
    "default": _scc("improved"),
}

_TARGETS: tuple[tuple[str, Target], ...] = (("", "metric"), (", accuracy + exact memory", "accuracy"))
"""The ending of a controller's name for each target that it can predict."""

DEFAULT = "line + forest (accuracy + exact memory)"
PAPERS_SCC = "SCC (paper: metric)"
SINGLE_RNN = "Single-RNN"
"""Names of the project's default controller, of the paper's own, and of the simplest one that the paper compares."""

CONTESTANTS: tuple[Contestant, ...] = (
    Contestant("random order", "random", "metric"),
    *(
        Contestant(name + ending, learner, target)
        for name, learner in (
            ("parameters alone", "parameters"),
            (SINGLE_RNN, "single-rnn"),
            ("Double-RNN", "double-rnn"),
            ("boosting: structural features", "boosting-structural"),
            ("boosting: flat encoding", "boosting-flat"),
            ("Gaussian process: structural features", "gaussian-process"),
        )
        for ending, target in _TARGETS
    ),
    Contestant("boosting: ranking objective", "boosting-ranking", "metric"),
    Contestant(PAPERS_SCC, "scc-paper", "metric"),
    Contestant("SCC (paper: accuracy + exact memory)", "scc-paper", "accuracy"),
    Contestant(DEFAULT, "default", "accuracy"),
)
