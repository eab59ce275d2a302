"""Architectures as JSON: there and back, and what is refused."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memnas_core.errors import ArchitectureError
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.architecture_json import from_json, read_architecture, to_json
from memnas_core.space.moves import seed_architecture
from memnas_core.space.operations import OPERATIONS
from tests.core.random_architectures import random_walk, shuffled, with_widths

CONV, *_, IDENTITY = OPERATIONS.basic
SUM, CONCAT = Combiner.SUM, Combiner.CONCAT


@given(st.integers(0, 10_000))
def test_json_round_trips(seed: int) -> None:
    rng = random.Random(seed)
    architecture = shuffled(rng, random_walk(rng, rng.randint(0, 10), rng.choices((1, 2), k=3)))
    if seed % 2:
        architecture = with_widths(rng, architecture)
    text = to_json(architecture)
    assert "\n" not in text
    assert read_architecture(text, "net.json") == architecture
    assert from_json(text) == architecture
    assert from_json(text).arch_id == architecture.arch_id


def test_json_by_hand() -> None:
    text = """
    {"memnas_architecture": 1, "filters": 16, "blocks": [{"stride": 2, "cells": [
        {"first": [0, "conv_3x3"], "second": null, "combiner": "sum", "included": false},
        {"first": [1, "identity"], "second": [0, "max_pool_3x3"], "combiner": "concat", "included": true}]}]}
    """
    first = Cell(Branch(0, CONV), None, SUM, included=False)
    second = Cell(Branch(1, IDENTITY), Branch(0, ops.MAX_POOL_3X3), CONCAT, included=True)
    assert from_json(text) == Architecture((Block((first, second), 2),), 16)


def test_a_blocks_own_filters_are_written_only_where_it_has_some() -> None:
    plain = seed_architecture((1, 2), 4)
    own = Architecture((plain.blocks[0], replace(plain.blocks[1], filters=6)), 4)
    assert [block.get("filters") for block in json.loads(to_json(own))["blocks"]] == [None, 6]
    assert "filters" not in json.loads(to_json(plain))["blocks"][1]
    document = json.loads(to_json(own))
    document["blocks"][1]["filters"] = 4
    assert from_json(json.dumps(document)) == plain, "a block may also say that it has F"


GOOD = json.loads(to_json(seed_architecture((1, 2), 4)))
DELETED = object()


def broken(path: tuple[str | int, ...], value: object) -> str:
    """Return good JSON with one value replaced or deleted."""
    document = json.loads(json.dumps(GOOD))
    target = document
    for key in path[:-1]:
        target = target[key]
    if value is DELETED:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return json.dumps(document)


FIRST_CELL = ("blocks", 0, "cells", 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "net.json: expected JSON, found none"),
        ('{"memnas_architecture": 1,', "net.json: expected JSON, found none"),
        ("[" * 100_000, "net.json: expected JSON, found none"),
        ("9" * 5000, "net.json: expected JSON, found none"),
        ("[]", "net.json: expected an object with 'memnas_architecture', found []"),
        ("null", "net.json: expected an object with 'memnas_architecture', found null"),
        ("{}", "net.json: memnas_architecture: expected a whole number, found nothing"),
        (broken(("memnas_architecture",), 2), "net.json: expected version 1 of the format, found 2"),
        (
            broken(("memnas_architecture",), True),
            "net.json: memnas_architecture: expected a whole number, found true",
        ),
        (broken(("filters",), 0), "net.json: filters: expected a positive number, found 0"),
        (broken(("filters",), "4"), 'net.json: filters: expected a whole number, found "4"'),
        (broken(("filters",), 4.0), "net.json: filters: expected a whole number, found 4.0"),
        (broken(("filters",), DELETED), "net.json: filters: expected a whole number, found nothing"),
        (broken(("blocks",), []), "net.json: blocks: expected at least one, found none"),
        (broken(("blocks",), {}), "net.json: blocks: expected a list, found {}"),
        (broken(("blocks", 1), 7), "net.json, block 2: expected an object with 'cells', found 7"),
        (broken(("blocks", 1, "stride"), 4), "net.json, block 2: stride: expected 1 or 2, found 4"),
        (
            broken(("blocks", 0, "stride"), True),
            "net.json, block 1: stride: expected a whole number, found true",
        ),
        (
            broken(("blocks", 0, "cells"), []),
            "net.json, block 1: cells: expected at least one that is included",
        ),
        (broken(("blocks", 1, "filters"), 0), "net.json, block 2: filters: expected a positive number, found 0"),
        (broken(("blocks", 1, "filters"), None), "net.json, block 2: filters: expected a whole number, found null"),
        (broken(("blocks", 1, "filters"), 2**20 + 1), "net.json, block 2: filters: expected at most 1,048,576, found"),
        (
            broken((*FIRST_CELL, "combiner"), "product"),
            'net.json, block 1, cell 1: combiner: expected sum or concat, found "product"',
        ),
        (
            broken((*FIRST_CELL, "included"), 1),
            "net.json, block 1, cell 1: included: expected true or false, found 1",
        ),
        (
            broken((*FIRST_CELL, "first"), [0, "conv_9x9"]),
            "net.json, block 1, cell 1: first: expected one of conv_3x3, depthwise_3x3,",
        ),
        (
            broken((*FIRST_CELL, "first"), ["conv_3x3", 0]),
            "net.json, block 1, cell 1: first: expected [input, operation] or null, found [",
        ),
        (
            broken((*FIRST_CELL, "second"), DELETED),
            "net.json, block 1, cell 1: second: expected [input, operation] or null, found nothing",
        ),
        (
            broken((*FIRST_CELL, "first"), [5, "conv_3x3"]),
            "net.json, block 1: cell 1: expected an input from 0 to 0, found 5",
        ),
    ],
)
def test_bad_json_says_where_what_and_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        from_json(text, source="net.json")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"filters": 4', '"filters": 4, "filters": 8', "filters: expected one value, found the key twice; remove one"),
        ('"stride": 1', '"stride": 2, "stride": 1', "stride: expected one value, found the key twice; remove one"),
        ('"combiner": "sum"', '"combiner": "sum", "combiner": "sum"', "combiner: expected one value"),
        (
            '"filters": 4',
            '"filters": 4, "classes": 7',
            'expected the keys blocks, filters, memnas_architecture, stem_stride, found "cl',
        ),
        ('"stride": 1', '"stride": 1, "strides": 2', 'expected the keys cells, filters, stride, found "strides'),
        (
            '"included": true',
            '"included": true, "Included": 1',
            "expected the keys combiner, first, included, second, f",
        ),
        ('"included": true', '"included": true, "a\\nb": {}', 'found "a\\nb"; remove it'),
    ],
)
def test_a_file_has_each_key_once_and_no_others(old: str, new: str, message: str) -> None:
    text = json.dumps(GOOD)
    assert read_architecture(text, "net.json") == from_json(text)
    assert old in text
    with pytest.raises(ArchitectureError) as caught:
        read_architecture(text.replace(old, new, 1), "net.json")
    assert str(caught.value).startswith("net.json: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ArchitectureError, match="expected JSON, found none"):
        read_architecture("[" * 100_000, "net.json")
