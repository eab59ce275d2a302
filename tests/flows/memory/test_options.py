"""Options of the `memory` command: widths, batches, arguments of networks, the table of layers."""

import sys
from pathlib import Path
from uuid import uuid4

import pytest

from flows.memory.inputs import InputText, parse_input, parse_model_args
from flows.memory.options import ElementWidth, shown_width
from memnas_core.errors import InputError
from tests.flows.memory.memory_command import document, run

NETWORKS = """
import argparse, sys
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--width", type=int, default=4)
WIDTH = parser.parse_args().width

class Wide(nn.Sequential):
    def __init__(self, width=WIDTH, bias=True):
        super().__init__(nn.Conv2d(3, width, 3, bias=bias))

class Raises(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
    def forward(self, x):
        return {"a": self.fc(x)}["b"]

def state():
    return nn.Linear(3, 3).state_dict()

def pair():
    return nn.Linear(3, 3), 1

def exported():
    return torch.export.export(nn.Linear(4, 2), (torch.zeros(1, 4),))
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Stand in a folder with a Python module that reads the command line; its name is new for every test."""
    name = f"memnas_options_{uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    return name


def message(*arguments: str) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, InputError), result.output
    text = str(result.exception)
    assert "\n" not in text
    return text


def test_a_module_that_reads_the_command_line(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["memnas", "memory", f"{module}:Wide", "--input", "3,8,8"])
    assert document(f"{module}:Wide", "--input", "3,8,8")["parameters"] == 4 * 27 + 4
    assert sys.argv[1:] == ["memory", f"{module}:Wide", "--input", "3,8,8"]


def test_model_args(module: str) -> None:
    found = document(f"{module}:Wide", "--input", "3,8,8", "--model-args", "width=6, bias=False")
    assert found["parameters"] == 6 * 27
    words = message(f"{module}:Wide", "--input", "3,8,8", "--model-args", "depth=6")
    assert "TypeError" in words
    assert "depth" in words
    assert "--model-args: expected none" in message("net.json", "--input", "3,8,8", "--model-args", "a=1")
    assert parse_model_args(["a=1,b=none", "c=relu, d=(1, 2.5)", "e='x y'"]) == {
        "a": 1,
        "b": None,
        "c": "relu",
        "d": (1, 2.5),
        "e": "x y",
    }
    for text in ("96", "a=__import__('os')", "a", "a=1)(b=2", "**{'a': 1}"):
        with pytest.raises(InputError, match="expected NAME=VALUE"):
            parse_model_args([text])


def test_model_args_of_torchvision() -> None:
    """A ResNet for ten classes that keeps the resolution of its last stage: the features are twice as wide and high."""
    usual, dilated = (
        document("torchvision:resnet50", "--input", "3,64,64", "--classes", "10", "--layers", *options)["layers"]
        for options in ([], ["--model-args", "replace_stride_with_dilation=[False, False, True]"])
    )
    assert [row["shape"] for row in usual if row["layer"] == "layer4.2.conv3"] == [[2048, 2, 2]]
    assert [row["shape"] for row in dilated if row["layer"] == "layer4.2.conv3"] == [[2048, 4, 4]]


def test_networks_of_torchvision_with_a_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is downloaded. torchvision documents 11,029,328 weights with the auxiliary classifier."""

    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    found = document("torchvision:deeplabv3_mobilenet_v3_large", "--input", "3,64,64", "--classes", "21")
    auxiliary = 40 * 10 * 9 + 2 * 10 + 10 * 21 + 21  # a convolution from 40 to 10 channels, its norm, and a last one
    assert found["parameters"] == 11_029_328 - auxiliary


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("Raises", ["layer", "KeyError in line 19 of ", "'b'"]),
        ("state", ["a state_dict", "no layers"]),
        ("pair", ["a tuple with a module", "alone"]),
    ],
)
def test_messages(network: str, words: list[str], module: str) -> None:
    text = message(f"{module}:{network}", "--input", "4")
    for word in words[1:] if network == "Raises" else words:
        assert word in text


def test_an_exported_program_that_a_function_returns(module: str) -> None:
    assert document(f"{module}:exported", "--input", "4")["parameters"] == 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3,8,8", InputText((3, 8, 8))),
        ("16:int", InputText((16,), "int")),
        (":int", InputText((), "int")),
        ("batch.0.mask=4:bool", InputText((4,), "bool", "batch.0.mask")),
    ],
)
def test_inputs(text: str, expected: InputText) -> None:
    assert parse_input(text) == expected


@pytest.mark.parametrize("text", ["", "3,", "a=", "=3", "3:complex", "a..b=3", "0.a=3", "a=b=3", "3,-1"])
def test_no_inputs(text: str) -> None:
    with pytest.raises(InputError, match="found '"):
        parse_input(text)


@pytest.mark.parametrize(
    ("name", "width", "shown"),
    [
        ("bfloat16", 2, "2 (16 bits)"),
        ("int16", 2, "2 (16 bits)"),
        ("int4", 0.5, "0.5 (int4)"),
        ("int8", 1, "1 (int8)"),
        ("3", 3, "3"),
    ],
)
def test_widths(name: str, width: float, shown: str) -> None:
    assert ElementWidth().convert(name, None, None) == width
    assert shown_width(width) == shown


def test_four_bits(module: str) -> None:
    """Two elements a byte: 135 weights and 5 biases; image 3 * 7 * 7 = 147 and output 5 * 5 * 5 = 125, rounded up."""
    options = ("--input", "3,7,7", "--model-args", "width=5", "--weight-bytes", "int4", "--activation-bytes", "int4")
    found = document(f"{module}:Wide", *options)
    assert (found["param_bytes"], found["peaks"]["sequential_bytes"]) == (70, 74 + 63)
    assert document(f"{module}:Wide", *options, "--bias-bytes", "4")["param_bytes"] == 68 + 20


def test_four_bits_and_an_architecture(architecture_file: Path) -> None:
    options = (str(architecture_file), "--input", "3,16,16")
    assert "whole bytes for an architecture" in message(*options, "--activation-bytes", "int4")
    whole, half = (document(*options, "--weight-bytes", width)["param_bytes"] for width in ("int8", "int4"))
    assert half == -(-whole // 2)
    assert "--batch: expected 1" in message(*options, "--batch", "2")


def test_a_batch(module: str) -> None:
    one, many = (document(f"{module}:Wide", "--input", "3,8,8", "--batch", count) for count in ("1", "6"))
    assert (many["batch"], many["input"]) == (6, [3, 8, 8])
    assert many["param_bytes"] == one["param_bytes"]
    assert many["peaks"]["sequential_bytes"] == 6 * one["peaks"]["sequential_bytes"]
    assert "6 images of 3×8×8" in run(f"{module}:Wide", "--input", "3,8,8", "--batch", "6").stdout


def test_the_table_of_layers(module: str, architecture_file: Path) -> None:
    target = (f"{module}:Wide", "--input", "3,8,8")
    row = {"layer": "0", "operations": ["convolution"], "inputs": ["image"], "shape": [4, 6, 6]}
    assert document(*target, "--layers")["layers"] == [{**row, "bytes": 4 * 4 * 36, "weights": 4 * 27 + 4}]
    assert "layers" not in document(*target)
    assert "convolution  4×6×6    576" in run(*target, "--layers").stdout
    found = document(str(architecture_file), "--input", "3,16,16", "--layers")
    assert sum(row["weights"] for row in found["layers"]) == found["parameters"]


def test_mobilenet_v2_with_depthwise_convolutions_in_place() -> None:
    """The second block's first layer remains: 96 channels at 112x112 from 16."""
    options = ("--input", "3,224,224", "--activation-bytes", "int8", "--depthwise-in-place")
    found = document("torchvision:mobilenet_v2", *options)
    assert found["arena"]["bytes"] == (96 + 16) * 112 * 112 == 1_404_928
    assert found["arena"]["rules"]["depthwise_in_place"] is True


@pytest.mark.parametrize("batch", ["0", str(2**20 + 1), "9" * 19, "9" * 401])
def test_a_batch_beyond_counting_is_refused(batch: str, module: str) -> None:
    result = run(f"{module}:Wide", "--input", "3,8,8", "--batch", batch)
    assert (result.exit_code, type(result.exception)) == (2, SystemExit)
    assert "Invalid value for '--batch'" in result.output
