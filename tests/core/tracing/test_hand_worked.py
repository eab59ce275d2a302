"""Tracing against graphs worked out by hand."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memnas_core.memory.lifetimes import least_peak
from memnas_core.tracing.trace import trace
from tests.core.tracing.small_networks import IMAGE_SHAPE, Net, conv, figures


class TestHandWorked:
    def test_residual_addition(self) -> None:
        def forward(net: Net, image: Tensor) -> Tensor:
            kept = F.relu(net.norm(net.first(image)))
            return F.relu(net.second(kept) + kept)

        graph = trace(Net(forward, first=conv(3, 4), norm=nn.BatchNorm2d(4), second=conv(4, 4)), IMAGE_SHAPE)
        assert [layer.operations for layer in graph.layers] == [
            ("convolution", "native_batch_norm", "relu"),
            ("convolution",),
            ("add", "relu"),
        ]
        assert graph.plain() == {
            "first": (("image",), ("first",)),
            "second": (("first",), ("second",)),
            "add": (("second", "first"), ("add",)),
        }
        # sequential: image 192 + 256, 256 + 256, second 256 + first 256 + sum 256
        # paper: 192 | 256 | first is kept for the addition: 512 | 256
        assert figures(graph) == (512, 768, 768)
        assert [layer.weights for layer in graph.layers] == [4 * 3 * 9 + 8, 4 * 4 * 9, 0]

    def test_concatenation(self) -> None:
        def forward(net: Net, image: Tensor) -> Tensor:
            return torch.cat([net.a(image), net.b(image), net.a(image)], dim=1)

        graph = trace(Net(forward, a=conv(3, 1), b=conv(3, 2)), IMAGE_SHAPE)
        assert graph.plain()["cat"] == (("a", "b", "a_2"), ("cat",))
        # sequential: image 192 + 64 + 128 + 64 = 448 with the last convolution; then 256 + concat 256 = 512
        # paper: 192 | 64 + 128 + 64 = 256 | 256
        assert figures(graph) == (256, 512, 512)
        # weights that two layers share count once
        assert [layer.weights for layer in graph.layers] == [27, 54, 0, 0]
        assert graph.weights == 81

    def test_activation_of_a_shared_tensor_is_not_in_place(self) -> None:
        def forward(net: Net, image: Tensor) -> Tensor:
            shared = net.conv(image)
            return shared + F.relu(shared)

        graph = trace(Net(forward, conv=conv(3, 4)), IMAGE_SHAPE)
        assert list(graph.plain()) == ["conv", "relu", "add"]
        # sequential: 192 + 256 | 256 + 256 | 256 + 256 + 256
        assert figures(graph) == (512, 768, 768)

    def test_activation_written_in_place_after_another_reader_is_not_in_place(self) -> None:
        """Data flow decides: another order could run the pooling, which reads the old value, last."""

        def forward(net: Net, image: Tensor) -> Tensor:
            shared = net.conv(image)
            pooled = F.avg_pool2d(shared, 8)
            shared.relu_()
            return F.avg_pool2d(shared, 8) - pooled

        graph = trace(Net(forward, conv=conv(3, 4)), IMAGE_SHAPE)
        assert graph.plain() == {
            "conv": (("image",), ("conv",)),
            "avg_pool2d": (("conv",), ("avg_pool2d",)),
            "relu": (("conv",), ("relu",)),
            "avg_pool2d_2": (("relu",), ("avg_pool2d_2",)),
            "sub": (("avg_pool2d_2", "avg_pool2d"), ("sub",)),
        }
        # sequential: 192 + 256 | 256 + 4 | 256 + 4 + relu 256 | 256 + 4 + 4 | 4 + 4 + 4
        # minimum: relu first: 256 + 256, then either pooling with both alive: 516 as well
        # paper: 192 | 256 | pooled 4 + relu 256 | 4 + 4 | 4
        assert figures(graph) == (260, 516, 516)

    def test_writing_in_place_renews_what_all_names_of_a_tensor_hold(self) -> None:
        def forward(net: Net, image: Tensor) -> Tensor:
            kept = net.conv(image)
            same = kept.view(1, 4, 64)
            kept.relu_()
            return kept + same.view_as(kept)  # both are the activated tensor

        graph = trace(Net(forward, conv=conv(3, 4)), IMAGE_SHAPE)
        assert graph.plain() == {"conv": (("image",), ("conv",)), "add": (("conv",), ("add",))}
        # an addition is a layer also where both sides are one tensor: 192 + 256 | 256 + 256
        assert figures(graph) == (256, 512, 512)

    def test_two_branches_in_a_bad_order(self) -> None:
        def forward(net: Net, image: Tensor) -> Tensor:
            wide_a, wide_b = net.wide_a(image), net.wide_b(image)
            return net.narrow_a(wide_a) + net.narrow_b(wide_b)

        parts = {"wide_a": conv(1, 8), "wide_b": conv(1, 8), "narrow_a": conv(8, 1), "narrow_b": conv(8, 1)}
        graph = trace(Net(forward, **parts), (1, 8, 8))
        # sequential: 64 + 512 | 64 + 512 + 512 | 512 + 512 + 64 | 512 + 64 + 64 | 3 * 64: 1088
        # one branch after the other: 64 + 512 | 64 + 512 + 64 | 64 + 64 + 512 | 64 + 512 + 64 | 192: 640
        # paper: 64 | 512 + 512 | 64 + 64 | 64
        assert figures(graph) == (1024, 1088, 640)
        assert least_peak(graph.plain(), graph.sizes(1)).exact

    def test_views_and_dropout_take_no_memory(self) -> None:
        def forward(net: Net, image: Tensor) -> Tensor:
            grid = net.conv(image).flatten(2).permute(0, 2, 1).unflatten(1, (8, 8))[0].movedim(2, 0)
            return net.linear(net.dropout(grid.flatten(1).T))

        parts = {"conv": conv(3, 4), "dropout": nn.Dropout(0.5), "linear": nn.Linear(4, 10)}
        graph = trace(Net(forward, **parts), IMAGE_SHAPE)
        assert graph.plain() == {"conv": (("image",), ("conv",)), "linear": (("conv",), ("linear",))}
        # sequential: 192 + 256 | 256 + 640
        assert figures(graph) == (640, 896, 896)

    def test_a_copy_into_another_layout_is_a_layer(self) -> None:
        """Its elements change places, so that it needs both tensors, as a channel shuffle does."""

        def forward(net: Net, image: Tensor) -> Tensor:
            wide = net.conv(image).unflatten(1, (2, 2)).transpose(1, 2).reshape(1, 4, 8, 8)
            return net.last(F.relu(wide))

        graph = trace(Net(forward, conv=conv(3, 4), last=conv(4, 1)), IMAGE_SHAPE)
        assert [layer.operations for layer in graph.layers] == [("convolution",), ("clone", "relu"), ("convolution",)]
        # sequential: 192 + 256 | 256 + 256 | 256 + 64
        assert figures(graph) == (256, 512, 512)
        assert not graph.roles().elementwise

    def test_an_activation_keeps_any_layout(self) -> None:
        """A permutation is a view; what works element by element behind it leaves all elements where they are."""

        def forward(net: Net, image: Tensor) -> Tensor:
            return F.relu(net.conv(image).permute(2, 0, 3, 1))

        assert len(trace(Net(forward, conv=conv(3, 4)), IMAGE_SHAPE).layers) == 1

    def test_a_slice_keeps_the_whole(self) -> None:
        def forward(net: Net, image: Tensor) -> Tensor:
            left, right = net.conv(image).chunk(2, dim=1)
            return torch.cat((left, net.branch(right)), dim=1)

        graph = trace(Net(forward, conv=conv(3, 4), branch=conv(2, 2)), IMAGE_SHAPE)
        assert graph.plain()["cat"][0] == ("conv", "branch")
        # sequential: 192 + 256 | 256 + 128 | 256 + 128 + concat 256
        assert figures(graph) == (384, 640, 640)

    def test_an_activation_of_a_slice_is_a_layer(self) -> None:
        graph = trace(Net(lambda net, image: F.relu(net.conv(image)[:, :1]), conv=conv(3, 4)), IMAGE_SHAPE)
        # 192 + 256 | 256 + 64; one layer of 64 would say 256 altogether
        assert figures(graph) == (256, 448, 448)
        assert list(graph.plain()) == ["conv", "relu"]

    def test_a_view_made_in_place_is_no_layer(self) -> None:
        def forward(net: Net, image: Tensor) -> Tensor:
            wide = net.conv(image)
            other = net.other(wide)
            wide.unsqueeze_(0).squeeze_(0)
            return wide + other

        graph = trace(Net(forward, conv=conv(3, 4), other=conv(4, 4)), IMAGE_SHAPE)
        assert list(graph.plain()) == ["conv", "other", "add"]

    def test_assigning_to_a_part_overwrites_what_nobody_else_reads(self) -> None:
        def forward(net: Net, image: Tensor) -> Tensor:
            whole = net.conv(image)
            whole[:, :2].relu_()
            return net.last(whole)

        graph = trace(Net(forward, conv=conv(3, 4), last=conv(4, 1)), IMAGE_SHAPE)
        # 192 + 256 | 256 + 64
        assert graph.plain() == {"conv": (("image",), ("conv",)), "last": (("conv",), ("last",))}
        assert figures(graph) == (256, 448, 448)

    def test_scaling_by_an_activation_is_a_layer_and_by_a_weight_is_not(self) -> None:
        class Scaled(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = conv(3, 4)
                self.scale = nn.Parameter(torch.ones(2, 2, 1, 1))

            def forward(self, image: Tensor) -> Tensor:
                wide = self.conv(image) * self.scale.exp().view(1, 4, 1, 1)
                return wide * torch.sigmoid(wide.mean((2, 3), keepdim=True))

        graph = trace(Scaled(), IMAGE_SHAPE)
        assert [layer.operations for layer in graph.layers] == [
            ("convolution", "mul"),
            ("mean", "sigmoid"),
            ("mul",),
        ]
        assert graph.layers[0].weights == 108 + 4
        # 192 + 256 | 256 + 4 | 256 + 4 + 256
        assert figures(graph) == (260, 516, 516)

    def test_what_is_returned_lives_to_the_end(self) -> None:
        def forward(net: Net, image: Tensor) -> dict[str, Tensor]:
            features = net.conv(image)
            narrow = net.narrow(features)
            return {"features": features, "scores": net.wide(narrow)}

        graph = trace(Net(forward, conv=conv(3, 4), narrow=conv(4, 1), wide=conv(1, 4)), IMAGE_SHAPE)
        # 192 + 256 | 256 + 64 | features still there: 256 + 64 + 256 = 576 | 512
        assert figures(graph)[1] == 576
        assert graph.layers[-1].inputs == ("conv", "wide")

    def test_what_is_returned_is_not_overwritten(self) -> None:
        def forward(net: Net, image: Tensor) -> tuple[Tensor, Tensor]:
            features = net.conv(image)
            return features, F.relu(features)

        assert figures(trace(Net(forward, conv=conv(3, 4)), IMAGE_SHAPE))[1] == 512

    def test_the_image_is_not_overwritten(self) -> None:
        graph = trace(Net(lambda net, image: net.relu(image), relu=nn.ReLU(inplace=True)), IMAGE_SHAPE)
        assert figures(graph) == (192, 384, 384)

    def test_what_nothing_reads_is_left_out(self) -> None:
        def forward(net: Net, image: Tensor) -> Tensor:
            net.unused(image)
            return F.max_pool2d(image, 2)  # writes indices too

        graph = trace(Net(forward, unused=conv(3, 64)), IMAGE_SHAPE)
        assert len(graph.layers) == 1
        assert figures(graph) == (192, 240, 240)  # 192 + 3 * 4 * 4
        assert graph.weights == graph.unread_weights == 64 * 27

    def test_attention(self) -> None:
        def forward(net: Net, tokens: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(*net.qkv(tokens).chunk(3, dim=-1))

        graph = trace(Net(forward, qkv=nn.Linear(8, 24)), (16, 8))
        # 16 tokens of 8: q, k and v are one tensor of 384; q and k scaled are 128 each; scores 16 * 16 = 256.
        # product: 384 (v is a part of it) + 128 + 128 + 256 = 896; softmax: 384 + 256 + 256 = 896
        assert figures(graph)[1] == 896

    def test_constants_take_no_activation_memory(self) -> None:
        def forward(net: Net, image: Tensor) -> Tensor:
            mask = torch.zeros_like(image)
            mask[:, :, 2:6] = 1
            return net.conv(image) + mask.sum()

        graph = trace(Net(forward, conv=conv(3, 4)), IMAGE_SHAPE)
        assert [layer.operations for layer in graph.layers] == [("convolution", "add")]
