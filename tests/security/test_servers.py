"""What memnas starts answers no script of another web page; tests/tasks/test_mlflow_table.py sees where it listens."""

import json
import os
import subprocess
import sys
from pathlib import Path

from flows.cli import ENVIRONMENT

ASK = """
import json
from prefect.server.api.server import create_app
from starlette.testclient import TestClient
client = TestClient(create_app(), base_url="http://127.0.0.1")
answers = {}
for origin in ("https://example.org", "http://127.0.0.1"):
    wish = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    answer = client.options("/api/flow_runs/", headers={"Origin": origin} | wish)
    answers[origin] = answer.headers.get("access-control-allow-origin")
print(json.dumps(answers))
"""


def test_no_other_page_may_ask_prefect(tmp_path: Path) -> None:
    """A page in the same browser could otherwise start runs through the server on the loopback address."""
    environment = os.environ | ENVIRONMENT | {"PREFECT_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True)
    answers = json.loads(done.stdout.splitlines()[-1])
    assert answers == {"https://example.org": None, "http://127.0.0.1": "http://127.0.0.1"}
