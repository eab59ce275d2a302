"""What MLflow calls a search and its model; MLflow's own rule says which names a model may have."""

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.utils.validation import _validate_logged_model_name, _validate_model_name

from flows.record import names, shown_settings, tags_of
from flows.start import Plan
from memnas_core.results.beginning import find_search
from tests.core.small_search import START, small_settings


def named(store: Path, name: str, experiment: str = "memnas") -> Plan:
    settings = small_settings(store)
    settings = replace(settings, tracking=replace(settings.tracking, experiment=experiment))
    name, folder = find_search(settings, name)
    return Plan(settings, name, folder, is_finished=False, origin=None)


def test_names_say_what_and_when(tmp_path: Path) -> None:
    label, model = names(named(tmp_path, "digits"), START)
    assert label == f"digits 2023-11-14 22:13:20 {START.id}"
    assert model == "memnas-digits"


def test_two_people_in_the_same_second(tmp_path: Path) -> None:
    plan = named(tmp_path, "digits")
    ours, theirs = names(plan, START), names(plan, replace(START, started=START.started + 0.01))
    assert ours[0] != theirs[0]
    assert ours[1] == theirs[1], "each gets a version of one model"


@pytest.mark.parametrize(
    ("name", "experiment"),
    [("a:b", "team/alice"), ("lambda-0.5", "100%"), ("n" * 200, "e" * 200), ("ünïcode 😀, second try", "it's")],
)
def test_mlflow_takes_every_name(name: str, experiment: str, tmp_path: Path) -> None:
    _, model = names(named(tmp_path, name, experiment), START)
    _validate_model_name(model)
    _validate_logged_model_name(model)  # a stricter one
    assert len(model) <= 256


def test_tags_lead_to_the_commit_and_to_the_run_in_prefect(tmp_path: Path) -> None:
    plan = named(tmp_path, "digits")
    commit = "0123456789abcdef0123456789abcdef01234567"
    for noted, changed in ((commit, "false"), (f"{commit}-dirty", "true")):
        found = tags_of(
            plan, replace(START, versions=(*START.versions, ("commit", noted))), "memnas-digits", "a flow run"
        )
        assert found["mlflow.source.git.commit"] == commit
        assert found["mlflow.source.git.dirty"] == changed
        assert found["prefect.flow_run_id"] == "a flow run"
    without = tags_of(plan, START, "memnas-digits")
    assert not [name for name in without if "git" in name or "prefect" in name]


def test_settings_are_shown_without_a_password(tmp_path: Path) -> None:
    settings = small_settings(tmp_path)
    secret = replace(settings.tracking, uri="postgresql://alice:secret@db/mlflow")
    assert shown_settings(replace(settings, tracking=secret))["tracking.uri"] == "postgresql://alice:***@db/mlflow"
    assert shown_settings(settings)["tracking.uri"] == "None"
