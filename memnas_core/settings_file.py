"""The settings file: YAML read into `memnas_core.config.Settings`, and what is said of a mistake in it.

Validation is pydantic's; a message names the file, the dotted key, what was expected and what was found.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from memnas_core.config import Settings
from memnas_core.errors import SettingsError
from memnas_core.reading import read_text
from memnas_core.yaml_reader import read_yaml

MAX_BYTES = 256 * 2**10
"""The longest settings file that is read; memnas's own are below 3 kB."""

_SETTINGS = TypeAdapter(Settings)


def load_settings(path: Path, overrides: Sequence[str] = ()) -> Settings:
    """Read and check a settings file.

    Args:
        path: The YAML file.
        overrides: `section.key=value` strings that replace single values; the value is read as YAML.

    Returns:
        The settings, frozen.

    Raises:
        SettingsError: One line that names the file, the dotted key, what was expected and what was found.
    """
    try:
        text = read_text(path, MAX_BYTES)
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such settings file; name one with --params FILE") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as a settings file: {error}") from error
    try:
        document = read_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", error)).split())
        raise SettingsError(f"{path}{line}: expected YAML: {problem}") from None
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: expected sections such as data: and search:, found {_shown(document)}")
    for override in overrides:
        _apply(document, override)
    return parse_settings(document, source=" with --set ".join([str(path), *overrides]))


def parse_settings(document: Mapping[str, object], source: str) -> Settings:
    """Check a nested mapping and turn it into settings.

    Args:
        document: Sections as read from YAML.
        source: Where the mapping came from, for messages.

    Raises:
        SettingsError: As `load_settings`.
    """
    try:
        text = json.dumps(document, default=str)  # YAML knows dates, JSON does not
    except (TypeError, ValueError, RecursionError) as error:  # a key that is no name, an alias of itself
        raise SettingsError(f"{source}: expected sections of keys and plain values: {error}") from None
    try:
        return _SETTINGS.validate_json(text)
    except ValidationError as error:
        raise SettingsError(f"{source}: {_explain(error)}") from None


def dump_settings(settings: Settings) -> str:
    """Return the settings as YAML that `load_settings` reads back to an equal object."""
    plain = json.loads(json.dumps(settings.as_dict()))
    return yaml.safe_dump(plain, sort_keys=False)


def _apply(document: dict[str, object], override: str) -> None:
    dotted, separator, text = override.partition("=")
    keys = dotted.split(".")
    if not separator or not all(keys):
        raise SettingsError(f"--set {override}: expected section.key=value, such as search.rounds=6")
    section: object = document
    for key in keys[:-1]:
        section = section.get(key) if isinstance(section, dict) else None
    if not isinstance(section, dict):
        names = ", ".join(str(name) for name, value in document.items() if isinstance(value, dict))
        raise SettingsError(f"--set {override}: expected one of the sections {names}, found {dotted}")
    try:
        section[keys[-1]] = read_yaml(text)
    except yaml.YAMLError:
        raise SettingsError(f"--set {override}: expected a value in YAML, found {text}") from None


_EXPECTED = {
    "bool_type": "true or false",
    "dataclass_type": "a section of keys",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "a path that is not empty and has no zero bytes",
    "string_too_short": "a string that is not empty",
    "string_type": "a string",
    "too_short": "a list that is not empty",
    "tuple_type": "a list",
}
"""What to say for each of pydantic's error types; the others are said in its own words."""


def _explain(error: ValidationError) -> str:
    """Turn one of pydantic's findings into `key: expected ..., found ...`, a misspelt key first."""
    findings = error.errors()
    unknown = (finding for finding in findings if finding["type"] == "unexpected_keyword_argument")
    finding = next(unknown, findings[0])
    kind, place, context = finding["type"], finding["loc"], finding.get("ctx", {})
    key = ".".join(str(part) for part in place)
    if kind == "unexpected_keyword_argument":
        section = Settings if len(place) == 1 else Settings.__annotations__[str(place[0])]
        known = ", ".join(field.name for field in fields(section))
        return f"{key}: expected one of {known}, found {place[-1]}; correct its spelling or remove it"
    if kind in ("missing", "missing_argument"):
        return f"{key}: expected a value, found nothing; add it"
    if kind == "value_error":  # validators begin with the name of the key
        return f"{key}.{context['error']}" if key else str(context["error"])
    expected = _EXPECTED[kind].format(**context) if kind in _EXPECTED else finding["msg"]
    return f"{key}: expected {expected}, found {_shown(finding['input'])}"


def _shown(value: object) -> str:
    """Return a value as YAML writes it, shortened to one line."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
