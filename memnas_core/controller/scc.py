"""The structure correlation controller (SCC) as the paper describes it.

    symbol   here                                                                    shape
    a_i      candidate i as a sequence of cell tokens                                (length, token bits)
    f_i      feature of candidate i: last state of the encoding GRU                  (hidden_size,)
    R-GRU    ranking GRU, which reads f_1 ... f_n as one sequence                    (n, hidden_size)
    y_i^p    linear layer on the ranking GRU's state after f_i                       scalar
    y_i      target: measured accuracy or Eq. 4, robustly standardised for training  scalar

The encoding GRU takes one step for each distinct prefix of all candidates (see `memnas_core.controller.encoding`), and
all steps of one length are one batched call. The paper does not say in which order candidates reach the
ranking GRU. Here each training epoch draws a new order, so that no order is learned, and prediction uses the
order of the architectures' ids, so that scores do not depend on the order in which candidates are given.

Swapping the two branches of a cell does not change the network, but a GRU cannot know that. Each training epoch
therefore swaps the branches of a random half of the tokens; predictions read them in canonical order. Trained
on 16 candidates of earlier rounds (with made-up accuracies), this raised Kendall's tau in the next round from
0.16 to 0.33, and on 48 from 0.47 to 0.54 (means of six seeds).

Source: section 3.3, Figure 2, Eq. 3.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from memnas_core.controller.encoding import PrefixTree, TokenLayout, layout_of, prefix_tree
from memnas_core.controller.examples import Example, in_order, targets_of
from memnas_core.settings.schema import ControllerSettings
from memnas_core.space.architecture import Architecture

LONGEST_SEQUENCE = 100
"""Longest sequence that the ranking GRU reads in training, the paper's k. More examples are split into a batch
of sequences, since steps of one sequence cannot run in parallel: one of 1,000 took five times as long as ten
of 100, without ranking better."""

LARGEST_GRADIENT = 1.0
"""Norm to which gradients are clipped; epochs over 100 examples had a median of 1.7 and a maximum of 8."""

_Floats = npt.NDArray[np.float64]


class EncoderNetwork(nn.Module):
    """Embedding layer and encoding GRU: the part that every controller of Table 3 has.

    Args:
        token_bits: Width of a token.
        embedding_size: Size of an embedded token.
        hidden_size: State size of the GRU.
        layers: Number of GRU layers, each reading the states of the one below.
    """

    def __init__(self, token_bits: int, embedding_size: int, hidden_size: int, layers: int = 1) -> None:
        super().__init__()
        self.embedding = nn.Linear(token_bits, embedding_size)
        sizes = [embedding_size, *[hidden_size] * layers]
        self.encoder = nn.ModuleList(nn.GRUCell(size, hidden_size) for size in sizes[:-1])

    def features(self, tree: "_TreeTensors") -> Tensor:
        """Return f_1 ... f_n, shape (n, hidden_size); each node of the tree is encoded once."""
        embedded = self.embedding(tree.tokens)
        states = [embedded.new_zeros(1, cell.hidden_size) for cell in self.encoder]  # state of the empty prefix
        last = []
        for token, parent in tree.levels:
            read = embedded[token]
            for layer, cell in enumerate(self.encoder):
                read = states[layer] = cell(read, states[layer][parent])
            last.append(read)
        return torch.cat(last)[tree.ends]

    def scores(self, features: Tensor) -> Tensor:
        """Return the scores of candidates, read as sequences.

        Args:
            features: Features of the candidates, shape (length of a sequence, sequences, hidden_size).

        Returns:
            Scores, shape (length of a sequence, sequences).
        """
        raise NotImplementedError


class SccNetwork(EncoderNetwork):
    """Embedding layer, encoding GRU, ranking GRU and linear layer.

    Args:
        token_bits: Width of a token.
        embedding_size: Size of an embedded token.
        hidden_size: State size of both GRUs.
    """

    def __init__(self, token_bits: int, embedding_size: int, hidden_size: int) -> None:
        super().__init__(token_bits, embedding_size, hidden_size)
        self.ranker = nn.GRU(hidden_size, hidden_size)
        self.head = nn.Linear(hidden_size, 1)

    def scores(self, features: Tensor) -> Tensor:
        """Return the scores of candidates, each of which depends on the candidates read before it."""
        states, _ = self.ranker(features)
        scores: Tensor = self.head(states)
        return scores.squeeze(-1)


@dataclass(frozen=True, slots=True, eq=False)
class PaperModel:
    """A trained SCC of the paper.

    Attributes:
        network: The SCC.
        layout: Token layout of the examples.
        centre: Target that a score of 0 stands for.
        spread: Target difference that a score of 1 stands for.
    """

    network: EncoderNetwork
    layout: TokenLayout
    centre: float
    spread: float

    @classmethod
    def train(
        cls,
        settings: ControllerSettings,
        examples: Sequence[Example],
        seed: int,
        make_network: Callable[[int, int, int], EncoderNetwork] = SccNetwork,
    ) -> Self:
        """Train an SCC from scratch on all examples.

        Each epoch is one step of Adam on Eq. 3 over all examples. Targets are standardised by `robust_scale`
        and clipped at `LARGEST_TARGET`. The weights of token bits that no example has start at zero and stay there,
        so that unseen bits have no effect instead of a random one. The same examples, in any order, and the same
        seed give the same model; torch's global random state does not change.

        Args:
            settings: The `controller` section.
            examples: One or more trained architectures, without candidates that failed to train.
            seed: Seed of the initial weights, the orders and the swaps.
            make_network: Function from token width, embedding size and hidden size to the network.

        Raises:
            InputError: There is no example, or a target is not finite.
            ArchitectureError: The architectures' numbers of blocks differ.
        """
        ordered = in_order(examples)
        targets = targets_of(ordered)
        architectures = [example.architecture for example in ordered]
        layout = layout_of(architectures)
        tree = _tensors(prefix_tree(architectures, layout))
        swapped = tree.tokens[:, layout.swapped_columns]
        standardised = torch.from_numpy(targets.standardised.astype(np.float32))
        with _one_thread(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            network = make_network(layout.width, settings.embedding_size, settings.hidden_size)
            with torch.no_grad():
                network.embedding.weight[:, (tree.tokens + swapped).sum(dim=0) == 0] = 0.0
            _fit(network, tree, swapped, standardised, settings, np.random.default_rng(seed))
        network.requires_grad_(False)
        return cls(network, layout, targets.centre, targets.spread)

    def predict(self, architectures: Sequence[Architecture]) -> _Floats:
        """Return the predicted target of each architecture, all ranked in one sequence.

        A prediction depends on which other architectures are ranked with it, but not on their order.

        Args:
            architectures: n architectures, which may have more cells than any example.

        Returns:
            Predictions in the targets' unit, shape (n,).

        Raises:
            ArchitectureError: An architecture has another number of blocks than the examples, or an optional operation
                that none of them has.
        """
        if not architectures:
            return np.empty(0)
        layout = replace(self.layout, inputs=max(self.layout.inputs, layout_of(architectures).inputs))
        by_id = sorted(range(len(architectures)), key=lambda index: architectures[index].arch_id)
        tree = prefix_tree([architectures[index] for index in by_id], layout)
        # Bits of inputs that no example had are dropped, so that tokens fit the embedding layer.
        known = np.delete(tree.tokens, layout.input_columns(self.layout.inputs), axis=1)
        with _one_thread(), torch.no_grad():
            features = self.network.features(_tensors(replace(tree, tokens=known)))
            scores = self.network.scores(features.unsqueeze(1)).squeeze(1)
        predictions = np.empty(len(architectures))
        predictions[by_id] = self.centre + self.spread * scores.numpy().astype(np.float64)
        return predictions


@dataclass(frozen=True, slots=True, eq=False)
class _TreeTensors:
    """A `PrefixTree` as torch tensors; each level holds the tokens and the parents of its nodes."""

    tokens: Tensor
    levels: tuple[tuple[Tensor, Tensor], ...]
    ends: Tensor


def _tensors(tree: PrefixTree) -> _TreeTensors:
    levels = tuple((torch.from_numpy(level.token), torch.from_numpy(level.parent)) for level in tree.levels)
    return _TreeTensors(torch.from_numpy(tree.tokens), levels, torch.from_numpy(tree.ends))


def _fit(
    network: EncoderNetwork,
    tree: _TreeTensors,
    swapped: Tensor,
    targets: Tensor,
    settings: ControllerSettings,
    rng: np.random.Generator,
) -> None:
    """Minimise Eq. 3.

    Args:
        network: The network, which is changed in place.
        tree: Prefix tree of the examples.
        swapped: The tree's tokens with the branches of every cell swapped.
        targets: Standardised targets, shape (n,).
        settings: Epochs and learning rate.
        rng: Random source of the orders and the swaps.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    sequences = -(-len(targets) // LONGEST_SEQUENCE)
    length = -(-len(targets) // sequences)
    for _ in range(settings.epochs):
        # np.resize repeats examples to fill the last places, fewer than there are sequences.
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
