"""Trained networks as models of their runs, and those that searches hand over as versions of a registered model."""

import copy
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models.model import Model
from mlflow.tracking._tracking_service.utils import _use_tracking_uri
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from tasks.tracking.runs import quoted

if TYPE_CHECKING:  # torch takes seconds to import, and only a winner's module needs it
    import numpy as np
    from torch import nn

_VARIABLE = "MLFLOW_TRACKING_URI"


class Models:
    """Logs and registers the networks of one experiment; methods raise MLflow's exceptions.

    Only one thread of the process may be in `log`, as MLflow takes the store from the process there.
    """

    def __init__(self, client: MlflowClient, uri: str, experiment_id: str) -> None:
        self._client = client
        self._uri = uri
        self._experiment_id = experiment_id

    def log(
        self,
        run_id: str,
        module: "nn.Module",
        example: "np.ndarray",
        facts: str,
        name: str,
        files: Sequence[Path],
    ) -> str:
        """Keep a trained network as the model of a run, once.

        MLflow keeps it as an exported graph (pt2), which loads without memnas and takes any number of images.
        `mlflow.pyfunc.load_model` gives names of classes with scores, `mlflow.pytorch.load_model` the graph.

        Args:
            run_id: The run: a candidate's, or the search's for the chosen network.
            module: The trained network, which is not changed; it takes uint8 images (n, height, width, channels).
            example: Such images, n ≥ 2.
            facts: JSON about input and output, with the names of the classes under `classes`.
            name: Name of the model.
            files: Files to keep next to the graph: the architecture's JSON and the weights.

        Returns:
            The model's id.
        """
        for known in self._client.search_logged_models([self._experiment_id], f"source_run_id = {quoted(run_id)}"):
            if known.status is LoggedModelStatus.READY:  # of which no part is missing
                return str(known.model_id)
        holder = self._client.create_logged_model(
            self._experiment_id, name, source_run_id=run_id, tags=self._labels(run_id)
        )
        from tasks.tracking import flavor

        with _store_of_process(self._uri):
            Model.log(
                None,
                flavor,
                model_id=holder.model_id,
                network=copy.deepcopy(module).cpu().eval(),
                example=example,
                facts=facts,
                # By default MLflow loads the model in another process to see what it imports, which takes 12 s.
                pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow", "numpy", "torch")],
                extra_files=[str(path) for path in files],
                run_id=run_id,
                # Validation would load the file again and run it, a third of the total time, and only log what fails.
                validate_serving_input=False,
            )
        return str(holder.model_id)

    def register(self, run_id: str, model_id: str, name: str) -> None:
        """Make the model of a run a version of a registered model, once.

        MLflow's own function prints to stderr, over the search's bars.

        Args:
            run_id: The run.
            model_id: Id of its model.
            name: Name of the registered model, which is made if there is none.
        """
        if self._client.search_model_versions(f"name={quoted(name)} and run_id='{run_id}'"):
            return
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        labels = self._labels(run_id)
        with _store_of_process(self._uri):  # where the URI is looked up
            made = self._client.create_model_version(name, f"models:/{model_id}", run_id, labels, model_id=model_id)
        link = json.dumps([{"name": name, "version": made.version}])
        self._client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: link})

    def _labels(self, run_id: str) -> dict[str, str]:
        tags = self._client.get_run(run_id).data.tags
        return {key: value for key, value in tags.items() if key in ("search", "arch_id")}


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
