"""A real S3 server in a process of its own."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TRIAL = Path(__file__).parents[2] / "scripts" / "trial_s3.py"


@contextmanager
def s3_server(port: int) -> Iterator[str]:
    """Run a server with nothing in it, which takes any key; give its URL."""
    command = [Path(sys.executable).with_name("moto_server"), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        while not _answers(url):
            assert process.poll() is None, "it ended"
            time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=60):
        return True
    return False


def make_bucket(url: str, bucket: str) -> dict[str, str]:
    """Make a bucket and a key, without which the server then refuses; return the variables of a client."""
    done = subprocess.run([sys.executable, TRIAL, url, bucket], stdout=subprocess.PIPE, text=True, check=True)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())
