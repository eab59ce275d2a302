"""The device and the number format of a training."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from memnas_core.data import Dataset
from memnas_core.errors import SettingsError
from memnas_core.settings.kinds import Precision
from memnas_core.training.loop import choose_device, choose_precision, train
from tests.core.training.watched_training import PLAIN, USUAL, Watching, network_for, numbered, small


def test_devices() -> None:
    there_is_one = torch.cuda.is_available()
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if there_is_one else "cpu")
    if there_is_one:
        assert choose_device("cuda").type == "cuda"
    else:
        with pytest.raises(SettingsError, match=r"^training\.device: expected a CUDA device, found none"):
            choose_device("cuda")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_precision_that_is_named_is_taken(device: str) -> None:
    found = [choose_precision(wanted, torch.device(device)) for wanted in ("float32", "bfloat16", "float16")]
    assert found == [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize(
    ("device", "has_bfloat16", "expected"),
    [
        ("cpu", True, torch.float32),
        ("cpu", False, torch.float32),
        ("cuda", True, torch.bfloat16),
        ("cuda", False, torch.float16),
    ],
)
def test_the_precision_that_is_chosen(
    device: str, has_bfloat16: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bfloat16)  # noqa: ARG005
    assert choose_precision("auto", torch.device(device)) is expected


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_steps_are_taken_in_the_precision_and_accuracies_in_float32(digits: Dataset, precision: Precision) -> None:
    network, data = network_for(digits.info), small(digits, 128)
    found: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    for convolution in (module for module in network.modules() if isinstance(module, nn.Conv2d)):
        convolution.register_forward_hook(
            lambda _module, _inputs, output: found[torch.is_grad_enabled()].add(output.dtype)
        )
    train(network, data, replace(USUAL, precision=precision), 0, images=128)  # with statistics measured at the end
    assert found == {True: {choose_precision(precision, torch.device("cpu"))}, False: {torch.float32}}
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32, torch.int64}


def test_bfloat16_learns_as_float32_does(digits: Dataset) -> None:
    accuracies = {}
    for precision in ("float32", "bfloat16"):
        settings = replace(USUAL, epochs=8, learning_rate=0.1, precision=precision)
        accuracies[precision] = train(network_for(digits.info), digits, settings, 0).history[-1].validation_accuracy
    assert accuracies["bfloat16"] == pytest.approx(accuracies["float32"], abs=0.1)


class Whispering(Watching):
    """Scores so small that float16 has no number for their gradients."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).float() * 1e-8


def test_small_gradients_survive_float16() -> None:
    """A gradient of 1e-8 / 2 / 4 is below float16's least number, 6e-8; times the scaler's 65,536 it is not."""
    weights = []
    for precision in ("float32", "float16"):
        network = Whispering()
        network.load_state_dict({"linear.weight": torch.tensor([[0.5], [0.25]]), "linear.bias": torch.zeros(2)})
        train(network, numbered(16), replace(PLAIN, learning_rate=1e9, precision=precision), 0)
        weights.append(network.linear.weight.detach())
    moved = weights[0] - torch.tensor([[0.5], [0.25]])
    assert moved.abs().min() > 1e-3
    assert torch.allclose(weights[1], weights[0], atol=0.2 * moved.abs().max().item())  # differences of rounded figures
