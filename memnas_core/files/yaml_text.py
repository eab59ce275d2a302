"""Reading YAML as users mean it: a key given twice is an error, and 1e-3 is a number."""

import re
from collections.abc import Hashable

import yaml

MAX_VALUES = 10_000
"""Largest number of values in a text; memnas's own settings are about a hundred."""

MAX_DEPTH = 50
"""Largest depth of lists in lists, or sections in sections."""


def read_yaml(text: str) -> object:
    """Return the plain values that a YAML text stands for.

    Raises:
        yaml.YAMLError: The text is no YAML, names Python objects, gives a key of a mapping twice, or has too many
            values: a few lines of references to references can stand for billions of values.
    """
    try:
        document = yaml.load(text, _Loader)
    except RecursionError:
        raise yaml.YAMLError(f"expected at most {MAX_DEPTH} levels, found more") from None
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        # PyYAML lets through Python's exceptions for a date 2001-99-99, a number of 5,000 digits or `!!bool maybe`.
        raise yaml.YAMLError(f"found a value that cannot be read: {error}") from None
    _check_size(document)
    return document


def _check_size(document: object) -> None:
    """Raise an error if there are too many values or levels; a value counts as often as it is referred to."""
    waiting, count = [(document, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        count += 1
        if isinstance(inner, list | tuple | set):
            if depth == MAX_DEPTH:
                raise yaml.YAMLError(f"expected at most {MAX_DEPTH} levels, found more")
            waiting += [(entry, depth + 1) for entry in inner]
        if count + len(waiting) > MAX_VALUES:
            raise yaml.YAMLError(f"expected at most {MAX_VALUES:,} values, found more")


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is not None and key in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"found the key {key} for the second time", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


# PyYAML itself requires a point in the mantissa and a sign in the exponent.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)
