"""Loader of a registered network in MLflow: images in, names of classes and scores out.

A copy of this file lies in each model, so that the model loads where memnas is not installed. It may therefore import
nothing of memnas, and its name must be one that no other package has.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    import pandas as pd

FACTS_FILE = "classifier.json"


class Classifier:
    """What `mlflow.pyfunc.load_model` wraps; MLflow compares images with the model's signature before they come here.

    Attributes:
        facts: Classes, and everything that turns a photo into an input.
    """

    def __init__(self, network: torch.nn.Module, facts: dict[str, object]) -> None:
        self.facts = facts
        self._network = network
        self._classes = np.asarray(facts["classes"], dtype=object)

    def predict(self, images: np.ndarray, params: dict[str, object] | None = None) -> "pd.DataFrame":  # noqa: ARG002
        """Return a row for each image.

        Args:
            images: uint8, shape (n, height, width, channels); colours are red, green, blue.
            params: Nothing that has an effect; MLflow passes it.

        Returns:
            Columns `class` (name of the class with the largest score), `score` (its score in [0, 1]) and `scores` (name
            of each class -> score; they add up to 1).
        """
        import pandas as pd  # MLflow needs it anyway

        with torch.inference_mode():
            # A copy, as torch takes neither arrays that are read-only nor views that are turned or mirrored.
            scores = self._network(torch.from_numpy(images.copy())).softmax(1).numpy().astype(float)
        return pd.DataFrame(
            {
                "class": self._classes[scores.argmax(1)],
                "score": scores.max(1),
                "scores": [dict(zip(self._classes, map(float, row), strict=True)) for row in scores],
            }
        )


def _load_pyfunc(path: str) -> Classifier:
    """Return the classifier in a model's folder; MLflow calls this."""
    from mlflow import pytorch

    facts = json.loads(Path(path, FACTS_FILE).read_text(encoding="utf-8"))
    return Classifier(pytorch.load_model(path), facts)
