"""MLflow: the browsable record of all searches. No other package imports mlflow.

One experiment holds every search; a search holds its rounds and a round its candidates, as nested runs. The
experiment carries a view of the MLflow UI that lists the candidates of all searches in one sortable table.
"""

import logging
import os

# MLflow reads these when it is imported. With few retries, a server that dies stops a search within a minute.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

# MLflow's messages arrive as exceptions; its log would repeat them with a traceback, and tell of new tables. With a
# configuration of its own MLflow would set the levels below back when it is imported.
os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)
