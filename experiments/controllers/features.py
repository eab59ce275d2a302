"""Architectures as rows of numbers of fixed length, for predictors that cannot read sequences."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from experiments.controllers.protocol import Array, Known
from memnas_core.controller.encoding import cell_major, layout_of
from memnas_core.controller.features import whole_features


def structural_features(candidates: Sequence[Known]) -> Array:
    """Return known facts of each candidate, the same that the SCC can read; shape (n, features).

    They are the facts of each block, their sums over the blocks, and the logarithms of parameter bytes and of the
    peaks under the three conventions.
    """
    return np.stack([whole_features(candidate.architecture, candidate.memory) for candidate in candidates])


class FlatEncoding:
    """The controllers' own tokens side by side, with a fixed place for each cell, and zeros where there is no cell."""

    def __init__(self, candidates: Sequence[Known]) -> None:
        """Lay out rows for the candidates that are learned from; cells and inputs beyond theirs are cut off."""
        self._layout = layout_of([candidate.architecture for candidate in candidates])

    def __call__(self, candidates: Sequence[Known]) -> Array:
        """Return one row for each candidate; shape (n, blocks * cells * token bits)."""
        inputs = layout_of([candidate.architecture for candidate in candidates]).inputs
        wide = replace(self._layout, inputs=max(self._layout.inputs, inputs))
        beyond = wide.input_columns(self._layout.inputs)
        cells = self._layout.inputs  # as many as the largest block has
        rows = np.zeros((len(candidates), cells, self._layout.blocks, self._layout.width))
        for row, candidate in zip(rows, candidates, strict=True):
            places = [0] * self._layout.blocks
            for token in cell_major(candidate.architecture):
                if places[token.block] < cells:
                    row[places[token.block], token.block] = np.delete(token.ordered().bits(wide), beyond)
                places[token.block] += 1
        return rows.reshape(len(candidates), -1)
