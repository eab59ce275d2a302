"""Which batch norms fold into the layer before them, with parameters counted by hand and checked by torch's numbers."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental import optimization
from torch.nn import functional as F
from torchvision import models

from memnas_core.tracing.trace import trace
from tests.core.tracing.small_networks import IMAGE_SHAPE, Net, conv, torchvision_model


class Behind(nn.Module):
    """A product, something in between, and a norm."""

    def __init__(self, product: nn.Module, norm: nn.Module, between: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        super().__init__()
        self.product, self.norm, self.between = product, norm, between

    def forward(self, image: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.between(self.product(image)))
        return normed


class Shared(nn.Module):
    """One batch norm behind two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.norm = first_conv(), nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8)

    def forward(self, image: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.second(self.norm(self.first(image))))
        return normed


class Gram(nn.Module):
    """A batch norm behind a product of two activations, and one whose scale is an activation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = first_conv(), nn.BatchNorm1d(8)

    def forward(self, image: Tensor) -> Tensor:
        rows = self.conv(image).flatten(2)[0]
        normed: Tensor = self.norm(rows @ rows.T)
        scale, mean, variance = normed.mean(0), self.norm.running_mean, self.norm.running_var
        return F.batch_norm(self.conv(image), mean, variance, scale, scale)


def first_conv() -> nn.Conv2d:
    return nn.Conv2d(3, 8, 3, bias=False)  # 216 weights, 8 channels of 6x6


FOLDED = [
    # module, shape, parameters, parameters after folding
    (Behind(first_conv(), nn.BatchNorm2d(8)), (3, 8, 8), 216 + 16, 216 + 8),
    (Behind(first_conv(), nn.BatchNorm2d(8, affine=False)), (3, 8, 8), 216, 216 + 8),
    (Behind(nn.ConvTranspose2d(3, 8, 3), nn.BatchNorm2d(8)), (3, 8, 8), 216 + 8 + 16, 216 + 8),
    (Behind(nn.Linear(16, 8), nn.BatchNorm1d(8)), (16,), 128 + 8 + 16, 128 + 8),
    (Behind(nn.Linear(16, 8), nn.BatchNorm1d(8), lambda x: x.transpose(1, 2)), (5, 16), 152, 136),
    (nn.Sequential(first_conv(), nn.BatchNorm2d(8), nn.BatchNorm2d(8)), (3, 8, 8), 216 + 32, 216 + 8),
    # An instance norm that keeps running statistics uses these at inference.
    (Behind(first_conv(), nn.InstanceNorm2d(8, affine=True, track_running_stats=True)), (3, 8, 8), 216 + 16, 216 + 8),
    # Some of the positions are left out; each channel has its scale all the same.
    (Behind(first_conv(), nn.BatchNorm2d(8), lambda x: x[..., :3]), (3, 8, 8), 216 + 16, 216 + 8),
]

NOT_FOLDED = [
    # Statistics come from the image.
    (Behind(first_conv(), nn.InstanceNorm2d(8, affine=True)), (3, 8, 8), 232),
    (Behind(first_conv(), nn.BatchNorm2d(8, track_running_stats=False)), (3, 8, 8), 232),
    (Behind(first_conv(), nn.GroupNorm(2, 8)), (3, 8, 8), 232),
    # The norm's channels are not those of the product.
    (Behind(first_conv(), nn.BatchNorm1d(8 * 36), lambda x: x.flatten(1)), (3, 8, 8), 216 + 2 * 288),
    (Behind(first_conv(), nn.BatchNorm2d(6), lambda x: x.transpose(1, 3)), (3, 8, 8), 216 + 12),
    (Behind(first_conv(), nn.BatchNorm2d(4), lambda x: x[:, :4]), (3, 8, 8), 216 + 8),
    (Behind(nn.Linear(16, 8), nn.BatchNorm1d(5)), (5, 16), 136 + 10),  # over positions
    (Behind(nn.Linear(16, 8), nn.BatchNorm1d(8)), (8, 16), 136 + 16),  # as many positions as channels
    # Something stands between them, or reads what stands there.
    (Behind(first_conv(), nn.BatchNorm2d(8), F.relu), (3, 8, 8), 232),
    (Shared(), (3, 8, 8), 216 + 64 + 16),
    (Gram(), (3, 8, 8), 216 + 16),
]


@pytest.mark.parametrize(("module", "shape", "before", "after"), FOLDED)
def test_folded(module: nn.Module, shape: tuple[int, ...], before: int, after: int) -> None:
    graph = trace(module, shape)
    assert (graph.unfolded.total, graph.folded.total) == (before, after)


@pytest.mark.parametrize(("module", "shape", "parameters"), NOT_FOLDED)
def test_not_folded(module: nn.Module, shape: tuple[int, ...], parameters: int) -> None:
    graph = trace(module, shape)
    assert graph.folded == graph.unfolded
    assert graph.folded.total == parameters


BY_NUMBERS = [(case[0], case[1], True) for case in FOLDED] + [
    (case[0], case[1], False)
    for case in NOT_FOLDED[:9]
    if case[2] != 216 + 8  # a norm of the half scales channels too
]


@pytest.mark.parametrize(("module", "shape", "is_folded"), BY_NUMBERS)
def test_by_numbers(module: nn.Module, shape: tuple[int, ...], is_folded: bool) -> None:
    """What can be folded is a scale and a shift for each channel of the product, whatever the image."""
    torch.manual_seed(0)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 2 if "running" in name else 1)
    module.double().eval()
    product, between = next(module.children()), getattr(module, "between", lambda tensor: tensor)
    points: dict[int, list[Tensor]] = {channel: [] for channel in range(8)}  # channel -> rows of (before, 1, after)
    with torch.no_grad():
        for image in torch.randn(2, 1, *shape, dtype=torch.float64):
            before, after = product(image), module(image).flatten()
            places = between(torch.arange(before.numel()).view(before.shape)).flatten()
            channels = torch.arange(8).view(-1 if isinstance(product, nn.Linear) else (8, 1, 1)).expand(before.shape)
            rows = torch.stack((before.flatten()[places], torch.ones_like(after), after), dim=1)
            for channel, row in zip(channels.flatten()[places].tolist(), rows, strict=True):
                points[channel].append(row)
    module.float()
    errors = []
    for rows in map(torch.stack, points.values()):
        line = torch.linalg.lstsq(rows[:, :2], rows[:, 2:]).solution
        errors.append(float((rows[:, :2] @ line - rows[:, 2:]).abs().max()))
    assert (max(errors) < 1e-9) == is_folded


class TestFolding:
    def test_by_hand(self) -> None:
        def forward(net: Net, image: Tensor) -> Tensor:
            first = net.norm(net.with_bias(image))  # 108 + bias 4 + norm 8 -> 108 + 4
            second = net.plain_norm(net.without(first))  # 144 -> 144 + bias 4; this norm has no scale and shift
            third = net.late_norm(F.relu(second))  # behind an activation: 8 stay
            again = net.twice_norm(net.twice(third)) + net.twice(third)  # weights that two layers share: 144 + 8 stay
            return net.vector_norm(net.linear(again.mean((2, 3))))  # 20 + bias 5 + norm 10 -> 20 + 5

        parts = {
            "with_bias": nn.Conv2d(3, 4, 3, padding=1),
            "norm": nn.BatchNorm2d(4),
            "without": conv(4, 4),
            "plain_norm": nn.BatchNorm2d(4, affine=False),
            "late_norm": nn.BatchNorm2d(4),
            "twice": conv(4, 4),
            "twice_norm": nn.BatchNorm2d(4),
            "linear": nn.Linear(4, 5),
            "vector_norm": nn.BatchNorm1d(5),
        }
        graph = trace(Net(forward, **parts), IMAGE_SHAPE)
        kernels = 108 + 144 + 144 + 20
        assert graph.parameters(fold_batch_norm=False) == (kernels, 4 + 8 + 0 + 8 + 8 + 5 + 10)
        assert graph.parameters(fold_batch_norm=True) == (kernels, 4 + 4 + 8 + 8 + 5)
        assert graph.weights == kernels + 43

    def test_the_folded_network_of_torch(self) -> None:
        """torch's own folding leaves as many parameters."""
        module = torchvision_model("resnet18")
        folded = optimization.fuse(models.resnet18(weights=None).eval())
        graph = trace(module, (3, 64, 64))
        assert graph.folded.total == sum(parameter.numel() for parameter in folded.parameters())
