"""The table of operations: what may be registered, and that nothing known changes when something is."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from memnas_core.errors import ArchitectureError
from memnas_core.space import operations as ops
from memnas_core.space.layers import Layer, LayerKind, Shape
from memnas_core.space.operations import OPERATIONS, Label, Operation, Operations, Place, convolution

LABEL = Label("#000000", "mine", "my own")
NAMES = [
    "conv_3x3",
    "depthwise_3x3",
    "depthwise_5x5",
    "factorized_7x7",
    "average_pool_3x3",
    "max_pool_3x3",
    "dilated_3x3",
    "identity",
]


def test_the_papers_operations_in_its_bit_order() -> None:
    assert list(OPERATIONS.basic) == NAMES
    assert list(OPERATIONS) == [*NAMES, "separable_3x3", "separable_5x5"]
    assert [operation.number for operation in OPERATIONS] == list(range(10))
    assert list(OPERATIONS.grown) == NAMES[:-1]
    assert [name for name in OPERATIONS if OPERATIONS[name].reads_any_width] == [
        "conv_3x3",
        "factorized_7x7",
        "dilated_3x3",
        "separable_3x3",
        "separable_5x5",
    ]
    with pytest.raises(ArchitectureError, match=r"expected one of conv_3x3, .*, separable_5x5, found 'conv_9x9'"):
        OPERATIONS["conv_9x9"]


def test_an_operation_is_one_object_wherever_it_travels() -> None:
    for operation in OPERATIONS:
        assert pickle.loads(pickle.dumps(operation)) is operation
    assert json.dumps(ops.CONV_3X3) == '"conv_3x3"'


def longer(place: Place) -> tuple[Layer, ...]:
    return (*convolution(3)(place), Layer("elsewhere", LayerKind.CONV, (place.name,), 4, place.output))


def not_reading(place: Place) -> tuple[Layer, ...]:
    return (Layer(place.name, LayerKind.CONV, ("nothing",), 4, place.output),)


def narrow(place: Place) -> tuple[Layer, ...]:
    return (Layer(place.name, LayerKind.CONV, (place.source,), 4, Shape(1, 4, 4)),)


@pytest.mark.parametrize(
    ("name", "layers", "words"),
    [
        ("mine", longer, "expected layers whose names begin with that of the place"),
        ("mine", not_reading, "which read what was written before"),
        ("mine", narrow, r"expected to write Shape\(channels=4, height=8, width=8\) from .* at stride 1"),
        ("my own", convolution(3), "expected a name of its own"),
    ],
)
def test_what_may_not_be_registered(name: str, layers: ops.Lowering, words: str) -> None:
    with pytest.raises(ArchitectureError, match=words):
        Operations().add(Operation(name, layers, LABEL))


def test_a_name_is_taken_once() -> None:
    table = Operations()
    table.add(Operation("mine", convolution(3), LABEL, reads_any_width=True))
    with pytest.raises(ArchitectureError, match="'mine': expected a name of its own"):
        table.add(Operation("mine", convolution(5), LABEL))


FURTHER = """
import json, pickle, sys
from pathlib import Path
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner, canonical
from memnas_core.space.architecture_json import from_json, to_json
from memnas_core.space.moves import generate, seed_architecture
from memnas_core.space.operations import Label, Operation, convolution, register

texts, kernels = json.loads(Path(sys.argv[1]).read_text()), json.loads(sys.argv[2])
before = [from_json(text).arch_id for text in texts]
label = Label("#000000", "mine", "my own")
for kernel in kernels:
    register(Operation(f"mine_{kernel}", convolution(kernel), label, reads_any_width=True), __name__)
ids = []
for kernel in (5, 7):
    mine = pickle.loads(pickle.dumps(seed_architecture((1, 2), 4)))
    for place in (0, 1):
        first = Cell(Branch(0, register.__globals__["OPERATIONS"]["conv_3x3"]), None, Combiner.SUM, True)
        second = Cell(Branch(place, register.__globals__["OPERATIONS"][f"mine_{kernel}"]), None, Combiner.SUM, True)
        own = Architecture((Block((first, second), 1),), 4)
        assert from_json(to_json(own)) == own and canonical(own).arch_id == own.arch_id
        ids.append(own.arch_id)
after = [from_json(text).arch_id for text in texts]
grown = sum("mine_7" in candidate.words for candidate in generate(seed_architecture((1, 2), 4), 1)[0])
print(json.dumps([before, after, ids, grown]))
"""


def test_ids_stay_when_operations_are_added(tmp_path: Path) -> None:
    """In a process of its own, as the table is one for all."""
    from memnas_core.space.architecture_json import to_json
    from tests.core.random_architectures import random_walks

    architectures = list(random_walks(seed=3, count=80))
    (tmp_path / "texts").write_text(json.dumps([to_json(architecture) for architecture in architectures]))
    found = []
    for kernels in ("[5, 7]", "[7, 5]"):
        command = [sys.executable, "-c", FURTHER, str(tmp_path / "texts"), kernels]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
        assert done.returncode == 0, done.stderr
        before, after, ids, grown = json.loads(done.stdout)
        assert before == after == [architecture.arch_id for architecture in architectures]
        assert grown > 0
        found.append(ids)
    assert len(set(found[0])) == 4
    assert found[0] == found[1]  # nor do ids of networks with an operation depend on what was added before it
