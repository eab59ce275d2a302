"""Networks that are unusual, that are left as they were, and that are refused."""

import pytest
import torch
from torch import Tensor, nn

from memnas_core.errors import InputError
from memnas_core.tracing.inputs import NetworkInput
from memnas_core.tracing.recorder import weightless
from memnas_core.tracing.trace import trace, trace_inputs
from tests.core.tracing.small_networks import IMAGE_SHAPE, Net, conv, figures


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

    def test_an_element_wise_operation_with_two_results(self) -> None:
        """Mantissa and exponent, of 4 * 64 each, have memory of their own beside the convolution's."""
        graph = trace(Net(lambda net, image: torch.frexp(net.conv(image)), conv=conv(3, 4)), IMAGE_SHAPE)
        assert [layer.operations for layer in graph.layers] == [("convolution",), ("frexp",)]
        assert figures(graph)[1] == 256 + 2 * 256

    def test_several_inputs_and_integers(self) -> None:
        def forward(net: Net, words: Tensor) -> Tensor:
            return net.embed(words)

        inputs = (NetworkInput((5,), "int"),)
        assert figures(trace_inputs(Net(forward, embed=nn.Embedding(10, 4)), inputs)) == (20, 25, 25)
        two = trace_inputs(Two(), (NetworkInput((3, 8, 8)), NetworkInput((1, 8, 8)), NetworkInput((7,))))
        assert two.plain() == {"add": (("image", "image_2"), ("add",))}
        assert set(two.sizes(1)) == {"image", "image_2", "add"}  # nothing reads the third
        with pytest.raises(InputError, match=r"Two: .*forward\(image, mask, unused\).*found 1 .*'mask'"):
            trace(Two(), IMAGE_SHAPE)

    def test_operators_without_a_size_rule(self) -> None:
        with pytest.raises(InputError, match=r"layer 1\.0 .*: .*memnas_tests\.unknown\.default without such a rule"):
            trace(nn.Sequential(conv(3, 4), nn.Sequential(Unknown())), IMAGE_SHAPE)

    def test_control_flow_that_depends_on_values(self) -> None:
        gate = Net(lambda _, image: image if image.sum() > 0 else -image)
        with pytest.raises(InputError, match=r"layer 0 .*: .*local_scalar_dense.*depends on values"):
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
                "Net's own code .*: .*local_scalar_dense.* depends on values",
            ),
            (Net(lambda _, image: image), (3, 8, 8), "computed from its input"),
            (Net(lambda _, image: torch.ones(3, device=image.device)), (3, 8, 8), "computed from its input"),
        ],
    )
    def test_the_message_names_the_place(self, module: nn.Module, shape: tuple[int, ...], message: str) -> None:
        with pytest.raises(InputError, match=message):
            trace(module, shape)
