"""Settings that a run changes, typed in the form that Prefect draws for them: their schema is that of the settings."""

import json
from collections.abc import Mapping, Sequence
from inspect import getdoc
from typing import Annotated, Any

from prefect.utilities.callables import parameter_docstrings
from pydantic import TypeAdapter, WithJsonSchema

from memnas_core.files.yaml_text import read_yaml
from memnas_core.settings.schema import Settings


def changes_form() -> dict[str, Any]:
    """Return the JSON schema of changes: that of the settings, where every key may be left out."""
    whole = TypeAdapter(Settings).json_schema()
    properties = dict(whole["properties"])
    for name, field in Settings.__dataclass_fields__.items():
        if "$ref" in properties[name]:
            section = whole["$defs"][properties[name]["$ref"].rpartition("/")[2]]
            words = (getdoc(field.type) or "").replace("Attributes:", "Args:")  # as Prefect reads those of functions
            meanings = parameter_docstrings(words)
            properties[name] = {
                "type": "object",
                "title": name,
                "description": words.partition("\n")[0],
                "additionalProperties": False,
                "properties": {
                    key: {part: value for part, value in kind.items() if part != "default"}
                    | {"title": key, "description": meanings[key]}
                    for key, kind in section["properties"].items()
                },
            }
    return {"type": "object", "properties": properties, "additionalProperties": False}


Changes = Annotated[dict[str, Any], WithJsonSchema(changes_form())]
"""Section -> key -> value, as in a settings file; `memnas_core.settings.file` checks them."""


def as_changes(overrides: Sequence[str]) -> dict[str, Any]:
    """Return what valid `section.key=value` strings change."""
    changes: dict[str, Any] = {}
    for override in overrides:
        dotted, _, text = override.partition("=")
        section, _, key = dotted.rpartition(".")
        (changes.setdefault(section, {}) if section else changes)[key] = read_yaml(text)
    return changes


def as_overrides(changes: Mapping[str, Any]) -> list[str]:
    """Return changes as `section.key=value` strings; a JSON value is a YAML value."""
    overrides = []
    for name, value in changes.items():
        inside = (
            {f"{name}.{key}": inner for key, inner in value.items()} if isinstance(value, Mapping) else {name: value}
        )
        overrides += [f"{key}={json.dumps(inner)}" for key, inner in inside.items()]
    return overrides
