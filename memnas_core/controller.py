"""The structure correlation controller (SCC): it ranks a round's candidates before any of them is trained.

    version   module               what it is
    paper     `controller_paper`   the paper's two GRUs
    improved  `controller_forest`  what measured best on Table 3's candidates (see docs)

Whatever the version, a controller learns either all of Eq. 4 or the accuracy alone (`target`).

Source: section 3.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from memnas_core.architecture import Architecture
from memnas_core.config import ControllerSettings, ControllerTarget, ObjectiveSettings
from memnas_core.controller_forest import ForestModel
from memnas_core.controller_paper import PaperModel
from memnas_core.errors import InputError
from memnas_core.examples import Example
from memnas_core.measure import MemoryFigures
from memnas_core.metric import Performance, score

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PredictedScores:
    """What the controller expects of n candidates.

    Attributes:
        score: Eq. 4's y relative to the round's base, shape (n,); candidates are ranked by it.
        accuracy: Accuracy, shape (n,), where the controller predicts it (`target: accuracy`). It is not cut
            off at 1, which would make the best candidates equal.
    """

    score: _Floats
    accuracy: _Floats | None


@dataclass(frozen=True, slots=True, eq=False)
class Controller:
    """A trained controller.

    Attributes:
        target: What it predicts.
        model: What it has learned.
    """

    target: ControllerTarget
    model: PaperModel | ForestModel

    @classmethod
    def train(cls, settings: ControllerSettings, examples: Sequence[Example], seed: int) -> Self:
        """Train a controller from nothing on all examples.

        The same examples, in any order, and the same seed give the same controller.

        Args:
            settings: The `controller` section.
            examples: At least one; candidates that failed to train are no examples.
            seed: Decides what the version leaves to chance.

        Raises:
            InputError: There is no example, or a target is not finite.
            ArchitectureError: The architectures' numbers of blocks differ.
        """
        if settings.version == "paper":
            return cls(settings.target, PaperModel.train(settings, examples, seed))
        return cls(settings.target, ForestModel.train(examples, seed))

    def predict(self, architectures: Sequence[Architecture]) -> _Floats:
        """Return the predicted target of each architecture in the targets' unit, shape (n,).

        A prediction does not depend on the order in which architectures are given; that of the paper's version
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
    """Return what the controller learns from all candidates trained so far.

    Eq. 4 is relative to a round's base, so scores of different rounds do not compare. With `metric` every
    candidate, of whichever round, is therefore scored anew against the current base: all targets are on the
    scale on which the coming candidates will be ranked.

    Args:
        target: What the controller predicts.
        trained: Architectures with their measured accuracy and their memory.
        base: The base of the round whose candidates will be ranked.
        accuracy_weight: The paper's lambda.

    Raises:
        InputError: As `metric.score`.
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

    With `target: accuracy` only the accuracy is predicted, and the memory terms of Eq. 4, which are known
    before training, enter exactly. With `target: metric` the controller predicts y itself, as in the paper;
    it must have been trained on `examples_for` the same base.

    Args:
        controller: A trained controller.
        architectures: The n candidates.
        memory: Their memory figures, in the same order.
        base: The round's base.
        objective: lambda and the convention of the activation peak.

    Raises:
        InputError: The lengths differ; or as `metric.score`.
        ArchitectureError: As `Controller.predict`.
    """
    if len(memory) != len(architectures):
        raise InputError(f"expected memory figures of {len(architectures)} candidates, found {len(memory)}")
    predicted = controller.predict(architectures)
    if controller.target == "metric":
        return PredictedScores(score=predicted, accuracy=None)
    performances = (
        Performance(accuracy, figures.activation_bytes(objective.activation_convention), figures.param_bytes)
        for accuracy, figures in zip(predicted.tolist(), memory, strict=True)
    )
    scores = [score(performance, base, objective.accuracy_weight) for performance in performances]
    return PredictedScores(score=np.array(scores, dtype=np.float64), accuracy=predicted)
