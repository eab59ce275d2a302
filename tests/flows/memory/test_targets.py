"""What the `memory` command measures: callables, timm, exported programs, folders."""

import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import torch

from flows.memory.inputs import InputText
from flows.memory.targets import Building, find_network
from memnas_core.errors import InputError
from memnas_core.space.architecture_json import to_json
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape
from memnas_core.training.network import build_network
from tests.flows.memory.memory_command import ARCHITECTURE, document, run

NETWORKS = """
from torch import nn
from torchvision import models

print("printed while importing")
class Wide(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU())
net = Wide()
number = 3
def resnet():
    print("printed while building")
    return models.resnet18(weights=None)
def wants(width, depth=1, *rest, **more): ...
def returns_nothing(): ...
def breaks():
    raise ValueError("two\\nlines")
"""


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Stand in a folder with a Python module of networks; its name is new for every test."""
    name = f"memnas_networks_{uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(NETWORKS)
    (tmp_path / f"{name}_syntax.py").write_text("def (")
    (tmp_path / f"{name}_exits.py").write_text("import sys\nsys.exit(0)")
    (tmp_path / f"{name}_lacks.py").write_text("import memnas_absent_module")
    monkeypatch.chdir(tmp_path)
    before = sys.path.copy()
    yield name
    assert sys.path == before


class TestCallables:
    def test_a_function_gives_what_torchvision_gives(self, in_folder: str) -> None:
        found = document(f"{in_folder}:resnet", "--input", "3,64,64")  # a document although the module prints
        expected = document("torchvision:resnet18", "--input", "3,64,64")
        assert found.pop("target") != expected.pop("target")
        assert found == expected

    def test_modules_and_classes(self, in_folder: str) -> None:
        module, made = (document(f"{in_folder}:{name}", "--input", "3,8,8") for name in ("net", "Wide"))
        assert module["peaks"] == made["peaks"]
        assert module["parameters"] == 4 * 27 + 4

    @pytest.mark.parametrize(
        ("target", "words"),
        [
            ("{}:absent", ["expected a network or callable"]),
            ("{}:resnat", ["did you mean resnet"]),
            ("{}:number", ["found int"]),
            ("{}:wants", ["needs no arguments", "needs width;"]),
            ("{}:returns_nothing", ["callable that returns one, found NoneType"]),
            ("{}:breaks", ["ValueError", "line 17 of ", "two lines"]),
            ("{}_syntax:net", ["SyntaxError", "line 1 of"]),
            ("{}_exits:net", ["SystemExit"]),
            ("{}_lacks:net", ["memnas_absent_module", "line 1 of"]),
            ("memnas_absent_package.part:net", ["'memnas_absent_package.part'", "found none"]),
        ],
    )
    def test_wrong_callables(self, target: str, words: list[str], in_folder: str) -> None:
        result = run(target.format(in_folder), "--input", "3,8,8")
        assert isinstance(result.exception, InputError), result.output
        message = str(result.exception)
        assert "\n" not in message
        for word in words:
            assert word in message

    def test_help_says_that_code_runs(self) -> None:
        assert "runs the code of its module" in " ".join(run("--help").stdout.split())


def test_timm() -> None:
    """Its MobileNet v2 is torchvision's; Swin v2 computes with its weights as it is built; attention is traced."""
    found = document("timm:mobilenetv2_100", "--input", "3,96,96", "--classes", "10")
    expected = document("torchvision:mobilenet_v2", "--input", "3,96,96", "--classes", "10")
    assert found["peaks"] == expected["peaks"]
    assert found["parameters"] == expected["parameters"]
    with pytest.raises(InputError, match=r"did you mean .*mobilenetv2_100"):
        find_network("timm:mobilnetv2_100", [InputText((3, 96, 96))], Building())
    with pytest.raises(InputError, match="expected a network of timm"):
        find_network("timm:hf-hub:someone/something", [InputText((3, 96, 96))], Building())


def test_an_exported_program(tmp_path: Path) -> None:
    module = build_network(lower(ARCHITECTURE, Shape(3, 16, 16), 10), seed=0).eval()
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(module, (torch.zeros(1, 3, 16, 16),)), path)
    (tmp_path / "net.json").write_text(to_json(ARCHITECTURE))
    found, expected = document(str(path)), document(str(tmp_path / "net.json"), "--input", "3,16,16")
    assert found["input"] == [3, 16, 16]
    assert found["peaks"] == expected["peaks"]
    assert found["param_bytes"] == expected["param_bytes"]
    assert document(str(path), "--input", "3,16,16")["peaks"] == expected["peaks"]
    for options, words in ((["--input", "3,32,32"], "was exported"), (["--classes", "3"], "decides itself")):
        result = run(str(path), *options)
        assert isinstance(result.exception, InputError)
        assert words in str(result.exception)


def test_a_folder_with_an_architecture(architecture_file: Path) -> None:
    found = document(str(architecture_file.parent), "--input", "3,16,16")
    assert found["peaks"] == document(str(architecture_file), "--input", "3,16,16")["peaks"]
