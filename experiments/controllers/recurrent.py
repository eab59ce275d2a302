"""The conventional controllers of Table 3: a GRU of one or two layers that scores each candidate alone.

They read the same tokens as the SCC in the same order, have layers of the same sizes, and are trained in the same way:
Adam on the squared error, swapped branches, standardised and clipped targets.

Source: section 4.5; sizes as in section 3.3.
"""

from functools import partial

from torch import Tensor, nn

from memnas_core.controller.scc import EncoderNetwork


class RecurrentNetwork(EncoderNetwork):
    """Embedding layer, encoding GRU and linear layer."""

    def __init__(self, token_bits: int, embedding_size: int, hidden_size: int, layers: int) -> None:
        super().__init__(token_bits, embedding_size, hidden_size, layers)
        self.head = nn.Linear(hidden_size, 1)

    def scores(self, features: Tensor) -> Tensor:
        """Return the scores of candidates, each computed from its own features alone."""
        scores: Tensor = self.head(features)
        return scores.squeeze(-1)


single_rnn = partial(RecurrentNetwork, layers=1)
double_rnn = partial(RecurrentNetwork, layers=2)
