"""A table of what a setting can name. Entries are imported on demand, so that reading settings needs no torch.

Each table stands beside the interface of its entries: aims in `memnas_core.search.aim`, controllers in
`memnas_core.controller.interface`, data sets in `memnas_core.data.source`, export formats in
`memnas_core.export.file_format`.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Generic, TypeVar, cast

from memnas_core.errors import SettingsError

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """A table of entries by name."""

    def __init__(self, setting: str, built_in: Mapping[str, str]) -> None:
        """Make a table.

        Args:
            setting: Name of the setting that names an entry, for messages.
            built_in: Name -> `package.module:attribute`.
        """
        self._setting = setting
        self._entries: dict[str, Entry | str] = dict(built_in)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> Entry:
        """Return the entry of a name.

        Raises:
            SettingsError: The name is unknown.
        """
        if name not in self._entries:
            raise SettingsError(f"{self._setting}: expected one of {', '.join(self)}, found {name}")
        entry = self._entries[name]
        if isinstance(entry, str):
            entry = self._entries[name] = cast(Entry, imported(entry))
        return entry

    def register(self, name: str, entry: Entry) -> None:
        """Add an entry of your own; call this before the settings are read.

        Raises:
            SettingsError: The name is taken.
        """
        if name in self._entries:
            raise SettingsError(f"{self._setting}: expected a name of its own, found {name}, which is there")
        self._entries[name] = entry


def imported(place: str) -> object:
    """Import and return the object that `package.module:attribute` names."""
    module, _, attribute = place.partition(":")
    found: object = getattr(import_module(module), attribute)
    return found
