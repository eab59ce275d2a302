"""Pinned packages: hashes, one version each, what is installed; and the look-up of known flaws."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted(ROOT.glob("requirements*.lock"))
AUDIT = Path(sys.prefix) / "audit" / "bin" / "python"


def entries(lock: Path) -> list[str]:
    """Return the requirements of a lock file, each with its continued lines."""
    text = re.sub(r"^\s*#.*\n", "", lock.read_text(), flags=re.MULTILINE)
    return [entry for entry in text.replace("\\\n", " ").splitlines() if entry.strip()]


def versions(lock: Path) -> dict[str, str]:
    return dict(entry.split(" ", 1)[0].split("==") for entry in entries(lock))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_is_one_version_with_hashes(lock: Path) -> None:
    assert len(entries(lock)) > 20
    for entry in entries(lock):
        assert re.fullmatch(r"[a-z0-9._-]+==[^\s;]+( ;[^-]*)?(\s+--hash=sha256:[0-9a-f]{64})+\s*", entry), entry


def test_locks_agree() -> None:
    base = versions(ROOT / "requirements.lock")
    for lock in LOCKS:
        if lock.name != "requirements-audit.lock":  # an environment of its own
            assert base.items() <= versions(lock).items(), lock.name


def test_what_is_installed_is_what_is_pinned() -> None:
    pinned = versions(ROOT / "requirements.lock")
    assert {name: metadata.version(name) for name in pinned} == pinned


KNOWN = {
    "schema_version": "1.6.0",
    "id": "PYSEC-2026-1",
    "summary": "It does what it should not.",
    "modified": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "leaky", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
            "versions": ["1.0"],
        }
    ],
}


@contextmanager
def advisories(status: int) -> Iterator[str]:
    """Serve what osv.dev serves, of one package with a flaw; give the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            flawed = (asked["package"]["name"], asked["version"]) == ("leaky", "1.0")
            answer = json.dumps({"vulns": [KNOWN]} if flawed else {}).encode()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()


def audit(tmp_path: Path, status: int, versions: tuple[str, ...], *options: str) -> tuple[int, str]:
    """Look packages up, one lock file a version of `leaky`; return the exit status and what was printed."""
    assert AUDIT.exists(), f"install pip-audit into {AUDIT.parents[1]}: scripts/audit.sh --install-only"
    locks = []
    for version in versions:
        lock = tmp_path / f"{version}.lock"
        lock.write_text(f"leaky=={version} \\\n    --hash=sha256:{'0' * 64}\nsound==2.0\n")
        locks.append(lock)
    with advisories(status) as address:
        command = [AUDIT, ROOT / "scripts" / "audit.py", "--osv-url", address, *options, *locks]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_a_known_flaw_fails(tmp_path: Path) -> None:
    code, out = audit(tmp_path, 200, ("1.0", "1.1"))
    assert code == 1
    assert "KNOWN FLAW: leaky 1.0: PYSEC-2026-1, fixed in 1.1\n" in out
    assert "3 of 3 pinned packages looked up, 1 known flaws." in out
    assert "NOT CHECKED" not in out


def test_no_known_flaw(tmp_path: Path) -> None:
    code, out = audit(tmp_path, 200, ("1.1",))
    assert (code, out) == (0, "2 of 2 pinned packages looked up, 0 known flaws.\n")


def test_silence_is_no_answer(tmp_path: Path) -> None:
    code, out = audit(tmp_path, 503, ("1.0",))
    assert code == 3
    assert "NOT CHECKED FOR KNOWN FLAWS: 2 packages (leaky 1.0, sound 2.0)." in out
    assert audit(tmp_path, 503, ("1.0",), "--unanswered-is-fine") == (0, out)
