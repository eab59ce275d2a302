"""DVC itself is the judge: its command line, its hashes (MD5, computed here) and its cache on disk."""

import hashlib
import json
import os
import pty
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dvc.lock
import pytest

from memnas_core.errors import StorageError, VersioningError
from memnas_core.files.writing import write_text
from tasks.versioning.repository import Versions
from tests.tasks.versioning.dvc_command import check_out, run_dvc

REPOSITORY = Path(__file__).resolve().parents[3]

# Takes the lock of a DVC repository as DVC does, says so, and keeps it until its input ends.
HOLD_LOCK = """
import sys, zc.lockfile
lock = zc.lockfile.LockFile(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""

FILL_AND_ADD = """
from pathlib import Path
from tasks.versioning.repository import Versions
versions = Versions.open(Path("store"))
for name in ("first", "second"):
    folder = Path("store", name)
    folder.mkdir()
    (folder / "file").write_text(name)
    if name == "second":
        with open("filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(512))
            except OSError:
                pass
        try:
            versions.add(folder)
        except Exception as error:
            print(type(error).__name__, error)
    else:
        versions.add(folder)
"""


@pytest.fixture
def versions(store: Path) -> Versions:
    return Versions.open(store)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def directory_hash(folder: Path) -> str:
    """Return DVC's hash of a folder: the MD5 of a JSON list of its files' MD5s, by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    entries = [{"md5": md5(path.read_bytes()), "relpath": str(path.relative_to(folder))} for path in files]
    return md5(json.dumps(entries, sort_keys=True).encode()) + ".dir"


def test_version_has_dvc_hash_and_costs_no_second_copy(store: Path, versions: Versions, round_folder: Path) -> None:
    expected = directory_hash(round_folder)

    assert versions.add(round_folder) == expected

    assert expected in (round_folder.parent / "round-00.dvc").read_text(encoding="utf-8")
    weights = round_folder / "weights" / "x.safetensors"
    digest = md5(b"weights " * 1000)
    cached = store / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    assert cached.samefile(weights)
    assert weights.stat().st_mode & 0o222 == 0


def test_dvc_command_line_finds_all_up_to_date(store: Path, versions: Versions, round_folder: Path) -> None:
    versions.add(round_folder)
    assert "up to date" in run_dvc("status", folder=store)
    assert "false" in run_dvc("config", "core.analytics", folder=store).lower()


def test_deleted_round_comes_back(versions: Versions, round_folder: Path) -> None:
    versions.add(round_folder)
    before = {path: path.read_bytes() for path in round_folder.rglob("*") if path.is_file()}
    assert len(before) == 3
    shutil.rmtree(round_folder)

    check_out(round_folder)

    assert {path: path.read_bytes() for path in round_folder.rglob("*") if path.is_file()} == before


def test_replaced_file_makes_new_version_and_keeps_the_old(store: Path, versions: Versions, round_folder: Path) -> None:
    first = versions.add(round_folder)
    pointer = round_folder.with_name("round-00.dvc")
    old_pointer = pointer.read_text(encoding="utf-8")
    write_text(round_folder / "round.json", '{"round": 1}')  # replaces the read-only file

    second = versions.add(round_folder)

    assert second != first
    assert second == directory_hash(round_folder)
    shutil.rmtree(round_folder)
    pointer.write_text(old_pointer, encoding="utf-8")
    check_out(round_folder)
    assert (round_folder / "round.json").read_text(encoding="utf-8") == "{}"
    assert Versions.open(store).add(round_folder) == first


@pytest.mark.parametrize("damage", ["changed", "truncated"])
def test_a_repaired_file_stays_repaired(damage: str, store: Path, versions: Versions, round_folder: Path) -> None:
    """A disk that fails damages DVC's cache too, whose read-only files DVC itself never compares with their names."""
    first = versions.add(round_folder)
    whole = {path: path.read_bytes() for path in round_folder.rglob("*") if path.is_file()}
    weights = round_folder / "weights" / "x.safetensors"
    mode = weights.stat().st_mode
    weights.chmod(0o644)
    with weights.open("r+b") as file:  # in place: the cache has the same file
        file.truncate(100) if damage == "truncated" else file.write(b"W")
    weights.chmod(mode)
    assert weights.read_bytes() != whole[weights]
    shutil.rmtree(round_folder)
    for path, content in whole.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    assert Versions.open(store).add(round_folder) == first

    assert {path: path.read_bytes() for path in round_folder.rglob("*") if path.is_file()} == whole
    shutil.rmtree(round_folder)
    check_out(round_folder)
    assert {path: path.read_bytes() for path in round_folder.rglob("*") if path.is_file()} == whole


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda versions, store: versions.add(store / "absent"), "expected a folder or file to version"),
        (lambda versions, store: versions.add(store), "expected something inside the store"),
        (lambda versions, store: versions.add(store.parent), "expected something inside the store"),
    ],
)
def test_wrong_paths(store: Path, versions: Versions, act: Callable[[Versions, Path], object], message: str) -> None:
    with pytest.raises(VersioningError, match=message):
        act(versions, store)


def test_versions_do_not_nest(versions: Versions, round_folder: Path) -> None:
    versions.add(round_folder)
    with pytest.raises(VersioningError, match=r"cannot add .*rounds"):
        versions.add(round_folder.parent)


def test_waits_for_another_process(
    store: Path, versions: Versions, round_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions.add(round_folder)  # makes the folder of the lock
    write_text(round_folder / "round.json", '{"round": 1}')  # so that there is something to do
    monkeypatch.setattr(dvc.lock, "DEFAULT_TIMEOUT", 0.3)  # DVC itself waits no longer
    lock = store / ".dvc" / "tmp" / "lock"
    pipe = subprocess.PIPE
    with (
        subprocess.Popen([sys.executable, "-c", HOLD_LOCK, str(lock)], stdin=pipe, stdout=pipe, text=True) as holder,
        ThreadPoolExecutor(1) as threads,
    ):
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(VersioningError, match="another process keeps the DVC repository"):
            Versions.open(store, lock_seconds=0).add(round_folder)
        waiting = threads.submit(versions.add, round_folder)
        time.sleep(1)  # for it to try in vain; a slow machine tries less often
        assert not waiting.done()
        holder.stdin.close()
        waiting.result()


def test_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    """A small file system of its own, filled to the last byte, in a process of its own."""
    mount = "mount -t tmpfs -o size=800k none ."
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*inside, mount], cwd=tmp_path, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lets nobody mount a small file system to fill")
    command = f'{mount} && cd "$PWD" && exec {sys.executable} -c "$0"'
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [*inside, command, FILL_AND_ADD],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("StorageError"), done.stdout + done.stderr
    assert "the disk is full; free some space" in done.stdout


def test_add_works_inside_a_stage_of_a_surrounding_pipeline(tmp_path: Path) -> None:
    """A git checkout with dvc.yaml at its root and a git-ignored store, as this project's own."""
    stage = (
        "from pathlib import Path; from tasks.versioning.repository import Versions; store = Path('store');"
        "folder = store / 'round-00'; folder.mkdir(parents=True); (folder / 'a').write_text('1');"
        "Path('table.csv').write_text(Versions.open(store).add(folder))"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "DVC_SITE_CACHE_DIR": str(tmp_path.parent / "dvc-site")}
    (tmp_path / "stage.py").write_text(stage, encoding="utf-8")
    (tmp_path / "dvc.yaml").write_text(
        f"stages:\n  search:\n    cmd: '{sys.executable} stage.py'\n    deps: [stage.py]\n"
        "    outs:\n      - table.csv:\n          cache: false\n",
        encoding="utf-8",
    )
    (tmp_path / ".gitignore").write_text("/store/\n", encoding="utf-8")
    (tmp_path / ".dvcignore").write_text("/store\n", encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    run_dvc("init", "-q", folder=tmp_path)

    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=tmp_path, env=environment, check=True)

    written = (tmp_path / "table.csv").read_text(encoding="utf-8")
    assert written == directory_hash(tmp_path / "store" / "round-00")
    assert "up to date" in run_dvc("status", folder=tmp_path)
    assert "up to date" in run_dvc("status", folder=tmp_path / "store")
    untracked = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "store" not in untracked


def test_nothing_is_drawn_on_a_terminal(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tasks.versioning.repository import Versions\n"
        "store = Path(sys.argv[1]); versions = Versions.open(store)\n"
        "for name in ('first', 'second'):\n"
        "    (store / name).mkdir(); (store / name / 'file').write_text(name); versions.add(store / name)\n"
    )
    terminal, inside = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-c", program, tmp_path / "store"],
            check=True,
            stdin=inside,
            stdout=inside,
            stderr=inside,
            cwd=Path(__file__).parents[3],
        )
        os.write(inside, b"end\n")
        drawn = b""
        while not drawn.endswith(b"end\r\n"):
            drawn += os.read(terminal, 10_000)
        assert drawn.replace(b"\x1b[0m", b"") == b"end\r\n"  # a reset of colours is not seen
    finally:
        os.close(inside)
        os.close(terminal)


def site_cache(folder: Path) -> Path:
    """Return the folder from which DVC would unpickle its index in a repository, as DVC itself says."""
    bare = {name: value for name, value in os.environ.items() if name != "DVC_SITE_CACHE_DIR"}
    command = [Path(sys.executable).with_name("dvc"), "doctor"]
    done = subprocess.run(command, cwd=folder, env=bare, capture_output=True, text=True, check=True)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("Repo.site_cache_dir: "))
    return folder / line.removeprefix("Repo.site_cache_dir: ")


@pytest.fixture
def usual_umask() -> Iterator[None]:
    """Have new folders closed to others, as on most machines, wherever the tests run."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def is_ours_alone(folder: Path) -> bool:
    """Return whether DVC's index lies in a repository, and nobody else may write on the way to it."""
    found = site_cache(folder)
    inside = [folder / part for part in found.relative_to(folder).parents]
    return not any(place.stat().st_mode & stat.S_IWOTH for place in inside)


@pytest.mark.usefixtures("usual_umask")
def test_only_we_can_write_to_the_index_that_dvc_unpickles(tmp_path: Path) -> None:
    """By default it is in /var/tmp/dvc/repo, which is open to everybody."""
    store, moved = tmp_path / "my store", tmp_path / "moved"
    Versions.open(store)
    store.rename(moved)
    Versions.open(moved)
    (moved / ".dvc" / "tmp" / "repo").chmod(0o777)  # as older versions left it
    Versions.open(moved)
    assert is_ours_alone(moved)


@pytest.mark.usefixtures("usual_umask")
@pytest.mark.parametrize("has_folder", [True, False])
def test_a_checkout_brings_the_folder_of_dvcs_index(has_folder: bool, tmp_path: Path) -> None:
    """Without it DVC would make one that everybody may write to."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for name in (".dvc/config", ".dvc-site/repo/README")[: 1 + has_folder]:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes((REPOSITORY / name).read_bytes())
    assert is_ours_alone(tmp_path) == has_folder


@pytest.mark.parametrize("name", ["lock", "rwlock", "rwlock.lock"])
@pytest.mark.parametrize("is_hard", [False, True])
def test_dvcs_locks_empty_no_other_file(name: str, is_hard: bool, store: Path, tmp_path: Path) -> None:
    Versions.open(store)
    victim, lock = tmp_path / "victim", store / ".dvc" / "tmp" / name
    victim.write_text("precious")
    lock.parent.mkdir(exist_ok=True)
    if is_hard:
        lock.hardlink_to(victim)
    else:
        lock.symlink_to(victim)
    with pytest.raises(StorageError, match="expected a plain file, found a"):
        Versions.open(store)
    assert victim.read_text() == "precious"
