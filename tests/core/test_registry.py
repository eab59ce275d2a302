"""Tables of what settings can name: every entry is there, and an unknown one is an error."""

import inspect

import pytest

from memnas_core.controller.interface import CONTROLLERS, Model
from memnas_core.data.source import DATASETS, DataSource
from memnas_core.errors import SettingsError
from memnas_core.export.file_format import FORMATS, FileFormat
from memnas_core.memory.conventions import CONVENTIONS
from memnas_core.memory.figures import FIGURES
from memnas_core.memory.lifetimes import LIFETIME_CONVENTIONS
from memnas_core.registry import Registry
from memnas_core.search.aim import AIMS, Aim


@pytest.mark.parametrize(("table", "protocol"), [(AIMS, Aim), (CONTROLLERS, Model)])
def test_every_entry_has_all_of_its_interface(table: Registry[type], protocol: type) -> None:
    wanted = {name for name, _ in inspect.getmembers(protocol, inspect.isroutine) if not name.startswith("_")}
    for name in table:
        entry = table[name]
        assert wanted <= {found for found, _ in inspect.getmembers(entry, inspect.isroutine)}, name


def test_data_sets_and_formats_are_what_they_should_be() -> None:
    assert {type(DATASETS[name]) for name in DATASETS} == {DataSource}
    for name in FORMATS:
        assert isinstance(FORMATS[name], FileFormat)
        assert FORMATS[name].name == str(FORMATS[name]) == name
    assert len({FORMATS[name].suffix for name in FORMATS}) == len(list(FORMATS))


def test_conventions_and_figures_belong_together() -> None:
    assert tuple(CONVENTIONS) == FIGURES == ("paper", "sequential", "minimum", "arena")
    assert {one.lifetimes for one in CONVENTIONS.values()} == set(LIFETIME_CONVENTIONS)


def test_unknown_and_taken_names() -> None:
    table = Registry[object]("some.key", {"one": "memnas_core.errors:SettingsError"})
    assert table["one"] is SettingsError
    with pytest.raises(SettingsError, match=r"some\.key: expected one of one, found two"):
        table["two"]
    table.register("two", 2)
    assert table["two"] == 2
    assert list(table) == ["one", "two"]
    with pytest.raises(SettingsError, match=r"some\.key: expected a name of its own, found two"):
        table.register("two", 3)
