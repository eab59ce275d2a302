"""No number of a settings file is so large that it ends in a traceback."""

from pathlib import Path

import pytest

from memnas_core.errors import SettingsError
from memnas_core.settings.bounds import LARGEST
from memnas_core.settings.file import dump_settings, load_settings
from tests.core.small_search import small_settings

KEYS = [
    f"{section}.{key}"
    for section, keys in small_settings(Path("store")).as_dict().items()
    if isinstance(keys, dict)
    for key in keys
]
LISTS = {"network.strides", "search.rungs", "search.seed_rungs", "search.seed_cells"}


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(dump_settings(small_settings(tmp_path)))
    return path


@pytest.mark.parametrize("number", ["9" * 400, "9" * 5000, "0x" + "f" * 5000, "1e308", ".inf", "-" + "9" * 400])
@pytest.mark.parametrize("key", KEYS)
def test_every_key_refuses_what_is_beyond_all_use(key: str, number: str, params: Path) -> None:
    value = f"[{number}]" if key in LISTS else number
    with pytest.raises(SettingsError) as caught:
        load_settings(params, [f"{key}={value}"])
    assert key in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_message_says_where_and_how_much(params: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(params, ["search.top_k=5", "search.rounds=1000001"])
    expected = "search.rounds: expected a number of at most 1,000,000, found 1000001"
    assert str(caught.value) == f"{params} with --set search.top_k=5 with --set search.rounds=1000001: {expected}"
    params.write_text(params.read_text().replace("rounds: 4", f"rounds: {'9' * 400}"))
    with pytest.raises(SettingsError) as caught:
        load_settings(params)
    assert str(caught.value).startswith(f"{params}: search.rounds: expected a number of at most 1,000,000, found 9999")
    assert len(str(caught.value)) < len(str(params)) + 150


def test_what_somebody_may_want_is_taken(params: Path) -> None:
    wanted = {
        "search.seed": 2**63 - 1,
        "search.rounds": 1_000_000,
        "search.rungs": [1000.0],
        "objective.max_total_bytes": 2**40,
        "execution.memory_limit_bytes": 2**40,
        "execution.training_seconds": 1e7,
    }
    read = load_settings(params, [f"{key}={value}" for key, value in wanted.items()])
    assert (read.search.seed, read.objective.max_total_bytes) == (2**63 - 1, 2**40)


def test_bounds_are_of_keys_that_exist() -> None:
    assert set(KEYS) >= set(LARGEST)
