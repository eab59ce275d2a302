"""The form of a run's parameters: typed as the settings are, and read back as they were given."""

from pathlib import Path

import jsonschema
import pytest
from prefect.utilities.callables import parameter_schema

from flows.changes import as_changes, as_overrides, changes_form
from flows.search import memnas_search
from memnas_core.settings.file import load_settings

PARAMS = Path(__file__).parents[2] / "params.yaml"


def test_the_form_has_every_setting_with_its_kind_and_meaning() -> None:
    form = parameter_schema(memnas_search).properties["changes"]
    document = load_settings(PARAMS).as_dict()
    assert set(form["properties"]) == set(document)
    for section, keys in document.items():
        if isinstance(keys, dict):
            assert set(form["properties"][section]["properties"]) == set(keys)
    rounds = form["properties"]["search"]["properties"]["rounds"]
    assert rounds == {"minimum": 1, "type": "integer", "title": "rounds", "description": "Largest number of rounds."}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"search": {"rounds": 2, "seed": 0}, "store": "elsewhere"},
        {"objective": {"max_param_bytes": None, "device": "rp2040"}},
        {"data": {"dataset": "folder", "folder": "/photos/of = cats"}, "training": {"weight_decay": 1e-05}},
    ],
)
def test_changes_are_accepted_and_come_back(changes: dict[str, object]) -> None:
    jsonschema.validate(changes, changes_form())
    assert as_changes(as_overrides(changes)) == changes
    load_settings(PARAMS, as_overrides(changes))


@pytest.mark.parametrize("wrong", [{"search": {"rounds": 0}}, {"search": {"round": 2}}, {"searches": {}}])
def test_what_no_settings_file_could_say_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, changes_form())
