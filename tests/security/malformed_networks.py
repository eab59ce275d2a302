"""Targets of `memnas memory`: architectures, exported programs and what is neither.

Each entry: the file's name, its content, further arguments, words of the message.
"""

import io
import json
import pickle
import zipfile
from typing import NamedTuple

from tests.security.spoiling import Canary

IMAGE = ("--input", "3,8,8")
PICKLE = pickle.dumps(Canary())
GOOD = (
    '{"memnas_architecture":1,"filters":4,"blocks":[{"stride":1,"cells":[{"first":[0,"conv_3x3"],"second":null,'
    '"combiner":"sum","included":true}]}]}'
)


class Case(NamedTuple):
    label: str
    file: str
    content: bytes
    arguments: tuple[str, ...]
    words: str


def _archive(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def _program(text: bytes, weights: bytes = b'{"config":{}}') -> bytes:
    return _archive(**{"x/models/model.json": text, "x/data/weights/model_weights_config.json": weights})


def _text(old: str, new: str) -> bytes:
    assert old in GOOD
    return GOOD.replace(old, new).encode()


def _many_cells(count: int) -> bytes:
    """Return an architecture of parallel cells; 2,600 of them once took minutes."""
    document = json.loads(GOOD)
    document["blocks"][0]["cells"] *= count
    return json.dumps(document, separators=(",", ":")).encode()


VERSION = {"schema_version": {"major": 8}}
EMPTY = {"graph": {"nodes": [], "tensor_values": {}}, "signature": {"input_specs": [], "output_specs": []}}


LISTS = b',"x":[' + b",".join([b"[]"] * 10_000_000) + b"]}"
"""As 30 kB in an archive they took 1.9 GB."""
TENSORS = json.dumps(dict.fromkeys(map(str, range(2**20)), 1))


def _graph(nodes: str, tensors: str) -> bytes:
    """Return a program with a graph of this JSON."""
    signature = '"signature":{"input_specs":[],"output_specs":[]}'
    graph = f'{{"nodes":{nodes},"tensor_values":{tensors}}}'
    return _program(f'{json.dumps(VERSION)[:-1]},"graph_module":{{"graph":{graph},{signature}}}}}'.encode())


def _node(target: str, inputs: list[object], dtype: int = 7) -> bytes:
    """Return a program of one operator on a tensor `x`."""
    tensor = {
        "dtype": dtype,
        "sizes": [{"as_int": 1}, {"as_int": 3}],
        "strides": [{"as_int": 3}, {"as_int": 1}],
        "storage_offset": {"as_int": 0},
    }
    user = {"arg": {"as_tensor": {"name": "x"}}}
    graph = {
        "nodes": [{"target": target, "inputs": inputs, "outputs": [{"as_tensor": {"name": "y"}}], "metadata": {}}],
        "tensor_values": {"x": tensor, "y": tensor},
    }
    signature = {
        "input_specs": [{"user_input": user}],
        "output_specs": [{"user_output": {"arg": {"as_tensor": {"name": "y"}}}}],
    }
    return _program(json.dumps(VERSION | {"graph_module": {"graph": graph, "signature": signature}}).encode())


X = {"name": "self", "arg": {"as_tensor": {"name": "x"}}}
RELU = "torch.ops.aten.relu.default"

ARCHITECTURES = tuple(
    Case(f"architecture {label}", "a.json", content, IMAGE, f"a.json{words}")
    for label, content, words in (
        ("empty", b"", ": expected JSON"),
        ("no text", b"\xff\xfe", ": expected an architecture's JSON"),
        ("pickle", PICKLE, ": expected"),
        ("truncated", GOOD.encode()[:50], ": expected JSON"),
        ("list", b"[]", ": expected an object"),
        ("null", b"null", ": expected an object"),
        ("deep", b"[" * 100_000, ": expected JSON"),
        ("long", b" " * 2**19, ": cannot be read"),
        ("many cells", _many_cells(2_600), ": cannot be read: expected at most 131,072 bytes"),
        ("other version", _text('tecture":1', 'tecture":2'), ": expected version 1"),
        ("version of text", _text('tecture":1', 'tecture":"1"'), ": memnas_architecture: expected a whole number"),
        ("no blocks", _text('"blocks":[', '"bricks":['), ": expected the keys blocks, filters, memnas_"),
        ("blocks of text", _text('"blocks":[{', '"blocks":["a",{'), ", block 1: expected an object"),
        ("stride 3", _text('"stride":1', '"stride":3'), ", block 1: stride: expected 1 or 2"),
        ("stride true", _text('"stride":1', '"stride":true'), ", block 1: stride: expected a whole number"),
        ("no cells", _text('"cells":[', '"cell":['), ": expected the keys cells, filters, stride, found"),
        ("cells null", _text('"cells":[{', '"cells":[null,{'), ", block 1, cell 1: expected an object"),
        ("unknown operation", _text("conv_3x3", "__import__"), ", block 1, cell 1: first: expected one of"),
        ("input of text", _text('[0,"conv', '["0","conv'), ", block 1, cell 1: first: expected [input, operation]"),
        ("input beyond", _text('[0,"conv', '[9,"conv'), ", block 1"),
        ("input negative", _text('[0,"conv', '[-1,"conv'), ", block 1"),
        ("nothing included", _text("true", "false"), ", block 1"),
        ("unknown combiner", _text('"sum"', '"eval"'), ", block 1, cell 1: combiner"),
        ("no filters", _text('"filters":4', '"filters":0'), ": filters: expected"),
        ("filters negative", _text('"filters":4', '"filters":-4'), ": filters: expected"),
        ("filters 1e400", _text('"filters":4', '"filters":1e400'), ": filters: expected"),
        ("filters of 400 digits", _text('"filters":4', f'"filters":{"9" * 400}'), ": filters: expected"),
        ("filters of 5000 digits", _text('"filters":4', f'"filters":{"9" * 5000}'), ": expected JSON"),
        ("half a character", _text('"sum"', '"\\ud800"'), ", block 1, cell 1: combiner"),
    )
)

PROGRAMS = tuple(
    Case(f"program {label}", "a.pt2", content, (), f"a.pt2{words}")
    for label, content, words in (
        ("empty", b"", ": expected a file written by torch.export.save"),
        ("pickle", PICKLE, ": expected a file written by torch.export.save"),
        ("half", _program(b"{}")[:60], ": expected a file written by torch.export.save"),
        ("empty archive", _archive(), ": expected one exported program"),
        ("of torch.save", _archive(**{"x/data.pkl": PICKLE}), ": expected one exported program"),
        (
            "TorchScript",
            _archive(**{"x/constants.pkl": PICKLE, "x/code/a.py": b"import os"}),
            ": expected one exported",
        ),
        ("two programs", _archive(**{"x/models/a.json": b"{}", "x/models/b.json": b"{}"}), ": expected one exported"),
        ("no weights", _archive(**{"x/models/model.json": b"{}"}), ": expected a file written by torch.export.save"),
        ("up and out", _archive(**{"../../x/models/model.json": b"{}"}), ": expected"),
        ("bomb", _program(b" " * (2**28 + 1)), ": expected at most"),
        ("bomb of lists", _program(json.dumps(VERSION).encode()[:-1] + LISTS), ": expected at most"),
        ("bomb of faults", _graph(f"[{','.join(['1'] * 2**20)}]", "{}"), ": expected an exported program"),
        ("bomb of faulty tensors", _graph("[]", TENSORS), ": expected an exported program"),
        ("no JSON", _program(b"import os"), ": expected an exported program"),
        ("deep", _program(b"[" * 100_000), ": expected an exported program"),
        ("list", _program(b"[]"), ": expected an exported program"),
        ("other format", _program(b'{"schema_version":{"major":99}}'), ": expected an exported program of format 8"),
        ("no graph", _program(json.dumps(VERSION).encode()), ": expected an exported program"),
        ("empty graph", _program(json.dumps(VERSION | {"graph_module": EMPTY}).encode()), ": expected"),
        ("weights of text", _program(json.dumps(VERSION | {"graph_module": EMPTY}).encode(), b'"a"'), ": expected"),
        ("unknown type", _node(RELU, [X], dtype=999), ": expected"),
        ("control flow", _node("torch.ops.higher_order.cond", [X]), ""),
        ("no argument", _node(RELU, [{"name": "self", "arg": {}}]), ""),
        ("two arguments in one", _node(RELU, [{"name": "self", "arg": {"as_int": 1, "as_bool": True}}]), ""),
        ("unknown tensor", _node(RELU, [{"name": "self", "arg": {"as_tensor": {"name": "z"}}}]), ""),
        ("wrong argument", _node(RELU, [{"name": "self", "arg": {"as_string": "x"}}]), ""),
        ("missing argument", _node(RELU, []), ""),
    )
)

OPERATORS = tuple(
    Case(f"operator {target}", "a.pt2", _node(target, [X]), (), "expected operators of")
    for target in (
        "os.system",
        "torch.ops.os.system.default",
        "torch.ops.aten.__class__.default",
        "torch.ops.aten.relu.__init__",
        "torch.ops.aten.from_file.default",
        "torch.load",
        "builtins.eval",
    )
)

OTHERS = tuple(
    Case(label, file, content, arguments, words)
    for label, file, content, arguments, words in (
        ("ONNX", "a.onnx", b"\x08\x0a\x12\x06memnas\xff", IMAGE, "a.onnx: expected"),
        ("ExecuTorch", "a.pte", b"\x20\x00\x00\x00ET12\xff\xff", IMAGE, "a.pte: expected"),
        ("safetensors", "a.safetensors", b"\x02\0\0\0\0\0\0\0{}", IMAGE, "a.safetensors: expected"),
        ("weights of torch.save", "a.pth", _archive(**{"x/data.pkl": PICKLE}), (), "a.pth: expected"),
        ("odd name", "a\nb\x1b[2J.json", b"{", IMAGE, "a\\nb\\x1b[2J.json: expected JSON"),
        ("no input", "a.json", GOOD.encode(), (), "--input: expected"),
        ("negative side", "a.json", GOOD.encode(), ("--input", "3,-8,8"), "--input: expected"),
        ("side of 400 digits", "a.json", GOOD.encode(), ("--input", f"3,{'9' * 400},8"), "--input: expected"),
        ("side of 5000 digits", "a.json", GOOD.encode(), ("--input", f"3,{'9' * 5000},8"), "--input: expected"),
        (
            "sides of 2**72 values",
            "a.json",
            GOOD.encode(),
            ("--input", "16777216,16777216,16777216"),
            "--input: expected",
        ),
        ("plot into nowhere", "a.json", GOOD.encode(), (*IMAGE, "--plot", "a.json/x.svg"), "a.json/x.svg"),
    )
)

CASES = ARCHITECTURES + PROGRAMS + OPERATORS + OTHERS
