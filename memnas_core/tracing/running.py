"""A module made ready to run without data, and put back as it was afterwards."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parameter import UninitializedBuffer, is_lazy
from torch.overrides import TorchFunctionMode

from memnas_core.tracing.tensors import META, Shadow

TRAINING = frozenset(("train", "training"))
"""Arguments that switch an operator to training; a network is measured at inference."""


def network_device(module: nn.Module) -> torch.device:
    """Return the device on which a network's parameters lie; the CPU if they have no data."""
    devices = {parameter.device for parameter in module.parameters()} - {META}
    return devices.pop() if len(devices) == 1 else torch.device("cpu")


def copy_of_lazy(module: nn.Module) -> nn.Module:
    """Return a copy of a module of which some parameters or buffers have no shape yet."""
    unshaped = [buffer for buffer in module.buffers() if is_lazy(buffer)]  # these alone cannot be copied by torch
    known: dict[int, object] = {id(buffer): UninitializedBuffer() for buffer in unshaped}
    return deepcopy(module, known)


@contextmanager
def prepared(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Put a module into evaluation mode, with the operations of its layers as they are written and none fused.

    Parameters and buffers on the meta device say inside the `with` block that they lie on `device`.
    """
    with (
        _inference(module),
        _claiming(module, device),
        _on_one_device(module),
        _OneDevice(device),
        _unfused(),
        _uncompiled(),
    ):
        yield


@contextmanager
def _inference(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode, and at the end each of its parts back into its own mode."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
    except NotImplementedError:  # an exported network has its mode in the arguments of its operators
        for part in module.modules():
            part.training = False
    try:
        with ExitStack() as stack:
            for part in module.modules():
                if isinstance(part, torch.fx.GraphModule):
                    stack.enter_context(_operators_at_inference(part))
            yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def _operators_at_inference(part: torch.fx.GraphModule) -> Iterator[None]:
    """Switch operators of an exported network, such as dropout, from training to inference."""
    before = []
    for node in part.graph.nodes:
        if isinstance(node.target, OpOverload):
            names = [argument.name for argument in node.target._schema.arguments[: len(node.args)]]
            args = tuple(False if name in TRAINING else old for name, old in zip(names, node.args, strict=True))
            kwargs = {name: False if name in TRAINING else old for name, old in node.kwargs.items()}
            if (args, kwargs) != (node.args, dict(node.kwargs)):
                before.append((node, node.args, node.kwargs))
                node.args, node.kwargs = args, kwargs
    if before:
        part.recompile()
    try:
        yield
    finally:
        for node, args, kwargs in before:
            node.args, node.kwargs = args, kwargs
        if before:
            part.recompile()


@contextmanager
def _claiming(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Replace parameters and buffers on the meta device by tensors that say that they lie on another one."""
    shadows: dict[int, Tensor] = {}
    replaced = []
    for part in module.modules():
        if isinstance(part, torch.jit.ScriptModule):
            continue
        own: tuple[dict[str, Tensor | None], ...] = (part._parameters, part._buffers)  # type: ignore[assignment]
        for tensors in own:
            for name, tensor in tensors.items():
                if tensor is not None and tensor.device == META:
                    replaced.append((tensors, name, tensor))
                    shadows.setdefault(id(tensor), _claimed(tensor, device))
    try:
        for tensors, name, tensor in replaced:
            tensors[name] = shadows[id(tensor)]
        yield
    finally:
        for tensors, name, tensor in replaced:
            tensors[name] = tensor


def _claimed(tensor: Tensor, device: torch.device) -> Tensor:
    shadow = Shadow(tensor.detach(), device)
    shadow._is_param = isinstance(tensor, nn.Parameter)
    return shadow


@contextmanager
def _on_one_device(module: nn.Module) -> Iterator[None]:
    """Let `nn.DataParallel` call what it wraps, without copies for several GPUs."""
    parallel = [(part, part.device_ids) for part in module.modules() if isinstance(part, nn.DataParallel)]
    try:
        for part, _ in parallel:
            part.device_ids = []
        yield
    finally:
        for part, devices in parallel:
            part.device_ids = devices


def _uncompiled() -> AbstractContextManager[object]:
    """Let functions and modules of `torch.compile` run as they are written."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and the import would take seconds
        return nullcontext()
    stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


class _OneDevice(TorchFunctionMode):
    """Whatever device a network asks for, its tensors lie on one; the machine may not have the other."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        given = dict(kwargs or {})
        if func is Tensor.cuda:
            return Tensor.to(args[0], self._device)  # type: ignore[call-overload]
        if func is Tensor.to:
            args = (args[0], *(self._device if _is_device(argument) else argument for argument in args[1:]))
        if given.get("device") is not None:
            given["device"] = self._device
        return func(*args, **given)


def _is_device(argument: object) -> bool:
    return isinstance(argument, str | torch.device)


@contextmanager
def _unfused() -> Iterator[None]:
    """Switch off kernels that do the work of several operations at once: torch chooses them by device."""
    switches: tuple[tuple[Callable[[], bool], Callable[[bool], None]], ...] = (
        (torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),
        (torch._C._get_cudnn_enabled, torch._C._set_cudnn_enabled),
        (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
    )
    before = [read() for read, _ in switches]
    try:
        for _, switch in switches:
            switch(False)
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        for (_, switch), value in zip(switches, before, strict=True):
            switch(value)
