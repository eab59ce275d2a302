"""The model registry: trained networks as versions of a registered model."""

import copy
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models.model import ModelInfo
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from tasks.tracking.runs import quoted

if TYPE_CHECKING:  # torch takes seconds to import, and only a winner's module needs it
    import numpy as np
    from torch import nn


class Models:
    """Registers the networks of one experiment. Methods raise what MLflow raises; one thread at a time."""

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
        model_name: str,
        files: Sequence[Path],
    ) -> str:
        """Register the trained network of a round's winner, once.

        MLflow keeps it as an exported graph (pt2), which loads without memnas and takes any batch size.

        Args:
            round_run: Run of the round; the search's for the network that the search chose.
            candidate_run: Run that holds the model: the winner's; the search's for the chosen network.
            module: The trained network; it is left as it is.
            example: Images (batch ≥ 2, C, H, W), float32.
            model_name: Name in the model registry.
            files: What lies beside the graph: the architecture's JSON and the weights.

        Returns:
            The version under that name.
        """
        known = self._client.search_model_versions(f"name={quoted(model_name)} and run_id='{candidate_run}'")
        if known:
            return str(known[0].version)
        tags = self._client.get_run(candidate_run).data.tags
        labels = {key: value for key, value in tags.items() if key in ("search", "arch_id")}
        holder = self._client.create_logged_model(
            self._experiment_id, model_name, source_run_id=candidate_run, tags=labels
        )
        # The one call without a client of its own; it asks the process for the store.
        mlflow.set_tracking_uri(self._uri)
        mlflow.set_registry_uri(self._uri)
        from mlflow import pytorch

        model = pytorch.log_model(
            copy.deepcopy(module).cpu().eval(),
            model_id=holder.model_id,
            input_example=example,
            # Left to itself MLflow loads the model in another process to see what it imports: 12 s.
            pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow", "numpy", "torch")],
            extra_files=[str(path) for path in files],
            run_id=candidate_run,
            # It would load the file again and run it, a third of all this takes, and only log what goes wrong.
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
        """Make a version of a logged model; MLflow's own way prints to stderr, over the search's bars."""
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = self._client.create_model_version(name, model.model_uri, run_id, labels, model_id=model.model_id)
        link = json.dumps([{"name": name, "version": made.version}])
        self._client.set_logged_model_tags(model.model_id, {MLFLOW_MODEL_VERSIONS: link})
        return str(made.version)
