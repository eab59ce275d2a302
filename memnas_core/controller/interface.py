"""The structure correlation controller (SCC): it ranks a round's candidates before any of them is trained.

    version   module    what it is
    paper     `scc`     the paper's two GRUs
    improved  `forest`  the best version on Table 3's candidates (docs/controller.md)

`CONTROLLERS` names the versions. Every version learns either all of Eq. 4 or the accuracy alone (`target`).

Source: section 3.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from memnas_core.controller.examples import Example
from memnas_core.errors import InputError
from memnas_core.memory.figures import MemoryFigures
from memnas_core.objective.score import Performance, performance_of, score
from memnas_core.registry import Registry
from memnas_core.settings.kinds import ControllerTarget
from memnas_core.settings.schema import ControllerSettings, ObjectiveSettings
from memnas_core.space.architecture import Architecture

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PredictedScores:
    """The controller's predictions for n candidates.

    Attributes:
        score: Eq. 4's y relative to the round's base, shape (n,); candidates are ranked by it.
        accuracy: Accuracy, shape (n,), if the controller predicts it (`target: accuracy`). It is not
            clipped at 1, since the best candidates would then tie.
    """

    score: _Floats
    accuracy: _Floats | None


class Model(Protocol):
    """The trained part of a version of the controller, which predicts a figure of an architecture."""

    @classmethod
    def train(cls, settings: ControllerSettings, examples: Sequence[Example], seed: int) -> Self:
        """Train a model from scratch; arguments and errors as in `Controller.train`."""

    def predict(self, architectures: Sequence[Architecture]) -> _Floats:
        """Return the figure of each architecture; result and errors as in `Controller.predict`."""


CONTROLLERS: Registry[type[Model]] = Registry(
    "controller.version",
    {"paper": "memnas_core.controller.scc:PaperModel", "improved": "memnas_core.controller.forest:ForestModel"},
)
"""All versions, by the name that settings give them."""


@dataclass(frozen=True, slots=True, eq=False)
class Controller:
    """A trained controller.

    Attributes:
        target: The figure that it predicts.
        model: The trained model.
    """

    target: ControllerTarget
    model: Model

    @classmethod
    def train(cls, settings: ControllerSettings, examples: Sequence[Example], seed: int) -> Self:
        """Train a controller from scratch on all examples.

        The same examples, in any order, and the same seed give the same controller.

        Args:
            settings: The `controller` section.
            examples: One or more trained architectures, without candidates that failed to train.
            seed: Seed of the version's random choices.

        Raises:
            InputError: There is no example, or a target is not finite.
            ArchitectureError: The architectures' numbers of blocks differ.
        """
        return cls(settings.target, CONTROLLERS[settings.version].train(settings, examples, seed))

    def predict(self, architectures: Sequence[Architecture]) -> _Floats:
        """Return the predicted target of each architecture in the targets' unit, shape (n,).

        A prediction does not depend on the order in which architectures are given; in the paper's version it
        depends on which others are ranked with it.

        Raises:
            ArchitectureError: An architecture has another number of blocks than the examples.
        """
        return self.model.predict(architectures)


def examples_for(
    target: ControllerTarget,
    trained: Sequence[tuple[Architecture, Performance]],
    base: Performance,
    accuracy_weight: float,
) -> tuple[Example, ...]:
    """Return the controller's examples from all candidates trained so far.

    Eq. 4 is relative to a round's base, so scores of different rounds are not comparable. With `metric` the
    candidates of all rounds are therefore rescored against the current base, so that all targets are on the
    scale on which the next candidates are ranked.

    Args:
        target: The figure that the controller predicts.
        trained: Architectures with their measured accuracy and their memory.
        base: The base of the round whose candidates will be ranked.
        accuracy_weight: The paper's lambda.

    Raises:
        InputError: As in `memnas_core.objective.score.score`.
    """
    if target == "accuracy":
        return tuple(Example(architecture, measured.accuracy) for architecture, measured in trained)
    return tuple(Example(architecture, score(measured, base, accuracy_weight)) for architecture, measured in trained)


def predicted_scores(
    controller: Controller,
    architectures: Sequence[Architecture],
    memory: Sequence[MemoryFigures],
    base: Performance,
    objective: ObjectiveSettings,
) -> PredictedScores:
    """Return the predicted Eq. 4 of candidates, all ranked in one batched call.

    With `target: accuracy` only the accuracy is predicted; the memory terms of Eq. 4 are exact, since they
    are known before training. With `target: metric` the controller predicts y itself, as in the paper;
    it must have been trained on `examples_for` the same base.

    Args:
        controller: A trained controller.
        architectures: The n candidates.
        memory: Their memory figures, in the same order.
        base: The round's base.
        objective: lambda and the convention of the activation peak.

    Raises:
        InputError: The lengths differ; or as in `memnas_core.objective.score.score`.
        ArchitectureError: As in `Controller.predict`.
    """
    if len(memory) != len(architectures):
        raise InputError(f"expected memory figures of {len(architectures)} candidates, found {len(memory)}")
    predicted = controller.predict(architectures)
    if controller.target == "metric":
        return PredictedScores(score=predicted, accuracy=None)
    scores = [
        score(performance_of(figures, accuracy, objective), base, objective.accuracy_weight)
        for accuracy, figures in zip(predicted.tolist(), memory, strict=True)
    ]
    return PredictedScores(score=np.array(scores, dtype=np.float64), accuracy=predicted)
