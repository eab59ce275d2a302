"""The lock: versions and hashes, files for all platforms, what is installed; and the look-up of known flaws."""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distributions
from itertools import chain
from pathlib import Path
from threading import Thread
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
PACKAGES = [Requirement(entry.partition(" \\")[0]) for entry in LOCK.read_text().split("\n") if entry[:1].isalnum()]
AUDIT = Path(sys.prefix) / "audit" / "bin" / "python"


def test_every_package_is_one_version_with_hashes() -> None:
    assert set(ROOT.glob("*.lock")) == {ROOT / "dvc.lock", LOCK}
    entries = LOCK.read_text().replace("\\\n", "").splitlines()
    assert len(entries) == len(PACKAGES) > 300
    for entry in entries:
        assert re.fullmatch(r"[\w.-]+(\[.*\])?==\S+( ; [^#]*?)?(\s+--hash=sha256:[0-9a-f]{64})+", entry.strip()), entry


def test_every_requirement_of_the_project_has_a_pin_that_fits() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["audit"]]
    pins = {canonicalize_name(one.name): one for one in PACKAGES if one.marker is None or one.marker.evaluate()}
    for requirement in map(Requirement, chain(wanted, *extras.values())):
        (pin,) = pins[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(pin.version), requirement


def test_what_is_installed_is_what_is_pinned() -> None:
    pins = {canonicalize_name(one.name): one for one in PACKAGES if one.marker is None or one.marker.evaluate()}
    found = {canonicalize_name(one.name): one.version for one in distributions()}
    found.pop("pip")  # comes with the environment; the audit's own has a pinned one
    assert found.keys() - {canonicalize_name(one.name) for one in PACKAGES} <= {"memnas"}
    assert {
        name: version for name, version in found.items() if name in pins and version not in pins[name].specifier
    } == {}
    assert len(found) > 150


def test_a_file_with_another_hash_is_not_installed(tmp_path: Path) -> None:
    """uv takes the hashes of constraints seriously: a wheel that a lock has with another hash, and with its own."""
    wheel = tmp_path / "sound-1.0-py3-none-any.whl"
    with ZipFile(wheel, "w") as file:
        file.writestr("sound.py", "")
        file.writestr("sound-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: sound\nVersion: 1.0\n")
        file.writestr("sound-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("sound-1.0.dist-info/RECORD", "")
    right = hashlib.sha256(wheel.read_bytes()).hexdigest()
    uv, lock = Path(sys.prefix) / "bin" / "uv", tmp_path / "lock.txt"
    place = ("--python", sys.executable, "--target", tmp_path / "there", "--no-index", "--find-links", tmp_path)
    for hashed, code in (("0" * 64, 1), (right, 0)):
        lock.write_text(f"sound==1.0 --hash=sha256:{hashed}\n")
        command = [uv, "pip", "install", *place, "--no-cache", "--constraint", lock, "sound"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert ("Hash mismatch" in done.stderr) is (code == 1)


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
    """Look up versions of `leaky` and another package; return the exit status and what was printed."""
    assert AUDIT.exists(), f"install pip-audit into {AUDIT.parents[1]}: scripts/audit.sh --install-only"
    pins = [*(f"leaky=={version}" for version in versions), "sound[extra]==2.0 ; python_version < '4'"]
    lock = tmp_path / "requirements.lock"
    lock.write_text("".join(f"{pin} \\\n    --hash=sha256:{'0' * 64}\n" for pin in pins))
    with advisories(status) as address:
        command = [AUDIT, ROOT / "scripts" / "audit.py", "--osv-url", address, *options, lock]
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
