"""The table of candidates: a view in MLflow's UI that is stored in an experiment."""

import json

from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException

_VIEW = "candidates"
"""Key of the view among the experiment's shared views."""

_COLUMNS = {
    "metrics.`round`": 70,
    "metrics.`accuracy`": 110,
    "metrics.`param_bytes`": 125,
    "metrics.`peak_bytes`": 100,
    "metrics.`total_bytes`": 100,
    "metrics.`score`": 90,
    "metrics.`predicted_score`": 130,
    "params.`move`": 260,
    "tags.`status`": 110,
    "tags.`search`": 280,
}
"""Columns in order, with their widths in pixels."""

_SORTED_BY = "metrics.`accuracy`"  # scores of different rounds have different bases and cannot be compared


def experiment_with_table(client: MlflowClient, name: str, artifacts: str | None) -> Experiment:
    """Find or create an experiment, and give it the table of candidates."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            client.create_experiment(name, artifact_location=artifacts)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
                raise
        found = client.get_experiment_by_name(name)
        assert found is not None, "it was made or found a moment ago"
    tag, view = f"mlflow.sharedViewState.{_VIEW}", _view()
    if found.lifecycle_stage == "active" and found.tags.get(tag) != view:
        client.set_experiment_tag(found.experiment_id, tag, view)
    return found


def table_url(server: str, experiment_id: str) -> str:
    """Return the URL of the table of an experiment's candidates.

    Args:
        server: Address of the server that shows the record.
        experiment_id: Id of the experiment.
    """
    page = f"experiments/{experiment_id}/runs"
    view = f"workflowType=machine_learning&viewStateShareKey={_VIEW}"
    return f"{server.rstrip('/')}/#/{page}?{view}"


def _view() -> str:
    """Return the UI state in which an experiment opens as a flat table of candidates.

    The keys are those that MLflow's own pages store when a view is shared. They are not documented.
    """
    return json.dumps(
        {
            "searchFilter": "tags.kind = 'candidate'",
            "orderByKey": _SORTED_BY,
            "orderByAsc": False,
            "selectedColumns": list(_COLUMNS),
            "columnOrder": list(_COLUMNS),
            "columnWidths": _COLUMNS,
        }
    )
