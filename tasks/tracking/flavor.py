"""How a network is written as a model of MLflow: as MLflow's PyTorch flavor does, with a loader of our own.

MLflow's loader would hand the caller what the network computes, numbers without names.
"""

from pathlib import Path

import numpy as np
from mlflow import pyfunc, pytorch
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Map
from torch import nn

from tasks.tracking import memnas_classifier

CODE = "code"


def save_model(
    path: str,
    mlflow_model: Model,
    network: nn.Module,
    example: np.ndarray,
    facts: str,
    pip_requirements: list[str],
    extra_files: list[str],
    validate_serving_input: bool,  # noqa: ARG001 -- `Model.log` reads it
) -> None:
    """Write a model into a folder; `Model.log` calls this.

    Args:
        path: The folder.
        mlflow_model: The model's description, which is completed.
        network: Maps uint8 images (n, height, width, channels) to scores (n, classes).
        example: Such images, n >= 2.
        facts: JSON with the names of the classes under `classes`.
        pip_requirements: What the model needs to load.
        extra_files: Files to keep beside the network.
        validate_serving_input: Whether MLflow loads the model again and runs it.
    """
    size = (-1, *example.shape[1:])
    pytorch.save_model(
        network,
        path,
        mlflow_model=mlflow_model,
        code_paths=[memnas_classifier.__file__],
        signature=ModelSignature(inputs=Schema([TensorSpec(example.dtype, size, "images")])),
        input_example=example,
        pip_requirements=pip_requirements,
        extra_files=extra_files,
    )
    Path(path, memnas_classifier.FACTS_FILE).write_text(facts, encoding="utf-8")
    settings = dict(mlflow_model.flavors[pyfunc.FLAVOR_NAME])
    environment = settings[pyfunc.ENV]
    pyfunc.add_to_model(
        mlflow_model,
        loader_module=memnas_classifier.__name__.rpartition(".")[2],
        code=CODE,
        conda_env=environment["conda"],
        python_env=environment["virtualenv"],
    )
    mlflow_model.signature = ModelSignature(
        inputs=Schema([TensorSpec(example.dtype, size)]),
        outputs=Schema(
            [
                ColSpec(DataType.string, "class"),
                ColSpec(DataType.double, "score"),
                ColSpec(Map(DataType.double), "scores"),
            ]
        ),
    )
    mlflow_model.save(str(Path(path, MLMODEL_FILE_NAME)))
