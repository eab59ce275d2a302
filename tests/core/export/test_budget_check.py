from dataclasses import asdict, replace

import pytest

from memnas_core.budget import Budget
from memnas_core.devices import devices
from memnas_core.export.budget_check import check_budget, search_budget
from memnas_core.export.store import find_trained
from tests.core.export.conftest import SmallStore


def test_a_file_beside_limits() -> None:
    check = check_budget(Budget(64_000, 64_000, 50_000), 46_000, 5_000)
    assert [(use.what, use.used_bytes, use.limit_bytes) for use in check.uses] == [
        ("file", 46_000, 64_000),
        ("activations", 5_000, 64_000),
        ("both together", 51_000, 50_000),
    ]
    assert [use.what for use in check.beyond] == ["both together"]
    assert str(check) == (
        "not met: file 46,000 of 64,000 bytes (71.9%), activations 5,000 of 64,000 bytes (7.8%), "
        "both together 51,000 of 50,000 bytes (102.0%)"
    )
    assert str(check_budget(Budget(64_000, None, None), 64_000, None)) == "met: file 64,000 of 64,000 bytes (100.0%)"


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget(None, None, None), "none was set"),
        (Budget(9, 9, None), "met as far as known: file 9 of 9 bytes (100.0%), activations not known"),
        (Budget(None, None, 9), "met as far as known: both together not known"),
        (Budget(8, 9, None), "not met: file 9 of 8 bytes (112.5%), activations not known"),
    ],
)
def test_activations_that_nobody_knows(budget: Budget, words: str) -> None:
    assert str(check_budget(budget, 9, None)) == words


def test_the_budget_is_the_one_that_the_search_was_told(store: SmallStore) -> None:
    trained = find_trained(store.path, "letters")
    assert search_budget(trained.settings) == Budget(None, None, None)
    told = {"objective.max_param_bytes": "64000", "objective.max_total_bytes": "None"}
    assert search_budget({**trained.settings, **told}) == Budget(64_000, None, None)
    device = devices()["stm32f411"]
    limits = Budget(device.max_param_bytes, device.max_activation_bytes, device.max_total_bytes)
    assert search_budget({"objective.device": "stm32f411"}) == limits
    assert search_budget({"objective.device": "stm32f411", **told}) == replace(limits, max_param_bytes=64_000)
    assert search_budget({}) == Budget(**dict.fromkeys(asdict(limits)))  # an older memnas knew no budgets
