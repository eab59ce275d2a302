"""MLflow's errors, in words that help."""

from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from tasks.tracking.store import tracking_error


@contextmanager
def mlflow_errors(action: str, uri: str) -> Iterator[None]:
    """Turn MLflow's error about an action into a `TrackingError`, or a `StorageError` if the disk is full.

    Args:
        action: The action that was tried, as in `record round 3`.
        uri: MLflow tracking URI.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        raise tracking_error(error, action, uri) from error
