"""The images of a search as MLflow shows the input of a run."""

import json

import numpy as np
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.schema import TensorDatasetSchema
from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_SOURCE_NAME

from memnas_core.data import DatasetInfo

_DIGITS = 12  # of a digest, as elsewhere in memnas; MLflow takes 36


def dataset_input(info: DatasetInfo) -> DatasetInput:
    """Return a prepared data set as the input of a run.

    MLflow has a class for a data set whose values are at hand, and one for names alone; this is neither.

    Args:
        info: Facts about the data set.
    """
    source = CodeDatasetSource({MLFLOW_SOURCE_NAME: info.source})
    features = Schema([TensorSpec(np.dtype(np.uint8), (-1, *info.shape))])
    targets = Schema([TensorSpec(np.dtype(np.int64), (-1,))])
    sizes = {"train": info.train_size, "validation": info.validation_size, "test": info.test_size}
    dataset = Dataset(
        name=info.name,
        digest=info.digest[:_DIGITS],
        source_type=source._get_source_type(),
        source=source.to_json(),
        schema=json.dumps(TensorDatasetSchema(features, targets).to_dict()),
        profile=json.dumps({"num_rows": sum(sizes.values()), "images": sizes, "classes": info.classes}),
    )
    return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, "training")])
