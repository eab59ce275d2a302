"""The `memory` command as a person runs it."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from flows.memory_command import memory_command
from memnas_core.architecture import (
    Architecture,
    Block,
    Branch,
    Cell,
    Combiner,
    Operation,
    to_json,
)
from memnas_core.errors import InputError, MemnasError, StorageError
from memnas_core.graph import Shape
from memnas_core.measure import measure

ARCHITECTURE = Architecture(
    (
        Block(
            (
                Cell(
                    Branch(0, Operation.CONV_3X3),
                    Branch(0, Operation.MAX_POOL_3X3),
                    Combiner.CONCAT,
                    included=True,
                ),
                Cell(Branch(1, Operation.CONV_3X3), Branch(0, Operation.IDENTITY), Combiner.SUM, included=True),
            ),
            stride=1,
        ),
        Block((Cell(Branch(0, Operation.DEPTHWISE_3X3), None, Combiner.SUM, included=True),), stride=2),
    ),
    filters=8,
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(memory_command, arguments)


def document(*arguments: str) -> dict[str, object]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def architecture_file(tmp_path: Path) -> Path:
    path = tmp_path / "architecture.json"
    path.write_text(to_json(ARCHITECTURE))
    return path


def test_mobilenet_v2_as_json() -> None:
    found = document("torchvision:mobilenet_v2", "--input", "3,224,224")
    # 96 channels at 112x112, and the same beside 96 channels at 56x56, in float32
    wide, narrow = 4 * 96 * 112 * 112, 4 * 96 * 56 * 56
    assert found["parameters"] == 3_504_872
    assert found["param_bytes"] == 4 * 3_504_872
    assert found["peaks"] == {
        "paper_bytes": wide,
        "sequential_bytes": wide + narrow,
        "minimum_bytes": wide + narrow,
    }
    assert found["totals"] == {
        "paper_bytes": 4 * 3_504_872 + wide,
        "sequential_bytes": 4 * 3_504_872 + wide + narrow,
        "minimum_bytes": 4 * 3_504_872 + wide + narrow,
    }
    assert found["minimum_exact"] is True
    assert found["minimum_lower_bound_bytes"] == wide + narrow
    assert (found["input"], found["batch"]) == ([3, 224, 224], 1)
    assert found["at_peak"]["sequential"] == [
        {
            "step": 5,
            "layers": ["features.2.conv.1.0"],
            "tensors": [
                {"name": "features.2.conv.0.0", "shape": [96, 112, 112], "bytes": wide},
                {"name": "features.2.conv.1.0", "shape": [96, 56, 56], "bytes": narrow},
            ],
        }
    ]


def test_classes_and_widths() -> None:
    found = document(
        "torchvision:resnet18",
        *("--input", "3,32,32", "--classes", "10", "--weight-bytes", "1", "--activation-bytes", "2"),
    )
    assert found["parameters"] == 11_689_512 - 990 * 513
    assert found["param_bytes"] == found["parameters"]
    assert found["peaks"]["sequential_bytes"] == 2 * (64 * 16 * 16 + 64 * 8 * 8)


def test_an_architecture_agrees_with_measure(architecture_file: Path) -> None:
    """`measure` adds up parts; the command looks at the whole network."""
    found = document(str(architecture_file), "--input", "3,16,16", "--classes", "7")
    figures = measure(ARCHITECTURE, Shape(3, 16, 16), 7, weight_bytes=4, activation_bytes=4)
    assert found["param_bytes"] == figures.param_bytes
    assert found["peaks"] == {
        "paper_bytes": figures.paper_bytes,
        "sequential_bytes": figures.sequential_bytes,
        "minimum_bytes": figures.minimum_bytes,
    }
    for convention, steps in found["at_peak"].items():
        for step in steps:
            assert sum(tensor["bytes"] for tensor in step["tensors"]) == found["peaks"][f"{convention}_bytes"]


def test_the_text_shows_figures_and_defaults(architecture_file: Path) -> None:
    result = run(str(architecture_file), "--input", "3,16,16")
    figures = measure(ARCHITECTURE, Shape(3, 16, 16), 10, weight_bytes=4, activation_bytes=4)
    assert result.exit_code == 0
    assert "10 classes (default" in result.stdout
    assert "minimum is exact" in result.stdout
    for count in (figures.param_bytes, figures.sequential_bytes, figures.param_bytes + figures.paper_bytes):
        assert f"{count:,}" in result.stdout
    assert "at the peak under sequential" in result.stdout
    assert "8×16×16" in result.stdout


def test_unread_parameters_are_told() -> None:
    result = run("torchvision:googlenet", "--input", "3,64,64")
    assert "6,379,984 of them are not read" in result.stdout


def test_plot(architecture_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "lifetimes.svg"
    result = run(str(architecture_file), "--input", "3,16,16", "--plot", str(path))
    assert result.exit_code == 0, result.output
    text = path.read_text(encoding="utf-8")
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert "b1_c1_a" in text


def test_a_plot_that_cannot_be_written(architecture_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run(str(architecture_file), "--input", "3,16,16", "--plot", str(tmp_path / "file" / "plot.svg"))
    assert isinstance(result.exception, StorageError)


@pytest.mark.parametrize(
    ("target", "shape", "words"),
    [
        ("torchvision:mobilnet_v2", "3,224,224", ["did you mean mobilenet_v2"]),
        ("torchvision:zzz", "3,224,224", ["expected a classifier of torchvision"]),
        ("torchvision:fcn_resnet50", "3,224,224", ["expected a classifier of torchvision"]),
        ("torchvision:resnet18", "3x224x224", ["channels,height,width", "3x224x224"]),
        ("torchvision:resnet18", "3,0,224", ["channels,height,width"]),
        ("torchvision:resnet18", "224,224", ["channels,height,width"]),
        ("torchvision:resnet18", "1,32,32", ["1,32,32", "conv1", "channel"]),
        ("torchvision:alexnet", "3,32,32", ["features.12", "too small"]),
        ("torchvision:vit_b_16", "3,32,32", ["Expected 224"]),
        ("absent.json", "3,16,16", ["absent.json", "torchvision:NAME"]),
        ("{good}", "3,15,15", ["15", "multiple of 2"]),
        ("{truncated}", "3,16,16", ["truncated.json", "JSON"]),
        ("{binary}", "3,16,16", ["binary.json", "no text"]),
        ("{folder}", "3,16,16", ["cannot be read"]),
    ],
)
def test_wrong_input_is_one_line(
    target: str, shape: str, words: list[str], architecture_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "truncated.json").write_text(to_json(ARCHITECTURE)[:-40])
    (tmp_path / "binary.json").write_bytes(b"\x80\x03\xff")
    target = target.format(
        good=architecture_file,
        truncated=tmp_path / "truncated.json",
        binary=tmp_path / "binary.json",
        folder=tmp_path,
    )
    result = run(target, "--input", shape, "--json")
    assert isinstance(result.exception, InputError), result.output
    assert result.exception.exit_code == 2
    message = str(result.exception)
    assert "\n" not in message
    for word in words:
        assert word in message
    assert result.stdout == ""


def test_input_is_required() -> None:
    result = run("torchvision:resnet18")
    assert result.exit_code == 2
    assert not isinstance(result.exception, MemnasError)
    assert "--input" in result.stderr


def test_help_needs_no_torch() -> None:
    code = "import sys, flows.memory_command; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
