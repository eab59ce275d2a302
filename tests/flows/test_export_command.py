"""`memnas export` as a person runs it."""

import json
from importlib import metadata
from pathlib import Path

import pytest
import torch

from memnas_core.export import check
from memnas_core.results.folder import SearchFolder
from tests.core.export.facts import facts_of_pt2
from tests.flows.command_line import Memnas, in_this_process
from tests.flows.made_up_store import write_store


@pytest.fixture
def memnas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Memnas:
    """Return a function that runs the command in a folder with a finished search: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path)
    return in_this_process(monkeypatch, capfd, "export")


def exports() -> list[str]:
    folder = Path("store/searches/digits/exports")
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def limit(key: str, count: int) -> None:
    """Make the search one that was told a limit."""
    path = Path("store/searches/digits/settings.yaml")
    text = path.read_text()
    assert f"{key}: null" in text
    path.write_text(text.replace(f"{key}: null", f"{key}: {count}"))


def test_a_file_and_its_card(memnas: Memnas) -> None:
    limit("max_param_bytes", 9_000_000)
    limit("max_activation_bytes", 64_000)
    code, out, err = memnas("digits", "--format", "pt2")
    assert (code, err) == (0, "")
    file, *beside = exports()
    assert file.startswith("digits-")
    assert Path(file).suffix == ".pt2"
    card = f"{file}.md"
    assert beside == [f"{file}.images.bin", f"{file}.inputs.bin", f"{file}.json", card, f"{file}.outputs.bin"]
    path = Path("store/searches/digits/exports") / file
    *_, accuracy, budget = lines = out.splitlines()
    size, torch_name = path.stat().st_size, f"torch {torch.__version__}"
    assert lines[-6:-2] == [
        f"File: {path}",
        f"  bytes: {size:,}",
        f"  activations: unknown; {torch_name} tells no plan",
        f"  {torch_name}, gives the class of the torch network to 359 of 359 test images",
    ]
    assert accuracy.endswith("difference +0.0000")
    assert budget == (
        f"  budget of search digits: met as far as known: file {size:,} of 9,000,000 bytes ({size / 9e6:.1%}), "
        "activations not known"
    )
    assert "| test accuracy, as recorded, on all 359 test images | 0.2500 |" in path.with_name(card).read_text()
    assert json.loads(facts_of_pt2(path))["search"] == "digits"


def test_int8_by_the_first_digits_of_an_id(memnas: Memnas, tmp_path: Path) -> None:
    arch_id = next(iter(SearchFolder(Path("store/searches/digits")).rounds()))[0].winner_id
    code, out, _ = memnas(arch_id[:5], "--format", "onnx", "--int8", "--output", str(tmp_path / "out"))
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"digits-{arch_id}-int8.onnx{end}" for end in ("", ".images.bin", ".inputs.bin", ".json", ".md", ".outputs.bin")
    ]
    assert "  accuracy on them: " in out
    assert exports() == []


def test_a_file_beyond_the_budget(memnas: Memnas) -> None:
    limit("max_param_bytes", 1000)
    code, out, err = memnas("digits", "--format", "pt2")
    assert code == 1
    file, *_ = exports()
    size = (Path("store/searches/digits/exports") / file).stat().st_size
    assert "  budget of search digits: not met: file" in out
    assert err == (
        f"memnas: store/searches/digits/exports/{file}: expected a file within the budget of search digits, found file "
        f"{size:,} of 1,000 bytes ({size / 1000:.1%}); the file is kept; a file has more in it than weights: export a "
        "smaller candidate, or search with a lower limit\n"
    )


def test_a_file_that_computes_something_else_is_not_kept(memnas: Memnas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "TOLERANCE", -1.0)  # then even equal scores differ too much
    code, _, err = memnas("digits", "--format", "pt2")
    assert code == 1
    assert "expected the torch network's scores within" in err
    assert exports() == []


def test_without_the_extra(memnas: Memnas, monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "onnxruntime":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    code, _, err = memnas("digits", "--format", "onnx")
    assert code == 2
    assert err == (
        "memnas: --format onnx: expected onnx, onnxscript, onnxruntime to be installed, found no onnxruntime; install "
        "them with pip install 'memnas[export]'\n"
    )
    assert exports() == []


def test_a_device_without_int8_kernels(memnas: Memnas) -> None:
    path = Path("store/searches/digits/settings.yaml")
    path.write_text(path.read_text().replace("device: null", "device: esp32"))
    code, _, err = memnas("digits", "--format", "executorch", "--int8")
    assert code == 2
    assert "found the Xtensa LX6 of esp32, the device of the search" in err
    assert err.count("\n") == 1
    assert exports() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("digts", "--format", "onnx"), "the nearest: digits"),
        (("digits/ffffffff", "--format", "onnx"), "expected a search or a trained candidate"),
        (("digits", "--format", "tflite"), "'tflite' is not one of 'onnx', 'executorch', 'pt2'"),
        (("digits",), "Missing option '--format'"),
        (("digits", "--format", "onnx", "--target", "cortex-m4"), "--target cortex-m4: expected --format executorch"),
        (("digits", "--format", "executorch", "--int8", "--target", "m4"), "--target m4: expected one of cortex-m0"),
        (("digits", "--format", "onnx", "--set", "store=elsewhere"), "elsewhere: expected a store with searches"),
    ],
)
def test_wrong_input(arguments: tuple[str, ...], words: str, memnas: Memnas) -> None:
    code, _, err = memnas(*arguments)
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert exports() == []
