import pytest

from memnas_core.export.budget_check import compare_with_budget
from memnas_core.objective.budget import Budget


def test_a_file_beside_limits() -> None:
    check = compare_with_budget(Budget(64_000, 64_000, 50_000), 46_000, 5_000)
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
    assert (
        str(compare_with_budget(Budget(64_000, None, None), 64_000, None))
        == "met: file 64,000 of 64,000 bytes (100.0%)"
    )


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
    assert str(compare_with_budget(budget, 9, None)) == words
