"""The `memory` command as a person runs it."""

import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from uuid import uuid4
from xml.etree import ElementTree

import pytest

from flows.memory.command import memory_command
from flows.memory.options import ByteCount
from memnas_core.errors import InputError, StorageError
from memnas_core.memory.arena import plan_shared
from memnas_core.memory.arena_rules import ArenaRules, shared_graph
from memnas_core.memory.block_arena import ARENA
from memnas_core.memory.figures import measure
from memnas_core.memory.lifetimes import least_peak, peaks
from memnas_core.memory.parameters import parameter_bytes
from memnas_core.memory.running_order import best_order
from memnas_core.memory.runtime_operators import runtime_graph
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.architecture_json import to_json
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape, Workload
from tests.flows.memory.memory_command import ARCHITECTURE, document, run


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
        "arena_bytes": wide + narrow,
    }
    assert found["totals"] == {
        "paper_bytes": 4 * 3_504_872 + wide,
        "sequential_bytes": 4 * 3_504_872 + wide + narrow,
        "minimum_bytes": 4 * 3_504_872 + wide + narrow,
        "arena_bytes": 4 * 3_504_872 + wide + narrow,
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
    figures = measure(ARCHITECTURE, Workload(Shape(3, 16, 16), 7, weight_bytes=4, activation_bytes=4))
    assert found["param_bytes"] == figures.param_bytes
    assert found["peaks"] == {
        "paper_bytes": figures.paper_bytes,
        "sequential_bytes": figures.sequential_bytes,
        "minimum_bytes": figures.minimum_bytes,
        "arena_bytes": figures.arena_bytes,
    }
    for convention, steps in found["at_peak"].items():
        for step in steps:
            assert sum(tensor["bytes"] for tensor in step["tensors"]) == found["peaks"][f"{convention}_bytes"]


def test_the_text_shows_figures_and_defaults(architecture_file: Path) -> None:
    result = run(str(architecture_file), "--input", "3,16,16")
    figures = measure(ARCHITECTURE, Workload(Shape(3, 16, 16), 10, weight_bytes=4, activation_bytes=4))
    assert result.exit_code == 0
    assert "10 classes (default" in result.stdout
    assert "minimum is exact" in result.stdout
    for count in (figures.param_bytes, figures.sequential_bytes, figures.param_bytes + figures.paper_bytes):
        assert f"{count:,}" in result.stdout
    assert "at the peak under sequential" in result.stdout
    assert "8×16×16" in result.stdout


def test_where_minimum_is_not_exact_the_bound_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two branches need 4,608 bytes in the best order; a search that may look at nothing can only bound that."""
    module = f"branches_{uuid4().hex}"
    (tmp_path / f"{module}.py").write_text(re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)[1])
    monkeypatch.chdir(tmp_path)
    target = (f"{module}:Branches", "--input", "1,16,16", "--activation-bytes", "int8")
    assert "minimum is exact: no order of the layers needs less" in run(*target).stdout

    monkeypatch.setattr("memnas_core.memory.report.least_peak", partial(least_peak, state_limit=0))
    found = document(*target)
    # the image beside a wide layer, in any order
    assert 256 * (1 + 16) <= found["minimum_lower_bound_bytes"] < found["peaks"]["minimum_bytes"]
    assert found["minimum_exact"] is False
    bound = f"{found['minimum_lower_bound_bytes']:,}"
    assert f"minimum is the best order found; no order needs less than {bound} bytes" in run(*target).stdout


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


def test_names_for_widths_and_the_bytes_of_parameters(architecture_file: Path) -> None:
    graph = lower(ARCHITECTURE, Shape(3, 16, 16), 10)
    options = ("--input", "3,16,16", "--weight-bytes", "int8", "--bias-bytes", "4", "--activation-bytes", "float16")
    found = document(str(architecture_file), *options, "--fold-batch-norm")
    assert found["param_bytes"] == parameter_bytes(graph, 1, 4, fold_batch_norm=True)
    assert found["stored_parameters"] < found["parameters"] == graph.weights
    assert found["peaks"]["sequential_bytes"] == peaks(graph.plain(), graph.sizes(2)).sequential
    unfolded = document(str(architecture_file), *options, "--no-fold-batch-norm")
    assert unfolded["param_bytes"] == parameter_bytes(graph, 1, 4, fold_batch_norm=False)


@pytest.mark.parametrize(
    ("options", "rules", "alignment"),
    [
        ([], (True, False, True, True), 16),
        (["--no-in-place"], (False, False, True, True), 16),
        (["--direct-concats"], (True, True, True, True), 16),
        (["--no-count-inputs"], (True, False, False, True), 16),
        (["--no-count-outputs"], (True, False, True, False), 16),
        (["--alignment", "1024", "--order", "sequential"], (True, False, True, True), 1024),
    ],
)
def test_switches_of_the_arena(
    options: list[str], rules: tuple[bool, ...], alignment: int, architecture_file: Path
) -> None:
    """The arena is the one that the core plans under these rules, in that order."""
    found = document(str(architecture_file), "--input", "3,16,16", *options)
    graph = lower(ARCHITECTURE, Shape(3, 16, 16), 10)
    names = ("in_place", "direct_concats", "counts_inputs", "counts_outputs")
    switches = ArenaRules(**dict(zip(names, rules, strict=True)))
    running = graph if "--order" in options else best_order(graph)[0]
    made = runtime_graph(running, replace(ARENA, rules=switches, alignment=alignment), 4)
    plan = plan_shared(shared_graph(made.layers, made.sizes, made.roles, switches, alignment=alignment), alignment)
    arena = found["arena"]
    assert (arena["bytes"], arena["lower_bound_bytes"], arena["alignment"]) == (plan.bytes, plan.lower_bound, alignment)
    assert arena["rules"] == asdict(switches)
    assert arena["placements"] == [asdict(placement) for placement in plan.placements]
    assert sum(tensor["bytes"] for tensor in arena["at_peak"]["tensors"]) <= plan.lower_bound


DOCS = Path(__file__).parents[3] / "docs" / "memory.md"


EXAMPLES = re.findall(r"`net:(\w+) ([^`]+)`: (parameters|arena) ([\d,]+), not ([\d,]+)", DOCS.read_text())


def test_the_examples_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every switch has one, and the figures are those that come out."""
    code = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)[1]
    module = f"documented_{uuid4().hex}"
    (tmp_path / f"{module}.py").write_text(code)
    monkeypatch.chdir(tmp_path)

    def figure(network: str, what: str, *options: str) -> int:
        found = document(f"{module}:{network}", "--input", "1,16,16", "--activation-bytes", "int8", *options)
        return found["param_bytes"] if what == "parameters" else found["arena"]["bytes"]

    documented = set()
    for network, options, what, after, before in EXAMPLES:
        switches = options.split()
        documented |= {switch for switch in switches if switch.startswith("--")}
        plain = switches[:2] if len(switches) == 4 else []  # the second switch is the one that is shown
        assert figure(network, what, *plain) == int(before.replace(",", "")), options
        assert figure(network, what, *switches) == int(after.replace(",", "")), options
    known = {name for option in memory_command.params for name in (*option.opts, *option.secondary_opts)}
    assert documented <= known
    text = DOCS.read_text()
    assert all(any(f"`{name}" in text for name in (*o.opts, *o.secondary_opts)) for o in memory_command.params[1:])


def test_each_switch_changes_the_arena(tmp_path: Path) -> None:
    """A hand-worked network in which each of them matters: 16x16 pixels, one byte an activation."""
    two_branches = Architecture(
        (Block((Cell(Branch(0, ops.CONV_3X3), Branch(0, ops.CONV_3X3), Combiner.SUM, included=True),), 1),),
        filters=2,
    )
    path = tmp_path / "architecture.json"
    path.write_text(to_json(two_branches))

    def arena(*options: str) -> int:
        common = ("--input", "3,16,16", "--activation-bytes", "1", "--alignment", "1")
        return document(str(path), *common, *options)["arena"]["bytes"]

    # image 768 + stem 512 | stem, a, b: 3 * 512 | a, b and their sum, in place: 2 * 512
    assert arena() == 1536
    assert arena("--no-in-place") == 1536
    concat = two_branches.blocks[0].cells[0]._replace(combiner=Combiner.CONCAT)
    path.write_text(to_json(Architecture((Block((concat,), 1),), filters=2)))
    # a, b and their concatenation: 2048; written directly a and b are the concatenation: stem 512 + 1024
    assert arena() == 2048
    assert arena("--direct-concats") == 1536
    path.write_text(
        to_json(Architecture((Block((Cell(Branch(0, ops.CONV_3X3), None, Combiner.SUM, included=True),), 1),), 1))
    )
    # F = 1: image 768 + stem 256 | stem 256 + a 256 | a 256 + pool 1 | pool 1 + scores 10
    assert arena() == 1024
    assert arena("--no-count-inputs") == 512
    assert arena("--alignment", "1000") == 2000


class TestLimit:
    def test_what_fits(self, architecture_file: Path) -> None:
        arena = document(str(architecture_file), "--input", "3,16,16")["arena"]["bytes"]
        result = run(str(architecture_file), "--input", "3,16,16", "--limit", str(arena), "--param-limit", "1MB")
        assert result.exit_code == 0
        assert f"leaves 0 of {arena:,} bytes free" in result.stdout
        assert "they fit" in result.stdout

    def test_what_does_not_fit(self, architecture_file: Path) -> None:
        found = document(str(architecture_file), "--input", "3,16,16")
        arena = found["arena"]["bytes"]
        options = (str(architecture_file), "--input", "3,16,16", "--limit", str(arena - 1))
        result = run(*options)
        assert result.exit_code == 1
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert "does not fit: the arena is 1 bytes larger" in result.stdout
        judged = json.loads(run(*options, "--json").stdout)
        verdicts = judged["limit"]["conventions"]
        assert judged["fits"] is False
        assert {name: verdict["fits"] for name, verdict in verdicts.items()} == {
            name: found["peaks"][f"{name}_bytes"] < arena for name in ("paper", "sequential", "minimum", "arena")
        }
        blamed = {tensor["name"] for tensor in verdicts["arena"]["tensors"]}
        assert blamed >= {tensor["name"] for tensor in found["arena"]["at_peak"]["tensors"]}

    def test_parameters(self, architecture_file: Path) -> None:
        result = run(str(architecture_file), "--input", "3,16,16", "--param-limit", "100", "--json")
        assert result.exit_code == 1
        assert json.loads(result.stdout)["param_limit"] == {"bytes": 100, "fits": False}

    @pytest.mark.parametrize(
        ("text", "count"), [("64kB", 64_000), ("64KiB", 65_536), ("65536", 65_536), ("1.5 MB", 1_500_000), ("7B", 7)]
    )
    def test_sizes(self, text: str, count: int) -> None:
        assert ByteCount().convert(text, None, None) == count

    @pytest.mark.parametrize("text", ["64k", "-1", "kB", "64 parsecs", ""])
    def test_no_sizes(self, text: str) -> None:
        result = run("torchvision:resnet18", "--input", "3,64,64", "--limit", text)
        assert result.exit_code == 2
        assert "64KiB" in result.stderr


def test_the_arena_plot(architecture_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "arena.svg"
    result = run(str(architecture_file), "--input", "3,16,16", "--arena-plot", str(path))
    assert result.exit_code == 0, result.output
    text = path.read_text(encoding="utf-8")
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert "At the peak, step" in text
    assert "the least for this order" in text


@pytest.mark.parametrize(
    ("target", "shape", "words"),
    [
        ("torchvision:mobilnet_v2", "3,224,224", ["did you mean mobilenet_v2"]),
        ("torchvision:zzz", "3,224,224", ["expected a network of torchvision"]),
        ("torchvision:resnet18", "3x224x224", ["channels,height,width", "3x224x224"]),
        ("torchvision:resnet18", "3,0,224", ["channels,height,width"]),
        ("torchvision:resnet18", f"3,{'9' * 400},224", ["channels,height,width"]),
        ("torchvision:resnet18", f"3,{'9' * 5000},224", ["channels,height,width"]),
        ("torchvision:resnet18", "3,224,224:floats", ["3,224,224:floats", "bfloat16"]),
        ("torchvision:resnet18", "224,224", ["conv1", "1×224×224"]),
        ("torchvision:resnet18", "1,3,224,224", ["the batch is left out: 3,224,224", "conv1"]),
        ("torchvision:resnet18", "a b=3,224,224", ["a b=3,224,224", "named argument"]),
        ("net.onnx", "3,224,224", ["found an ONNX file", "MODULE:CALLABLE"]),
        ("net.tflite", "3,224,224", ["found a TensorFlow Lite file"]),
        ("model.safetensors", "3,224,224", ["weights but no layers"]),
        ("{good}", "16,16", ["channels,height,width", "architecture"]),
        ("{empty}", "3,16,16", ["without a search"]),
        ("{binary}.pt2", "3,16,16", ["cannot be read"]),
        ("torchvision:resnet18", "1,32,32", ["1,32,32", "conv1", "channel"]),
        ("torchvision:alexnet", "3,32,32", ["features.12", "too small"]),
        ("torchvision:vit_b_16", "3,32,32", ["Expected 224"]),
        ("absent.json", "3,16,16", ["absent.json", "torchvision:NAME"]),
        ("{good}", "3,15,15", ["15", "multiple of 2"]),
        ("{truncated}", "3,16,16", ["truncated.json", "JSON"]),
        ("{binary}", "3,16,16", ["binary.json", "no text"]),
    ],
)
def test_wrong_input_is_one_line(
    target: str, shape: str, words: list[str], architecture_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "truncated.json").write_text(to_json(ARCHITECTURE)[:-40])
    (tmp_path / "binary.json").write_bytes(b"\x80\x03\xff")
    target = target.format(
        good=architecture_file,
        truncated=tmp_path / "truncated.json",
        binary=tmp_path / "binary.json",
        empty=tmp_path / "empty",
    )
    result = run(target, "--input", shape, "--json")
    assert isinstance(result.exception, InputError), result.output
    assert result.exception.exit_code == 2
    message = str(result.exception)
    assert "\n" not in message
    for word in words:
        assert word in message
    assert result.stdout == ""


@pytest.mark.parametrize("number", ["9" * 20, "9" * 401, "9" * 4000, "9" * 5000])
@pytest.mark.parametrize(
    "option",
    ["--classes", "--alignment", "--limit", "--param-limit", "--weight-bytes", "--bias-bytes", "--activation-bytes"],
)
def test_a_number_beyond_all_use_is_refused(option: str, number: str, architecture_file: Path) -> None:
    result = run(str(architecture_file), "--input", "3,16,16", option, number)
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit), result.exception
    assert f"Invalid value for '{option}'" in result.stderr
    assert result.stdout == ""


def test_the_largest_numbers_can_be_printed(architecture_file: Path) -> None:
    largest = ["--classes", "1000000000", "--alignment", str(2**30), "--weight-bytes", "64", "--activation-bytes", "64"]
    limits = ["--limit", "9007199254740992", "--param-limit", "8000000000MB"]
    assert run(str(architecture_file), "--input", "3,16,16", *largest, *limits).exit_code == 0
    assert document(str(architecture_file), "--input", "3,16,16", *largest, *limits)["fits"] is True


def test_input_is_required() -> None:
    result = run("torchvision:resnet18")
    assert isinstance(result.exception, InputError)
    assert "--input" in str(result.exception)


def test_help_needs_no_torch() -> None:
    code = "import sys, flows.memory.command; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
