"""Figures that no record has."""

from dataclasses import dataclass

from memnas_core.records.plausible import implausible


@dataclass
class Figures:
    round: int = 1
    test_accuracy: float = 0.5
    weight_bytes: int = 2**62
    is_good: bool = True


def test_what_a_record_may_hold() -> None:
    assert implausible(Figures()) is None
    assert implausible(Figures(test_accuracy=1.5)) == "test_accuracy = 1.5, which is not in [0, 1]"
    assert implausible(Figures(test_accuracy=float("nan"))) == "test_accuracy = nan, which is no finite number"
    assert implausible(Figures(weight_bytes=-1)) == "weight_bytes = -1, which is negative"
    # No float holds this, and printed it has 601 digits.
    assert implausible(Figures(round=10**600)) == "round has 1,994 bits, which no figure has"
