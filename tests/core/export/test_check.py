import pytest
import torch
from torch import Tensor, nn

from memnas_core.export.check import TOLERANCE, CheckResult, check_file
from memnas_core.export.file_format import ExportError, OpenedFile

IMAGES = torch.tensor([[3.0, 1.0], [1.0, 2.0], [0.5, 4.0], [2.0, 1.9]])
LABELS = torch.tensor([0, 1, 0, 1])  # the identity is right in the first two


def opened(shift: Tensor | float, on_this_machine: bool = True) -> OpenedFile:
    return OpenedFile("a runtime", "a runtime", None, on_this_machine, False, lambda image: image + shift)


def check(shift: Tensor | float, exact: bool, on_this_machine: bool = True) -> CheckResult:
    return check_file(opened(shift, on_this_machine), nn.Identity(), IMAGES, LABELS, exact)


def test_equal_scores() -> None:
    result = check(0.0, exact=True)
    assert (result.images, result.same_classes, result.largest_difference, result.largest_score) == (4, 4, 0.0, 4.0)
    assert result.torch_accuracy == result.file_accuracy == 0.5
    assert result.accuracy_difference == 0
    assert result.median_seconds is not None
    assert result.median_seconds > 0


def test_scores_within_the_tolerance() -> None:
    assert check(0.5 * TOLERANCE * 4, exact=True).same_classes == 4


def test_float32_must_not_differ() -> None:
    with pytest.raises(ExportError, match=r"expected the torch network's scores within 0.0004, found a difference of"):
        check(2 * TOLERANCE * 4, exact=True)


def test_int8_may_differ_and_says_by_how_much() -> None:
    result = check(torch.tensor([0.0, 0.5]), exact=False)  # the last image becomes 2.0, 2.4
    assert result.same_classes == 3
    assert result.largest_difference == pytest.approx(0.5)
    assert result.file_accuracy == 0.75
    assert result.accuracy_difference == pytest.approx(0.25)


def test_scores_must_be_finite() -> None:
    for exact in (True, False):
        with pytest.raises(ExportError, match="expected finite scores"):
            check(float("nan"), exact)


def test_no_latency_of_what_only_stands_in_for_the_runtime() -> None:
    assert check(0.0, exact=True, on_this_machine=False).median_seconds is None


def test_leaves_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    check(0.0, exact=True)
    assert torch.get_num_threads() == before
