"""The DVC remote: what is wrong with it is said at the start. The S3 server is real, and asks for keys."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs

from memnas_core.errors import InputError
from tasks.versioning.remote import CONFIG, check_remote, name_remote
from tests.tasks.s3_server import make_bucket, s3_server

REMOTE = "s3://memnas/team"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with s3_server(free_port()) as url:
        yield make_bucket(url, "memnas")


@pytest.fixture
def keys(server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Give the process the right keys and no others, and let s3fs forget those of the test before."""
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    return monkeypatch


@pytest.mark.usefixtures("keys")
def test_a_remote_that_can_be_used() -> None:
    check_remote(REMOTE)
    check_remote("s3://memnas")


@pytest.mark.parametrize(
    ("variables", "url", "words"),
    [
        (
            {"AWS_SECRET_ACCESS_KEY": "guess"},
            REMOTE,
            "expected keys that may list and write there, found",
        ),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, REMOTE, "expected keys that may list and write there, found"),
        ({}, "s3://nowhere/team", "expected a bucket, found none of that name"),
        ({}, "gopher://memnas/team", "expected the URL of a DVC remote, such as s3://bucket/path"),
        ({}, "gs://memnas/team", "requires 'dvc-gs' to be installed"),
    ],
)
def test_what_is_wrong(variables: dict[str, str], url: str, words: str, keys: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        keys.setenv(name, value)
    with pytest.raises(InputError) as caught:
        check_remote(url)
    message = str(caught.value)
    assert message.startswith(f"versioning.remote: {url}: ")
    assert words in message
    assert "\n" not in message


def test_no_keys(keys: pytest.MonkeyPatch) -> None:
    keys.delenv("AWS_ACCESS_KEY_ID")
    keys.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(InputError, match="expected keys, found none; set AWS_ACCESS_KEY_ID"):
        check_remote(REMOTE)


def test_a_server_that_is_away_may_come_back(keys: pytest.MonkeyPatch) -> None:
    keys.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    check_remote(REMOTE)


def test_a_folder(tmp_path: Path) -> None:
    check_remote(str(tmp_path / "share"))
    assert not (tmp_path / "share").exists()


def test_the_remote_is_named_in_the_configuration_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(CONFIG)
    assert name_remote(path, REMOTE) == REMOTE
    path.write_text(path.read_text() + "    endpointurl = http://here\n")
    written = path.stat().st_mtime_ns
    name_remote(path, REMOTE)
    assert path.stat().st_mtime_ns == written
    name_remote(path, "s3://other/path")
    lines = [line.strip() for line in path.read_text().splitlines()]
    assert "url = s3://other/path" in lines
    assert "endpointurl = http://here" in lines
    assert "remote = memnas" in lines
    assert {line.strip() for line in CONFIG.splitlines()} <= set(lines)


def test_a_folder_is_named_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").write_text(CONFIG)
    assert name_remote(tmp_path / "config", "share") == str(tmp_path / "share")
