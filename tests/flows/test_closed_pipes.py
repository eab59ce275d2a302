"""`memnas ... | head -1`: the reader of a pipe ends first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from memnas_core.space.architecture_json import to_json
from memnas_core.space.moves import seed_architecture
from tests.flows.conftest import MEMNAS, Place, Running

pytestmark = pytest.mark.timeout(1200)


@pytest.mark.parametrize("arguments", [["memory", "net.json", "--input", "1,8,8"], ["memory", "--help"], ["--help"]])
def test_a_command_ends_as_others_do(arguments: list[str], tmp_path: Path) -> None:
    """Silently, and shells see 141: bash's code of a program that SIGPIPE ended, 128 + 13."""
    (tmp_path / "net.json").write_text(to_json(seed_architecture((1, 2), 4)))
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([MEMNAS, *arguments], cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (-13, b"")
    shell = f'{MEMNAS} {" ".join(arguments)} | true; echo "${{PIPESTATUS[0]}}"'
    code = subprocess.run(["bash", "-c", shell], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert code in ("141\n", "0\n")  # `true` may take longer to end than the command


def test_a_search_says_how_to_go_on(place: Place, prefect_server: dict[str, str]) -> None:
    with (place.folder / "log").open("w") as log:
        process = subprocess.Popen(
            [MEMNAS, "search", "--params", place.params],
            cwd=place.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | prefect_server,
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"Searching on digits")
        process.stdout.close()
        assert process.wait() == 141
    running = Running(process, place)
    lines = [line for line in running.text().splitlines() if line]
    assert len(lines) == 1, running.text()
    assert lines[0].startswith("memnas: nobody reads the output any more, so the search ends; nothing finished is lost")
    assert running.left_over() == []


def test_python_is_left_as_it_was() -> None:
    """The command line is a function, too, after which its caller gets a BrokenPipeError as before."""
    code = "import signal, sys; sys.argv = ['memnas', '--version']; from flows.cli import main\n"
    code += "try: main()\nexcept SystemExit: print(signal.getsignal(signal.SIGPIPE).name)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "SIG_IGN"
