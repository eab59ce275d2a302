"""The structure correlation controller (SCC): it ranks a round's candidates before any of them is trained.

    symbol   here                                                                    shape
    a_i      candidate i as a sequence of cell tokens                                (length, token bits)
    f_i      feature of candidate i: last state of the encoding GRU                  (hidden_size,)
    R-GRU    ranking GRU, which reads f_1 ... f_n as one sequence                    (n, hidden_size)
    y_i^p    linear layer on the ranking GRU's state after f_i                       scalar
    y_i      target: measured accuracy or Eq. 4, robustly standardised for training  scalar

The encoding GRU takes one step for each distinct prefix of all candidates (see `memnas_core.encoding`), and
all steps of one length are one batched call. The paper does not say in which order candidates reach the
ranking GRU. Here the order is new in each training epoch, so that no order is learned, and that of the
architectures' ids in prediction, so that scores do not depend on the order in which candidates are given.

Swapping the two branches of a cell does not change the network, but a GRU cannot know. Each training epoch
therefore swaps the branches of a random half of the tokens; predictions read them in canonical order. Trained
on 16 candidates of earlier rounds (with made-up accuracies), this raised Kendall's tau in the next round from
0.16 to 0.33, and on 48 from 0.47 to 0.54 (means of six seeds).

Source: section 3.3, Figure 2, Eq. 3.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from memnas_core.architecture import Architecture
from memnas_core.config import ControllerSettings, ControllerTarget, ObjectiveSettings
from memnas_core.encoding import PrefixTree, TokenLayout, layout_of, prefix_tree
from memnas_core.errors import InputError
from memnas_core.measure import MemoryFigures
from memnas_core.metric import Performance, score

LONGEST_SEQUENCE = 100
"""Examples that the ranking GRU reads in a row in training, the paper's k. More examples make several
sequences side by side: steps in a row cannot run in parallel, and 1,000 of them took five times as long as
ten times 100, without ranking better."""

LARGEST_TARGET = 3.0
"""Standardised targets are cut off at so many robust standard deviations: networks that stayed at chance are
far below all others, and with a squared error a few of them would be all that the controller learns."""

LARGEST_GRADIENT = 1.0
"""Norm to which gradients are clipped; epochs over 100 examples had a median of 1.7 and a maximum of 8."""

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Example:
    """An architecture that was trained, and the figure that the controller is to predict for it."""

    architecture: Architecture
    target: float


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


class SccNetwork(nn.Module):
    """Embedding layer, encoding GRU, ranking GRU and linear layer.

    Args:
        token_bits: Width of a token.
        embedding_size: Of an embedded token.
        hidden_size: Of both GRUs.
    """

    def __init__(self, token_bits: int, embedding_size: int, hidden_size: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(token_bits, embedding_size)
        self.encoder = nn.GRUCell(embedding_size, hidden_size)
        self.ranker = nn.GRU(hidden_size, hidden_size)
        self.head = nn.Linear(hidden_size, 1)

    def features(self, tree: "_TreeTensors") -> Tensor:
        """Return f_1 ... f_n, shape (n, hidden_size); each node of the tree is encoded once."""
        embedded = self.embedding(tree.tokens)
        state = embedded.new_zeros(1, self.encoder.hidden_size)  # the root: nothing read yet
        states = []
        for token, parent in tree.levels:
            state = self.encoder(embedded[token], state[parent])
            states.append(state)
        return torch.cat(states)[tree.ends]

    def scores(self, features: Tensor) -> Tensor:
        """Return the scores of candidates read in a row.

        Args:
            features: Shape (candidates in a row, sequences side by side, hidden_size).

        Returns:
            Shape (candidates in a row, sequences side by side).
        """
        states, _ = self.ranker(features)
        scores: Tensor = self.head(states)
        return scores.squeeze(-1)


@dataclass(frozen=True, slots=True, eq=False)
class Controller:
    """A trained controller.

    Attributes:
        network: The SCC.
        layout: Token layout of the examples.
        target: What is predicted.
        centre: Target that a score of 0 stands for.
        spread: Target units of a score of 1.
    """

    network: SccNetwork
    layout: TokenLayout
    target: ControllerTarget
    centre: float
    spread: float

    @classmethod
    def train(cls, settings: ControllerSettings, examples: Sequence[Example], seed: int) -> Self:
        """Train a controller from nothing on all examples.

        Each epoch is one step of Adam on Eq. 3 over all examples. Targets are standardised by `robust_scale`
        and cut off at `LARGEST_TARGET`. Token bits that no example has start with zero weights and keep them:
        what was never seen says nothing, rather than something random. The same examples, in any order, and
        the same seed give the same controller; torch's global random state is left as it was.

        Args:
            settings: The `controller` section.
            examples: At least one; candidates that failed to train are no examples.
            seed: Decides the first weights, the orders and the swaps.

        Raises:
            InputError: There is no example, or a target is not finite.
            ArchitectureError: The architectures' numbers of blocks differ.
        """
        if not examples:
            raise InputError("controller: expected at least one trained architecture as example, found none")
        for example in examples:
            if not np.isfinite(example.target):
                raise InputError(
                    f"controller: {example.architecture.arch_id}: expected a finite target, found "
                    f"{example.target}; leave out candidates that failed to train"
                )
        ordered = sorted(examples, key=lambda example: (example.architecture.arch_id, example.target))
        targets = np.array([example.target for example in ordered])
        architectures = [example.architecture for example in ordered]
        layout = layout_of(architectures)
        tree = _tensors(prefix_tree(architectures, layout))
        swapped = tree.tokens[:, layout.swapped_columns]
        centre, spread = robust_scale(targets)
        standardised = (targets - centre) / spread if spread > 0 else np.zeros_like(targets)
        clipped = torch.from_numpy(standardised.clip(-LARGEST_TARGET, LARGEST_TARGET).astype(np.float32))
        with _one_thread(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            network = SccNetwork(layout.width, settings.embedding_size, settings.hidden_size)
            with torch.no_grad():
                network.embedding.weight[:, (tree.tokens + swapped).sum(dim=0) == 0] = 0.0
            _fit(network, tree, swapped, clipped, settings, np.random.default_rng(seed))
        network.requires_grad_(False)
        return cls(network, layout, settings.target, centre, spread)

    def predict(self, architectures: Sequence[Architecture]) -> _Floats:
        """Return the predicted target of each architecture, all ranked in one sequence.

        A prediction depends on which other architectures are ranked with it, but not on their order here.

        Args:
            architectures: n of them; they may have more cells than any example.

        Returns:
            Predictions in the targets' unit, shape (n,).

        Raises:
            ArchitectureError: An architecture has another number of blocks than the examples.
        """
        if not architectures:
            return np.empty(0)
        layout = TokenLayout(max(self.layout.inputs, layout_of(architectures).inputs), self.layout.blocks)
        by_id = sorted(range(len(architectures)), key=lambda index: architectures[index].arch_id)
        tree = prefix_tree([architectures[index] for index in by_id], layout)
        # Inputs that no example had say nothing: without their bits, tokens fit the embedding layer.
        known = np.delete(tree.tokens, layout.input_columns(self.layout.inputs), axis=1)
        with _one_thread(), torch.no_grad():
            features = self.network.features(_tensors(replace(tree, tokens=known)))
            scores = self.network.scores(features.unsqueeze(1)).squeeze(1)
        predictions = np.empty(len(architectures))
        predictions[by_id] = self.centre + self.spread * scores.numpy().astype(np.float64)
        return predictions


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


def robust_scale(targets: _Floats) -> tuple[float, float]:
    """Return the centre and the spread by which targets are standardised.

    The centre is the median, the spread 1.4826 median absolute deviations, which is the standard deviation of
    a normal distribution. Neither moves much when a few networks stay at chance. Where half of the targets or
    more are equal, the spread would be 0 and is the standard deviation instead; where all are equal, it is 0.
    """
    centre = float(np.median(targets))
    spread = 1.4826 * float(np.median(np.abs(targets - centre)))
    return centre, spread if spread > 0 else float(targets.std())


@dataclass(frozen=True, slots=True, eq=False)
class _TreeTensors:
    """A prefix tree as torch reads it: token and parent of each level's nodes, see `PrefixTree`."""

    tokens: Tensor
    levels: tuple[tuple[Tensor, Tensor], ...]
    ends: Tensor


def _tensors(tree: PrefixTree) -> _TreeTensors:
    levels = tuple((torch.from_numpy(level.token), torch.from_numpy(level.parent)) for level in tree.levels)
    return _TreeTensors(torch.from_numpy(tree.tokens), levels, torch.from_numpy(tree.ends))


def _fit(
    network: SccNetwork,
    tree: _TreeTensors,
    swapped: Tensor,
    targets: Tensor,
    settings: ControllerSettings,
    rng: np.random.Generator,
) -> None:
    """Minimise Eq. 3.

    Args:
        network: Is changed in place.
        tree: The examples.
        swapped: The tree's tokens with the branches of every cell swapped.
        targets: Standardised, shape (n,).
        settings: Epochs and learning rate.
        rng: Draws the orders and the swaps.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    sequences = -(-len(targets) // LONGEST_SEQUENCE)
    length = -(-len(targets) // sequences)
    for _ in range(settings.epochs):
        # np.resize repeats a few where the sequences do not come out even: fewer than there are sequences.
        order = torch.from_numpy(np.resize(rng.permutation(len(targets)), (length, sequences)))
        is_swapped = torch.from_numpy(rng.random((len(swapped), 1)) < 0.5)
        epoch_tree = replace(tree, tokens=torch.where(is_swapped, swapped, tree.tokens))
        loss = nn.functional.mse_loss(network.scores(network.features(epoch_tree)[order]), targets[order])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        optimizer.step()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread: the matrices are small, and workers train on the other cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
