"""Tracing against graphs worked out by hand, torch's own counts, and our own graphs."""

import random
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental import optimization
from torch.nn import functional as F
from torchvision import models

from memnas_core.architecture import Architecture, Block, Branch, Cell, Combiner, Operation
from memnas_core.arena_rules import ArenaRules, LayerRoles, roles_of, shared_graph
from memnas_core.errors import InputError
from memnas_core.graph import Graph, LayerKind, Shape, lower
from memnas_core.memory import least_peak, peaks
from memnas_core.network import build_network
from memnas_core.parameters import parameter_count
from memnas_core.recorder import NetworkInput, weightless
from memnas_core.running_order import best_order
from memnas_core.trace import TracedGraph, trace, trace_inputs

IMAGE_SHAPE = (3, 8, 8)  # 192 elements; a tensor of c channels has 64 c


class Net(nn.Module):
    """A network from a forward function and the modules it uses."""

    def __init__(self, forward: Callable[..., object], **parts: nn.Module) -> None:
        super().__init__()
        self._forward = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, image: Tensor) -> object:
        return self._forward(self, image)


def conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)


def figures(graph: TracedGraph | Graph) -> tuple[int, int, int]:
    """Return the peaks (paper, sequential, minimum) in elements."""
    return tuple(peaks(graph.plain(), graph.sizes(1)))


def torchvision_model(name: str) -> nn.Module:
    with weightless(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return models.get_model(name, weights=None)


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
            grid = net.conv(image).permute(0, 2, 3, 1).unflatten(3, (2, 2)).flatten(2)
            return net.linear(net.dropout(torch.flatten(grid, 1)))

        parts = {"conv": conv(3, 4), "dropout": nn.Dropout(0.5), "linear": nn.Linear(256, 10)}
        graph = trace(Net(forward, **parts), IMAGE_SHAPE)
        assert graph.plain() == {"conv": (("image",), ("conv",)), "linear": (("conv",), ("linear",))}
        # sequential: 192 + 256 | 256 + 10
        assert figures(graph) == (256, 448, 448)
        assert graph.shapes()["linear"] == (10,)
        assert [layer.operations for layer in graph.layers] == [("convolution", "clone"), ("addmm",)]

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


class TestRoles:
    """Who may overwrite what, and what is joined in memory."""

    def test_additions_and_activations(self) -> None:
        def forward(net: Net, image: Tensor) -> tuple[Tensor, Tensor]:
            shared = net.conv(image)
            active = F.relu(shared)
            return shared + active, F.softmax(active, dim=1)

        graph = trace(Net(forward, conv=conv(3, 4)), IMAGE_SHAPE)
        assert graph.roles() == LayerRoles(frozenset(("relu", "add")), frozenset(), frozenset(("add", "softmax")))

    def test_what_lies_differently_in_memory_is_not_overwritten(self) -> None:
        def forward(net: Net, image: Tensor) -> Tensor:
            shared = net.conv(image)
            return shared + shared.transpose(2, 3)

        def stretched(net: Net, image: Tensor) -> Tensor:
            shared = net.conv(image)
            return shared * shared.mean((2, 3), keepdim=True)

        assert not trace(Net(forward, conv=conv(3, 4)), IMAGE_SHAPE).roles().elementwise
        assert trace(Net(stretched, conv=conv(3, 4)), IMAGE_SHAPE).roles().elementwise == {"mul"}

    @pytest.mark.parametrize(
        ("join", "joins"),
        [
            (lambda a, b: torch.cat((a, b), dim=1), True),
            (lambda a, b: torch.cat((a, b), dim=-3), True),
            (lambda a, b: F.relu(torch.cat((a, b), dim=1)), True),
            (lambda a, b: torch.cat((a, b), dim=2), False),  # rows of different channels take turns
            (lambda a, _: torch.cat((a, a), dim=1), False),
            (lambda a, b: torch.cat((a, b[:, :2]), dim=1), False),
            (lambda a, b: torch.cat((a, b.transpose(2, 3)), dim=1), False),
            (lambda a, _: torch.cat((a, torch.ones(1, 1, 8, 8)), dim=1), False),
        ],
    )
    def test_concatenations(self, join: Callable[[Tensor, Tensor], Tensor], joins: bool) -> None:
        def forward(net: Net, image: Tensor) -> Tensor:
            return net.last(join(net.a(image), net.b(image)))

        graph = trace(Net(forward, a=conv(3, 4), b=conv(3, 4), last=nn.AvgPool2d(2)), IMAGE_SHAPE)
        assert graph.roles().concats == ({"cat"} if joins else set())

    @pytest.mark.parametrize("seed", range(8))
    def test_lowered_and_traced_agree(self, seed: int) -> None:
        plain = lower(random_architecture(random.Random(seed)), Shape(3, 8, 8), classes=10)
        graph = without_subsampling(best_order(plain)[0])
        with weightless():
            module = build_network(plain, seed=0)
        traced = trace(module, graph.input_shape)
        for rules in (
            ArenaRules(in_place=True, direct_concats=False, counts_inputs=True, counts_outputs=False),
            ArenaRules(in_place=True, direct_concats=True, counts_inputs=False, counts_outputs=True),
        ):
            ours = shared_graph(graph.plain(), graph.sizes(4), roles_of(graph), rules)
            theirs = shared_graph(traced.plain(), traced.sizes(4), traced.roles(), rules)
            assert peaks(*ours.plain()) == peaks(*theirs.plain())
        for fold in (False, True):
            assert traced.parameters(fold) == parameter_count(graph, fold)


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


class TestUnusualNetworks:
    def test_tensors_that_are_no_buffers(self) -> None:
        """They have data and meet tensors that have none; what is written into one becomes an activation."""

        def forward(net: Net, image: Tensor) -> Tensor:
            scaled = net.conv(image) * torch.arange(4.0).view(1, 4, 1, 1)
            room = torch.zeros(1, 8, 8, 8)
            room[:, :4] = scaled
            return net.last(room[:, :4])

        graph = trace(Net(forward, conv=conv(3, 4), last=conv(4, 1)), IMAGE_SHAPE)
        assert [layer.operations for layer in graph.layers] == [("convolution", "mul"), ("copy",), ("convolution",)]
        # 192 + 256 | 256 + 512 | 512 + 64
        assert figures(graph)[1] == 768

    @pytest.mark.parametrize("activation", [nn.Hardswish(), nn.PReLU(), nn.SiLU(), nn.GELU(), nn.Mish(), nn.ELU()])
    def test_activations_belong_to_the_layer_before(self, activation: nn.Module) -> None:
        graph = trace(nn.Sequential(conv(3, 4), activation), IMAGE_SHAPE)
        assert len(graph.layers) == 1

    def test_several_inputs_and_integers(self) -> None:
        def forward(net: Net, words: Tensor) -> Tensor:
            return net.embed(words)

        inputs = (NetworkInput((5,), is_integer=True),)
        assert figures(trace_inputs(Net(forward, embed=nn.Embedding(10, 4)), inputs)) == (20, 25, 25)
        two = trace_inputs(Two(), (NetworkInput((3, 8, 8)), NetworkInput((1, 8, 8)), NetworkInput((7,))))
        assert two.plain() == {"add": (("image", "image_2"), ("add",))}
        assert set(two.sizes(1)) == {"image", "image_2", "add"}  # nothing reads the third
        with pytest.raises(InputError, match=r"Two: .*forward\(image, mask, unused\).*found 1 .*'mask'"):
            trace(Two(), IMAGE_SHAPE)

    def test_operators_without_a_size_rule(self) -> None:
        with pytest.raises(InputError, match=r"layer 1\.0: .*memnas_tests\.unknown\.default without such a rule"):
            trace(nn.Sequential(conv(3, 4), nn.Sequential(Unknown())), IMAGE_SHAPE)

    def test_control_flow_that_depends_on_values(self) -> None:
        gate = Net(lambda _, image: image if image.sum() > 0 else -image)
        with pytest.raises(InputError, match=r"layer 0: .*local_scalar_dense.*depends on values"):
            trace(nn.Sequential(gate), IMAGE_SHAPE)


class Two(nn.Module):
    def forward(self, image: Tensor, mask: Tensor, unused: Tensor) -> Tensor:  # noqa: ARG002
        return image + mask


@torch.library.custom_op("memnas_tests::unknown", mutates_args=())
def unknown(image: Tensor) -> Tensor:
    return image.clone()


class Unknown(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return unknown(image)


class TestModuleIsLeftAlone:
    def test_modes_weights_and_hooks(self) -> None:
        module = nn.Sequential(conv(3, 4), nn.BatchNorm2d(4).eval(), nn.Dropout(0.5))
        before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        identities = [id(parameter) for parameter in module.parameters()]
        trace(module, IMAGE_SHAPE)
        assert [part.training for part in module] == [True, False, True]
        assert [id(parameter) for parameter in module.parameters()] == identities
        assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())

    def test_weightless_modules_have_shapes_but_no_data(self) -> None:
        with weightless():
            module = nn.Linear(3, 4)
        assert {parameter.device.type for parameter in module.parameters()} == {"meta"}
        assert nn.Linear(3, 4).weight.device.type == "cpu"


class TestRefusals:
    @pytest.mark.parametrize(
        ("module", "shape", "message"),
        [
            (
                nn.Sequential(conv(3, 4), nn.Sequential(conv(5, 1))),
                (3, 8, 8),
                r"3,8,8.*convolution.*layer 1\.0 refused 1×4×8×8 and 1×5×3×3: .*channel",
            ),
            (
                nn.Sequential(conv(3, 4), nn.MaxPool2d(9)),
                (3, 8, 8),
                r"Sequential accepts.*max_pool2d.*layer 1 refused 1×4×8×8: .*too small",
            ),
            (
                Net(lambda _, image: image.sum().item()),
                (3, 8, 8),
                "Net's own code: .*local_scalar_dense.* depends on values",
            ),
            (Net(lambda _, image: image), (3, 8, 8), "computed from its input"),
            (Net(lambda _, image: torch.ones(3, device=image.device)), (3, 8, 8), "computed from its input"),
        ],
    )
    def test_the_message_names_the_place(self, module: nn.Module, shape: tuple[int, ...], message: str) -> None:
        with pytest.raises(InputError, match=message):
            trace(module, shape)


class TestKnownNetworks:
    def test_mobilenet_v2(self) -> None:
        graph = trace(torchvision_model("mobilenet_v2"), (3, 224, 224))
        assert graph.weights == 3_504_872
        # 52 convolutions (each with its norm and activation), 10 residual additions, pooling, classifier
        assert len(graph.layers) == 64
        # The second block widens 16 to 96 channels at 112x112; its depthwise layer halves the side:
        # 96 * 112 * 112 + 96 * 56 * 56 elements while it runs.
        assert figures(graph) == (
            96 * 112 * 112,
            96 * 112 * 112 + 96 * 56 * 56,
            96 * 112 * 112 + 96 * 56 * 56,
        )
        assert graph.plain()["features.2.conv.1.0"] == (("features.2.conv.0.0",), ("features.2.conv.1.0",))

    def test_resnet_18(self) -> None:
        graph = trace(torchvision_model("resnet18"), (3, 224, 224))
        assert graph.weights == 11_689_512
        # 20 convolutions, max pooling, 8 additions, average pooling, classifier
        assert len(graph.layers) == 31
        # The max pooling reads 64 channels at 112x112 and writes them at 56x56.
        assert figures(graph)[1:] == (64 * 112 * 112 + 64 * 56 * 56,) * 2

    @pytest.mark.parametrize(
        "name",
        [
            "alexnet",
            "convnext_tiny",
            "densenet121",
            "mnasnet1_0",
            "regnet_y_400mf",
            "shufflenet_v2_x1_0",
            "squeezenet1_1",
            "swin_t",
            "vit_b_16",
        ],
    )
    def test_weights_are_what_torchvision_documents(self, name: str) -> None:
        module = torchvision_model(name)
        graph = trace(module, (3, 224, 224))
        documented = models.get_model_weights(name).DEFAULT.meta["num_params"]
        assert graph.weights == documented == sum(parameter.numel() for parameter in module.parameters())
        assert graph.unread_weights == 0
        assert sum(layer.weights for layer in graph.layers) == documented
        assert graph.tensors[graph.layers[-1].outputs[0]].elements == 1000
        assert least_peak(graph.plain(), graph.sizes(4)).exact

    def test_googlenet_does_not_read_its_auxiliary_classifiers(self) -> None:
        graph = trace(torchvision_model("googlenet"), (3, 64, 64))
        assert graph.weights - graph.unread_weights == 6_624_904  # documented, without them


class TestOwnNetworks:
    """The same architecture, once lowered and once traced from its torch module."""

    @pytest.mark.parametrize("seed", range(40))
    def test_lowered_and_traced_agree(self, seed: int) -> None:
        architecture = random_architecture(random.Random(seed))
        graph = lower(architecture, Shape(3, 8, 8), classes=10)
        with weightless():
            module = build_network(graph, seed=0)
        traced = trace(module, graph.input_shape)
        assert traced.weights == graph.weights
        assert traced.unread_weights == 0
        assert figures(traced) == figures(without_subsampling(best_order(graph)[0])), "it runs in its best order"

    def test_the_sample_covers_all_kinds_of_layers(self) -> None:
        graphs = [lower(random_architecture(random.Random(seed)), Shape(3, 8, 8), 10) for seed in range(40)]
        assert {layer.kind for graph in graphs for layer in graph.layers} == set(LayerKind)
        assert any(figures(graph)[1] > figures(graph)[2] for graph in graphs)


def random_architecture(rng: random.Random) -> Architecture:
    """Return two blocks of one to three cells that read anything before them."""
    blocks = []
    for stride in (rng.choice((1, 2)), 2):
        count = rng.randint(1, 3)
        cells = []
        for number in range(count):
            branches = [Branch(rng.randint(0, number), rng.choice(list(Operation))) for _ in range(2)]
            cells.append(Cell(branches[0], rng.choice((branches[1], None)), rng.choice(list(Combiner)), True))
        blocks.append(Block(tuple(cells), stride))
    return Architecture(tuple(blocks), filters=4)


def without_subsampling(graph: Graph) -> Graph:
    """Replace each subsampled tensor by its source: torch's strided slice is a view of it.

    This is the one rule in which our own graph, whose SUBSAMPLE writes a tensor, differs from a traced one.
    """
    source = {}
    layers = []
    for layer in graph.layers:
        inputs = tuple(source.get(name, name) for name in layer.inputs)
        if layer.kind is LayerKind.SUBSAMPLE:
            source[layer.name] = inputs[0]
        else:
            layers.append(layer._replace(inputs=inputs))
    return Graph(graph.input_shape, tuple(layers), graph.output)
