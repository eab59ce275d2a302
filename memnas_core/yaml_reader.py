"""YAML as people mean it: a key given twice is an error, and 1e-3 is a number."""

import re
from collections.abc import Hashable

import yaml


def read_yaml(text: str) -> object:
    """Return the plain values that a YAML text stands for.

    Raises:
        yaml.YAMLError: The text is no YAML, names Python objects, or gives a key of one mapping twice.
    """
    return yaml.load(text, _Loader)


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


# PyYAML wants a point in the mantissa and a sign in the exponent.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)
