"""The settings of a command on searches that exist: those of a file, or if there is none those of a search itself."""

import json
from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from memnas_core.errors import InputError
from memnas_core.settings.file import load_settings, overridden
from memnas_core.settings.schema import Settings

DEFAULT_STORE = "store"


def found_settings(
    context: click.Context, params: Path, overrides: Sequence[str], name: str | None = None
) -> tuple[Settings, list[str]]:
    """Return the settings of a command.

    Without `--params` and without a file of its default name, they are those that the latest search of the store was
    begun with: a search on own images needs no settings file.

    Args:
        context: The command's context; says whether `--params` was given.
        params: Settings file.
        overrides: `section.key=value` strings; `store` decides where searches are looked for.
        name: Search that is meant; None: any.

    Returns:
        The settings, and the searches that they could be of, the latest last; none if they are from a file.

    Raises:
        InputError: There is neither a settings file nor such a search.
        SettingsError: The settings cannot be used.
    """
    if context.get_parameter_source("params") is not ParameterSource.DEFAULT or params.exists():
        return load_settings(params, overrides), []
    store = Path(str(overridden(overrides, "store") or DEFAULT_STORE))
    begun = sorted(store.glob("searches/[!.]*/settings.yaml"), key=lambda path: path.stat().st_mtime)
    files = [path for path in begun if name in (None, path.parent.name)]
    if not files:
        there = f", only {', '.join(path.parent.name for path in begun)}" if begun else ""
        raise InputError(
            f"{params}: no such settings file, and no search{f' {name!r}' if name else ''} in {store}{there}; name the "
            "store with --set store=DIR or a settings file with --params FILE"
        )
    settings = load_settings(files[-1], [*overrides, f"store={json.dumps(str(store))}"])
    return settings, [path.parent.name for path in files]
