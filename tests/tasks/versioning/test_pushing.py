"""Versions reach a real S3 server, whenever it answers. DVC's command line pulls them on another machine."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import s3fs

from memnas_core.errors import VersioningError
from tasks.versioning.pushing import Pushing
from tasks.versioning.repository import Versions
from tests.core.processes import wait_until
from tests.tasks.s3_server import s3_server
from tests.tasks.versioning.test_remote import free_port

REMOTE = "s3://memnas/team"


class Said:
    """What the person was told, and which folders were published."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.published: list[str] = []

    def publish(self, paths: Sequence[Path]) -> None:
        self.published += [path.name for path in paths]


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    port = free_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    s3fs.S3FileSystem.clear_instance_cache()
    return port


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions.open(tmp_path / "store", REMOTE)


def add(versions: Versions, name: str) -> Path:
    """Make a version of a folder with a folder in it."""
    folder = versions.root / "rounds" / name
    (folder / "weights").mkdir(parents=True)
    (folder / "table").write_text(f"table of {name}")
    (folder / "weights" / "w").write_text(f"weights of {name}")
    versions.add(folder)
    return folder


def open_bucket(url: str) -> None:
    s3fs.S3FileSystem(endpoint_url=url, key="any", secret="any").mkdir("memnas")


def test_dvc_pulls_what_was_pushed_byte_by_byte(port: int, versions: Versions) -> None:
    said = Said()
    with s3_server(port) as url:
        open_bucket(url)
        with Pushing(versions, said.publish, said.lines.append) as pushing:
            for name in ("round-00", "round-01"):
                pushing.push(add(versions, name))
        assert said.published == ["round-00", "round-01"]
        assert [line for line in said.lines if not line.startswith("Copying the last")] == []  # a slow machine says so
        shutil.rmtree(versions.root / ".dvc" / "cache")
        shutil.rmtree(versions.root / "rounds" / "round-00")
        shutil.rmtree(versions.root / "rounds" / "round-01")
        subprocess.run([sys.executable, "-m", "dvc", "pull", "-q"], cwd=versions.root, check=True)
    for name in ("round-00", "round-01"):
        assert (versions.root / "rounds" / name / "table").read_text() == f"table of {name}"
        assert (versions.root / "rounds" / name / "weights" / "w").read_text() == f"weights of {name}"


def test_what_a_dead_server_did_not_take_goes_with_the_next(port: int, versions: Versions) -> None:
    said = Said()
    with Pushing(versions, said.publish, said.lines.append) as pushing:
        pushing.push(add(versions, "round-00"))
        wait_until(lambda: bool(said.lines))
        pushing.push(add(versions, "round-01"))  # adding is not held up by the copy
        with s3_server(port) as url:
            open_bucket(url)
            pushing.push(add(versions, "round-02"))
            wait_until(lambda: len(said.published) >= 3)
            versions.push([versions.root / "rounds" / name for name in said.published])
    assert said.published == ["round-00", "round-01", "round-02"]
    first, last = said.lines
    assert first.startswith(f"cannot copy to {REMOTE}: Could not connect")
    assert first.endswith("The search goes on, and tries again after each round and at its end.")
    assert re.fullmatch("The DVC remote takes copies again: [23] versions.", last)  # it may try between two of them


def test_a_server_that_lost_everything_gets_it_again(port: int, versions: Versions) -> None:
    folder = add(versions, "round-00")
    for _ in range(2):
        with s3_server(port) as url:
            open_bucket(url)
            versions.push([folder])
            found = s3fs.S3FileSystem(endpoint_url=url, key="any", secret="any").find("memnas/team")
            assert len(found) == 3  # two files and their folder's list


def test_a_search_that_was_stopped_does_not_wait(versions: Versions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    said = Said()
    with suppress(KeyboardInterrupt), Pushing(versions, said.publish, said.lines.append) as pushing:
        pushing.push(add(versions, "round-00"))
        raise KeyboardInterrupt
    wait_until(lambda: bool(said.lines))  # its thread would copy to the next test's server, whose address it reads late
    assert not any("versions are not yet" in line for line in said.lines)


def test_without_a_remote_nothing_is_copied(tmp_path: Path) -> None:
    versions, said = Versions.open(tmp_path / "store"), Said()
    with Pushing(versions, said.publish, said.lines.append) as pushing:
        pushing.push(add(versions, "round-00"))
    assert (said.published, said.lines) == ([], [])


def test_a_version_that_is_gone_from_the_cache_is_not_passed_over(port: int, versions: Versions) -> None:
    folder = add(versions, "round-00")
    for path in (versions.root / ".dvc" / "cache").rglob("*"):
        if path.is_file() and not path.name.endswith(".dir"):
            path.unlink()
    with s3_server(port) as url:
        open_bucket(url)
        with pytest.raises(VersioningError, match="no longer in the store's cache"):
            versions.push([folder])


def test_a_folder_on_a_shared_disk(tmp_path: Path) -> None:
    versions, said = Versions.open(tmp_path / "store", str(tmp_path / "share")), Said()
    with Pushing(versions, said.publish, said.lines.append) as pushing:
        pushing.push(add(versions, "round-00"))
    assert said.published == ["round-00"]
    assert len([path for path in (tmp_path / "share").rglob("*") if path.is_file()]) == 3
