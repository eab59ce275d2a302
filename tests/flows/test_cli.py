"""The `memnas` command: help, arguments and errors. Whole searches are in test_search_end_to_end.py."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli import ENVIRONMENT
from memnas_core.results.folder import SearchFolder
from memnas_core.settings.file import dump_settings
from tests.core.small_search import START, SmallSearch, small_settings
from tests.flows.command_line import Memnas, in_this_process


@pytest.fixture
def memnas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Memnas:
    """Return a function that runs the command in a folder of its own: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(dump_settings(small_settings(Path("store"))))

    return in_this_process(monkeypatch, capfd)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_help_loads_nothing_heavy() -> None:
    code = """
import json, sys
sys.argv = ["memnas", "--help"]
from flows.cli import main
try:
    main()
except SystemExit as end:
    heavy = {"torch", "torchvision", "prefect", "mlflow", "dvc", "matplotlib", "pyarrow", "scipy", "sklearn"}
    loaded = sorted(heavy & set(sys.modules))
    print(json.dumps([end.code, loaded]), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    exit_code, loaded = json.loads(done.stderr)
    assert exit_code == 0
    assert loaded == []
    assert "Find an image classifier that fits a memory budget." in done.stdout
    for command in ("search", "memory", "predict", "report", "ui"):
        assert f"  {command} " in done.stdout


@pytest.mark.parametrize("command", ["search", "memory", "predict", "report", "ui"])
def test_every_command_explains_itself(command: str, memnas: Memnas) -> None:
    code, out, err = memnas(command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: memnas {command} ")


def test_version(memnas: Memnas) -> None:
    assert memnas("--version") == (0, "memnas, version 0.1.0\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serch"], "No such command 'serch'"),
        (["search", "--round", "3"], "No such option '--round'"),
        (["search", "digits"], "unexpected extra argument"),
        (["ui", "--port", "99999"], "99999 is not in the range"),
        (["search", "--preset", "digit"], "'digit' is not one of 'digits', 'fashion'"),
        (["search", "--preset", "digits", "--params", "p.yaml"], "expected either --preset or --params, found both"),
    ],
)
def test_usage_errors(arguments: list[str], words: str, memnas: Memnas, tmp_path: Path) -> None:
    code, out, err = memnas(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
    assert files(tmp_path) == {"params.yaml"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["search", "--params", "absent.yaml"], "absent.yaml: no such settings file; name one with --params FILE"),
        (["search", "--params", "."], ".: cannot be read as a settings file"),
        (["search", "--set", "search.rounds=0"], "search.rounds: expected a number of at least 1, found 0"),
        (["search", "--set", "search.rounds=many"], 'search.rounds: expected a whole number, found "many"'),
        (["search", "--set", "training.epoch=3"], "training.epoch: expected one of epochs, "),
        (["search", "--set", "serch.rounds=3"], "--set serch.rounds=3: expected one of the sections "),
        (["search", "--set", "rounds"], "--set rounds: expected section.key=value"),
        (["search", "--set", "data.image_size=9"], "data.image_size: expected a multiple of 2"),
        (["search", "--name", "a/b"], "--name 'a/b': expected a plain file name"),
        (["search", "--name", "n" * 300], "expected a plain file name of at most 200 bytes"),
        (["search", "--images", "nowhere"], "data.folder: expected a folder at "),
        (["report"], "store/searches/digits: expected the folder of a search"),
        (["report", "--name", ".."], "--name '..': expected a plain file name"),
        (["report", "--set", "store=5"], "store: expected a string, found 5"),
        (["ui", "--set", "tracking.experiment=''"], "tracking.experiment: expected a string that is not empty"),
        (["memory", "absent.json", "--input", "3,8,8"], "absent.json: expected an architecture's JSON"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], words: str, memnas: Memnas, tmp_path: Path) -> None:
    code, out, err = memnas(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("memnas: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert words in err
    assert files(tmp_path) == {"params.yaml"}


def test_bad_settings_in_a_process_of_its_own(tmp_path: Path) -> None:
    """As a person meets it: no warning of a library before the line, and nothing written at home either."""
    (tmp_path / "params.yaml").write_text("store: store\n")
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in {*ENVIRONMENT, "PREFECT_HOME"}}
    done = subprocess.run(
        [Path(sys.executable).with_name("memnas"), "search"],
        cwd=tmp_path,
        env=environment | {"HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "memnas: params.yaml: data: expected a value, found nothing; add it\n"
    assert files(tmp_path) == {"params.yaml", "home"}


def test_a_report_that_cannot_be_written(memnas: Memnas, tmp_path: Path) -> None:
    search = SmallSearch(small_settings(Path("store")), SearchFolder(Path("store/searches/digits")))
    search.folder.begin(search.settings, START)
    search.write_round([0.5])
    (tmp_path / "store/searches/digits/report.html").mkdir()
    code, out, err = memnas("report")
    assert (code, out) == (1, "")
    assert err.startswith("memnas: store/searches/digits/report.html: cannot be written: ")
    assert err.count("\n") == 1


# -- searches that are there already; none of these starts Prefect -----------------------------------------


def begun(name: str, folder: str | None = None) -> SearchFolder:
    """Begin a search as the command would, on digits or on a folder of images."""
    settings = small_settings(Path("store"))
    if folder is not None:
        settings = replace(settings, data=replace(settings.data, dataset="folder", folder=folder))
    search = SearchFolder(Path("store") / "searches" / name)
    search.begin(settings, START)
    return search


def test_a_finished_search_says_where_its_report_is(memnas: Memnas) -> None:
    begun("digits").write_metrics({})
    expected = "This search is finished. Report: store/searches/digits/report.html\n"
    assert memnas("search", "--resume") == (0, expected, "")
    code, out, err = memnas("search")
    assert (code, out) == (2, "")
    assert "found a finished search; add --resume" in err


def test_another_search_is_not_overwritten(memnas: Memnas, tmp_path: Path) -> None:
    begun("mine")
    before = files(tmp_path)
    for arguments, words in (
        (["--name", "mine"], "found an unfinished search; add --resume to go on with it"),
        (["--name", "mine", "--resume", "--set", "search.top_k=3"], "search.top_k: 3 here, 8 there"),
    ):
        code, out, err = memnas("search", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert words in err
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "a: b",
        "ünïcode",
        "emoji 😀",
        "123",
        "1e3",
        "true",
        "null",
        "#hash",
        'it\'s "quoted"',
        "back\\slash \\n",
        "a=b",
        "{curly} [square], *star &and !bang %percent @at `tick`",
        "- dash",
        "~",
        "many words " * 15 + "and no end",
    ],
)
def test_images_may_have_any_path(name: str, memnas: Memnas, tmp_path: Path) -> None:
    """The search on that folder is there and finished: found only if the path arrives as it was given."""
    images = tmp_path / "images" / name
    for number in range(6):
        (images / f"class {number % 2}").mkdir(parents=True, exist_ok=True)
        pixels = np.full((8, 8), 40 * number, dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"class {number % 2}" / f"{number}.png")
    begun(name, str(images)).write_metrics({})
    for given in (str(images), str(Path("images") / name), f"images/../images/{name}"):
        code, out, err = memnas("search", "--images", given, "--resume")
        assert (code, err) == (0, "")
        assert out == f"This search is finished. Report: store/searches/{name}/report.html\n"


def test_images_win_over_set(memnas: Memnas, tmp_path: Path) -> None:
    (tmp_path / "pets").mkdir()
    code, out, err = memnas("search", "--images", "pets", "--set", "data.dataset=digits", "--set", "data.folder=x")
    assert (code, out) == (2, "")
    assert err.startswith(f"memnas: {tmp_path / 'pets'}: expected two or more folders, one for each class")
    assert files(tmp_path) == {"params.yaml", "pets"}


def test_report_of_a_search(memnas: Memnas, tmp_path: Path) -> None:
    search = SmallSearch(small_settings(Path("store")), begun("digits"))
    code, out, err = memnas("report")
    assert (code, out) == (1, "")
    assert "store/searches/digits: expected at least one finished round, found none; go on with --resume" in err
    search.write_round([0.5])
    assert memnas("report") == (0, "Report: store/searches/digits/report.html\n", "")
    page = (tmp_path / "store/searches/digits/report.html").read_text(encoding="utf-8")
    assert search.rows[0].arch_id in page
    search.folder.round_folder(0).joinpath("candidates.parquet").write_bytes(b"PAR1")
    code, out, err = memnas("report")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "candidates.parquet: expected the file that was written" in err


def test_the_environment_of_a_person_wins(memnas: Memnas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    monkeypatch.delenv("PREFECT_SERVER_CORS_ALLOWED_ORIGINS")
    assert memnas("--version")[0] == 0
    assert os.environ["PREFECT_LOGGING_LEVEL"] == "DEBUG"
    assert os.environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1"
