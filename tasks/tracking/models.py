"""The model registry: trained networks as versions of a registered model."""

import copy
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models.model import Model, ModelInfo
from mlflow.tracking._tracking_service.utils import _use_tracking_uri
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from tasks.tracking.runs import quoted

if TYPE_CHECKING:  # torch takes seconds to import, and only a winner's module needs it
    import numpy as np
    from torch import nn

_VARIABLE = "MLFLOW_TRACKING_URI"


class Models:
    """Registers the networks of one experiment; methods raise MLflow's exceptions.

    Only one thread of the process may be in `register`, as MLflow takes the store from the process there.
    """

    def __init__(self, client: MlflowClient, uri: str, experiment_id: str) -> None:
        self._client = client
        self._uri = uri
        self._experiment_id = experiment_id

    def register(
        self,
        round_run: str,
        candidate_run: str,
        module: "nn.Module",
        example: "np.ndarray",
        facts: str,
        model_name: str,
        files: Sequence[Path],
    ) -> str:
        """Register the trained network of a round's winner, once.

        MLflow keeps it as an exported graph (pt2), which loads without memnas and takes any number of images.
        `mlflow.pyfunc.load_model` gives names of classes with scores, `mlflow.pytorch.load_model` the graph.

        Args:
            round_run: Run of the round, or the search's run for the network that the search chose.
            candidate_run: Run that holds the model: the winner's, or the search's for the chosen network.
            module: The trained network, which is not changed; it takes uint8 images (n, height, width, channels).
            example: Such images, n ≥ 2.
            facts: JSON about input and output, with the names of the classes under `classes`.
            model_name: Name in the model registry.
            files: Files to keep next to the graph: the architecture's JSON and the weights.

        Returns:
            The version of the model under that name.
        """
        known = self._client.search_model_versions(f"name={quoted(model_name)} and run_id='{candidate_run}'")
        if known:
            return str(known[0].version)
        tags = self._client.get_run(candidate_run).data.tags
        labels = {key: value for key, value in tags.items() if key in ("search", "arch_id")}
        holder = self._client.create_logged_model(
            self._experiment_id, model_name, source_run_id=candidate_run, tags=labels
        )
        from tasks.tracking import flavor

        with _store_of_process(self._uri):
            model = Model.log(
                None,
                flavor,
                model_id=holder.model_id,
                network=copy.deepcopy(module).cpu().eval(),
                example=example,
                facts=facts,
                # By default MLflow loads the model in another process to see what it imports, which takes 12 s.
                pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow", "numpy", "torch")],
                extra_files=[str(path) for path in files],
                run_id=candidate_run,
                # Validation would load the file again and run it, a third of the total time, and only log what fails.
                validate_serving_input=False,
            )
            number = self._version_of(model_name, candidate_run, model, labels)
        if candidate_run != round_run:
            self._client.set_tag(round_run, "winner", labels["arch_id"])
            self._client.set_tag(candidate_run, "is_winner", "true")
        return number

    def set_best(self, model_name: str, model_version: str) -> None:
        """Give a version the alias `best`."""
        self._client.set_registered_model_alias(model_name, "best", model_version)

    def _version_of(self, name: str, run_id: str, model: ModelInfo, labels: dict[str, str]) -> str:
        """Create a version of a logged model; MLflow's own function prints to stderr, over the search's bars."""
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = self._client.create_model_version(name, model.model_uri, run_id, labels, model_id=model.model_id)
        link = json.dumps([{"name": name, "version": made.version}])
        self._client.set_logged_model_tags(model.model_id, {MLFLOW_MODEL_VERSIONS: link})
        return str(made.version)


@contextmanager
def _store_of_process(uri: str) -> Iterator[None]:
    """Set the store that MLflow takes from the process; it logs a model and makes a version of it in no other way."""
    before = os.environ.get(_VARIABLE)
    try:
        with _use_tracking_uri(uri):
            yield
    finally:
        if before is not None:  # MLflow sets the variable, too, and then removes it
            os.environ[_VARIABLE] = before
