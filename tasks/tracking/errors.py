"""What MLflow says against something, in words that help."""

from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException

from tasks.tracking_store import explained


@contextmanager
def mlflow_errors(action: str, uri: str) -> Iterator[None]:
    """Turn what MLflow says against an action into a `TrackingError`, or a `StorageError` if the disk is full.

    Args:
        action: What was tried, as in `record round 3`.
        uri: MLflow tracking URI.
    """
    try:
        yield
    except (MlflowException, OSError, ImportError) as error:
        raise explained(error, action, uri) from error
