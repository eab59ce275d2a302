"""The settings file: YAML read into `memnas_core.settings.schema.Settings`, and what is said of a mistake in it.

A file may say only what differs from another one, which it names with `extends: FILE`. Validation is pydantic's; a
message names the file, the dotted key, what was expected and what was found.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from memnas_core.errors import SettingsError
from memnas_core.files.untrusted import read_text
from memnas_core.files.yaml_text import read_yaml
from memnas_core.settings.bounds import too_large
from memnas_core.settings.schema import Settings

MAX_BYTES = 256 * 2**10
"""The longest settings file that is read; memnas's own are below 4 kB."""

EXTENDS = "extends"
"""The key that names the file from which a settings file differs; no setting has that name."""

MAX_EXTENDED = 4
"""So many files may stand under the one that a search is given; below memnas's own there are two at most."""

_SETTINGS = TypeAdapter(Settings)


@dataclass(frozen=True, slots=True)
class _Layer:
    """What one file, or one `--set`, says; it replaces what the layers below it say.

    Attributes:
        source: Where it comes from, for messages.
        sections: What it says, without `extends`.
    """

    source: str
    sections: Mapping[str, object]

    def has(self, place: tuple[str | int, ...]) -> bool:
        """Whether it says something about the section, or the key of a section, that a place begins with."""
        inside: object = self.sections
        for key in place[:2]:
            if not isinstance(inside, Mapping) or key not in inside:
                return False
            inside = inside[key]
        return True


def load_settings(path: Path, overrides: Sequence[str] = ()) -> Settings:
    """Read and check a settings file and those that it extends.

    Args:
        path: The YAML file. Its sections replace single keys of the file that its key `extends` names.
        overrides: `section.key=value` strings that replace single values; the value is read as YAML.

    Returns:
        The settings, frozen.

    Raises:
        SettingsError: One line that names the file, the dotted key, what was expected and what was found.
    """
    files = _read_layers(path)
    source, document = " with --set ".join([str(path), *overrides]), _merged(files)
    given = [_Layer(source, _parse_override(override, document)) for override in overrides]
    return _check([*files, *given], source)


def changed_settings(base: Path | Mapping[str, object], source: str, changes: Mapping[str, object]) -> Settings:
    """Read settings, replace single values of them, and check what comes out.

    Args:
        base: A settings file, or sections as a file holds them.
        source: Where sections come from, for messages; a file is named by its path.
        changes: Dotted key -> value, such as `{"search.rounds": 6}`.

    Raises:
        SettingsError: As `load_settings`; a change that is wrong is called `changes`.
    """
    below = _read_layers(base) if isinstance(base, Path) else [_Layer(source, base)]
    document, given = _merged(below), []
    for key, value in changes.items():
        if not all(key.split(".")):
            raise SettingsError(f"changes: expected keys such as search.rounds, found {key!r}")
        given.append(_Layer("changes", _nested(key, value, document, f"changes: {key}")))
    return _check([*below, *given], f"{below[-1].source} with changes" if given else below[-1].source)


def parse_settings(document: Mapping[str, object], source: str) -> Settings:
    """Check a nested mapping and turn it into settings.

    Args:
        document: Sections as read from YAML.
        source: Where the mapping came from, for messages.

    Raises:
        SettingsError: As `load_settings`.
    """
    return _check([_Layer(source, document)], source)


def dump_settings(settings: Settings) -> str:
    """Return the settings as YAML that `load_settings` reads back to an equal object."""
    return settings_yaml(settings.as_dict())


def settings_yaml(document: Mapping[str, object]) -> str:
    """Return a nested mapping of settings as YAML."""
    plain = json.loads(json.dumps(document))
    return yaml.safe_dump(plain, sort_keys=False)


def _read_layers(path: Path, extending: tuple[Path, ...] = ()) -> list[_Layer]:
    """Read a file and those that it extends.

    Args:
        path: The file.
        extending: The files that led to it: each extends the next, and the last one extends it.

    Returns:
        A layer for each file, the file itself last.

    Raises:
        SettingsError: As `load_settings`.
    """
    missing, key = f"{path}: no such settings file; name one with --params FILE", ""
    if extending:
        key = f"{extending[-1]}: {EXTENDS}"
        missing = f"{key}: expected a settings file, found none at {path}; correct the path"
    document = _read_document(path, missing)
    if any(path.samefile(other) for other in extending):
        raise SettingsError(f"{key}: expected a file that does not lead back to itself, found {path}; name another one")
    if len(extending) > MAX_EXTENDED:
        raise SettingsError(
            f"{key}: expected at most {MAX_EXTENDED} files, one below the other, under {extending[0]}, found more; "
            "put two of them together"
        )
    layer = _Layer(str(path), {name: value for name, value in document.items() if name != EXTENDS})
    if EXTENDS not in document:
        return [layer]
    named = document[EXTENDS]
    if not isinstance(named, str) or not named:
        expected = "expected the path of a settings file"
        raise SettingsError(f"{path}: {EXTENDS}: {expected}, found {_shown(named)}; name one, or remove the key")
    return [*_read_layers(path.parent / named, (*extending, path)), layer]


def _read_document(path: Path, missing: str) -> dict[str, object]:
    """Return what one file says.

    Args:
        path: The file.
        missing: The message if there is none.

    Raises:
        SettingsError: As `load_settings`.
    """
    try:
        text = read_text(path, MAX_BYTES)
    except FileNotFoundError:
        raise SettingsError(missing) from None
    except (OSError, ValueError) as error:  # a folder, no text, or a path that no file can have
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
    return document


def _parse_override(override: str, document: Mapping[str, object]) -> dict[str, object]:
    """Return what a `section.key=value` says as a settings file would.

    Args:
        override: The string.
        document: What the files say, for the names of sections.

    Raises:
        SettingsError: As `load_settings`.
    """
    dotted, separator, text = override.partition("=")
    if not separator or not all(dotted.split(".")):
        raise SettingsError(f"--set {override}: expected section.key=value, such as search.rounds=6")
    try:
        value = read_yaml(text)
    except yaml.YAMLError:
        raise SettingsError(f"--set {override}: expected a value in YAML, found {text}") from None
    return _nested(dotted, value, document, f"--set {override}")


def _nested(dotted: str, value: object, document: Mapping[str, object], source: str) -> dict[str, object]:
    """Return what a dotted key and its value say as a settings file would.

    Args:
        dotted: The key.
        value: Its value.
        document: What the files say, for the names of sections.
        source: Where the key comes from, for the message.

    Raises:
        SettingsError: There is no such section.
    """
    section, _, key = dotted.rpartition(".")
    if section and not isinstance(document.get(section), dict):
        names = ", ".join(str(name) for name, value in document.items() if isinstance(value, dict))
        raise SettingsError(f"{source}: expected one of the sections {names}, found {dotted}")
    return {section: {key: value}} if section else {key: value}


def overridden(overrides: Sequence[str], key: str) -> object:
    """Return the value that overrides give a dotted key; None where they give none.

    Raises:
        SettingsError: The value is no YAML.
    """
    found: object = None
    for override in overrides:
        name, _, text = override.partition("=")
        if name == key:
            try:
                found = read_yaml(text)
            except yaml.YAMLError:
                raise SettingsError(f"--set {override}: expected a value in YAML, found {text}") from None
    return found


def _merged(layers: Sequence[_Layer]) -> dict[str, object]:
    """Return what the layers say together: of sections, single keys are replaced, and all other values as a whole."""
    document: dict[str, object] = {}
    for layer in layers:
        for name, value in layer.sections.items():
            below = document.get(name)
            document[name] = below | value if isinstance(below, dict) and isinstance(value, dict) else value
    return document


def _check(layers: Sequence[_Layer], source: str) -> Settings:
    """Check what layers say together.

    Args:
        layers: The first is the lowest.
        source: Stands in a message that is about no single layer.

    Raises:
        SettingsError: As `load_settings`.
    """
    try:
        text = json.dumps(_merged(layers), default=str)  # YAML knows dates, JSON does not
    except (TypeError, ValueError, RecursionError) as error:  # a key that is no name, an alias of itself
        raise SettingsError(f"{source}: expected sections of keys and plain values: {error}") from None
    try:
        settings = _SETTINGS.validate_json(text)
    except ValidationError as error:
        finding = _chief(error)
        about_one = finding["loc"] and finding["type"] != "value_error"  # a validator compares several keys
        where = _source(layers, finding["loc"], source) if about_one else source
        raise SettingsError(f"{where}: {_explain(finding)}") from None
    for section, key, most, found in too_large(settings.as_dict()):
        where = _source(layers, (section, key), source)
        expected = f"a number of at most {most:,}"
        raise SettingsError(f"{where}: {section}.{key}: expected {expected}, found {_shown(found)}")
    return settings


def _source(layers: Sequence[_Layer], place: tuple[str | int, ...], source: str) -> str:
    """Return the source of the highest layer that says something about a place."""
    return next((layer.source for layer in reversed(layers) if layer.has(place)), source)


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


def _chief(error: ValidationError) -> ErrorDetails:
    """Return the one of pydantic's findings that is told: a misspelt key before all others."""
    findings = error.errors()
    unknown = (finding for finding in findings if finding["type"] == "unexpected_keyword_argument")
    return next(unknown, findings[0])


def _explain(finding: ErrorDetails) -> str:
    """Turn one of pydantic's findings into `key: expected ..., found ...`."""
    kind, place, context = finding["type"], finding["loc"], finding.get("ctx", {})
    key = ".".join(str(part) for part in place)
    if kind == "unexpected_keyword_argument":
        section = Settings if len(place) == 1 else Settings.__annotations__[str(place[0])]
        known = ", ".join(field.name for field in fields(section))
        also = f", or {EXTENDS} in a file" if section is Settings else ""
        return f"{key}: expected one of {known}{also}, found {place[-1]}; correct its spelling or remove it"
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
