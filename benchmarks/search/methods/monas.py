"""MONAS's idea on this space: a recurrent policy writes networks, and REINFORCE moves it towards their rewards.

The policy is an LSTM that chooses one flat parameter of a network after the other
(`benchmarks.search.methods.encoding`). The reward mixes accuracy and memory; a network that is too large has the
reward 0 and costs no images.

Source: Hsu et al., 2018 (MONAS), after Zoph and Le, 2017. Theirs trains hundreds of networks, a budget that this
yardstick does not have; the step size is larger here.
"""

import torch
from torch import Tensor, nn

from benchmarks.search.methods.encoding import Choices, decode, parameters
from benchmarks.search.methods.interface import Evaluate, Figures
from benchmarks.search.methods.space import Space

HIDDEN = 32
LEARNING_RATE = 0.01
BASELINE = 0.8
"""Share of the old baseline in the new one."""

ACCURACY_SHARE = 0.5
"""Of accuracy in the reward; memory has the rest."""

MOST_CELLS = 2
"""Cells of a block that the policy may write: uniform parameters of more are too large, almost always."""


class Policy(nn.Module):
    """Writes the parameters of a network one by one.

    Args:
        choices: Number of values of each parameter.
        seed: Seed of its weights and of what it writes.
    """

    def __init__(self, choices: list[int], seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self._generator = torch.Generator().manual_seed(seed)  # trainings use the global one
        self._most = max(choices)
        self._embed = nn.Embedding(self._most + 1, HIDDEN)
        self._cell = nn.LSTMCell(HIDDEN, HIDDEN)
        self._heads = nn.ModuleList(nn.Linear(HIDDEN, count) for count in choices)

    def write(self) -> tuple[list[int], Tensor]:
        """Return the number of the value of each parameter, and the logarithm of their probability, a scalar."""
        state = torch.zeros(1, HIDDEN), torch.zeros(1, HIDDEN)
        last, values, total = torch.tensor([self._most]), [], torch.zeros(())
        for head in self._heads:
            state = self._cell(self._embed(last), state)
            log_probabilities = head(state[0])[0].log_softmax(0)
            last = torch.multinomial(log_probabilities.exp(), 1, generator=self._generator)
            values.append(int(last))
            total = total + log_probabilities[last].sum()
        return values, total


def search(space: Space, evaluate: Evaluate, seed: int) -> None:
    """Let the policy write networks until the images are spent."""
    table: dict[str, Choices] = dict(parameters(len(space.seeds[0].blocks), MOST_CELLS, space.filters))
    policy = Policy([len(choices) for choices in table.values()], seed)
    optimizer = torch.optim.Adam(policy.parameters(), lr=LEARNING_RATE)
    known: dict[str, Figures] = {}
    for network in space.seeds:
        known[network.arch_id] = evaluate(network)
    baseline = 0.0
    while True:
        values, log_probability = policy.write()
        chosen = {name: choices[value] for (name, choices), value in zip(table.items(), values, strict=True)}
        network = decode(chosen, space.seeds[0])
        reward = 0.0
        if space.has(network):
            if network.arch_id not in known:
                known[network.arch_id] = evaluate(network)
            accuracy, total_bytes = known[network.arch_id]
            saved = 1 - space.box.losses(accuracy, total_bytes)[1]
            reward = ACCURACY_SHARE * accuracy + (1 - ACCURACY_SHARE) * saved
        loss = -(reward - baseline) * log_probability
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        baseline = BASELINE * baseline + (1 - BASELINE) * reward
