"""YAML as people mean it."""

import math

import pytest
import yaml

from memnas_core.files.yaml_text import read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("-2.5e+2", -250.0),
        (".5e-1", 0.05),
        ("1.0e-3", 0.001),
        ("12", 12),
        ("e3", "e3"),
        ("1e3x", "1e3x"),
        ("'1e-3'", "1e-3"),
    ],
)
def test_numbers(text: str, value: object) -> None:
    found = read_yaml(text)
    assert found == value
    assert type(found) is type(value)


def test_the_rest_is_plain_yaml() -> None:
    text = "a: {b: [1, null, true], c: .inf}\nd: &x {e: 1}\nf: *x\n"
    assert read_yaml(text) == {"a": {"b": [1, None, True], "c": math.inf}, "d": {"e": 1}, "f": {"e": 1}}


@pytest.mark.parametrize(("text", "line"), [("a: 1\nb: 2\na: 3\n", 3), ("s:\n  k: 1\n  k: 1\n", 3)])
def test_a_key_twice_in_one_mapping_is_refused(text: str, line: int) -> None:
    with pytest.raises(yaml.MarkedYAMLError, match="for the second time") as caught:
        read_yaml(text)
    assert caught.value.problem_mark is not None
    assert caught.value.problem_mark.line + 1 == line


def test_the_same_key_in_two_mappings_is_fine() -> None:
    assert read_yaml("a: {k: 1}\nb: {k: 2}\n") == {"a": {"k": 1}, "b": {"k": 2}}


def test_python_objects_are_refused() -> None:
    with pytest.raises(yaml.YAMLError):
        read_yaml("!!python/object/apply:os.getcwd []")
