"""ExecuTorch's int8 lowering for Arm Cortex-M: a quantizer for PT2E, and operators of CMSIS-NN for the result.

ExecuTorch's portable operators have no convolution in int8: a network quantised for them computes in float32 between
a dequantisation and a quantisation at each layer, and its plan holds both. The Cortex-M operators take and give int8,
so that every planned activation is int8, beside the scratch memory that CMSIS-NN asks for.

Its package imports one for other Arm processors, which imports `tosa_serializer`, a part of tosa-tools. Nothing of it
is called on the way to a Cortex-M, and tosa-tools demands a numpy older than ours. So an empty module stands in for it
during the import where it is not installed.
"""

import importlib.util
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from executorch.exir import EdgeProgramManager
    from torch.export import ExportedProgram
    from torchao.quantization.pt2e.quantizer import Quantizer

TARGET = "cortex-m7"
"""The processor for which scratch memory is planned. M4, M7 and M33 with DSP instructions need the same."""

_TOSA = "tosa_serializer"


def quantizer() -> "Quantizer":
    """Return the quantizer: int8 activations with one scale a tensor, int8 weights with one a channel."""
    with _importable():
        from executorch.backends.cortex_m.quantizer.quantizer import CortexMQuantizer

    return CortexMQuantizer()


def register_operators() -> None:
    """Make the reference implementations of the operators known to torch."""
    with _importable():  # the module of the operators itself cannot be the first of its package to be imported
        import executorch.backends.cortex_m.quantizer.quantizer  # noqa: F401


def to_cortex_m(program: "ExportedProgram") -> "EdgeProgramManager":
    """Lower a quantised program to Cortex-M operators.

    Args:
        program: One whose images are channels last.
    """
    with _importable():
        from executorch.backends.cortex_m.edge_compile_config import cortex_m_edge_compile_config
        from executorch.backends.cortex_m.passes.cortex_m_pass_manager import CortexMPassManager
        from executorch.backends.cortex_m.target_config import CortexMTargetConfig
    from executorch.exir import EdgeProgramManager, to_edge

    edge = to_edge(program, compile_config=cortex_m_edge_compile_config())
    target = CortexMTargetConfig.from_target_string(TARGET)
    lowered = CortexMPassManager(edge.exported_program(), target_config=target).transform()
    _drop_unused_constants(lowered)
    return EdgeProgramManager({"forward": lowered}, compile_config=cortex_m_edge_compile_config())


def _drop_unused_constants(program: "ExportedProgram") -> None:
    """Remove what the lowering no longer reads: scales, and weights in their old layout, a sixth of a small file."""
    from torch.export.graph_signature import InputKind

    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    specs = program.graph_signature.input_specs
    unused = [spec for spec in specs if spec.kind is not InputKind.USER_INPUT and not nodes[spec.arg.name].users]
    program._graph_signature = replace(
        program.graph_signature, input_specs=[spec for spec in specs if spec not in unused]
    )
    for spec in unused:
        program.graph.erase_node(nodes[spec.arg.name])
        program.state_dict.pop(spec.target, None)
        program.constants.pop(spec.target, None)
    program.graph_module.recompile()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what libraries log and warn about their own workings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


class _AnyName(type):
    """A class that has every attribute: its name, as text."""

    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{cls.__name__}.{name}"


class _StandIn(ModuleType):
    """A module in which every name is a class without content."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _AnyName(name, (), {})


@contextmanager
def _importable() -> Iterator[None]:
    if _TOSA in sys.modules or importlib.util.find_spec(_TOSA):
        yield
        return
    sys.modules[_TOSA] = _StandIn(_TOSA)
    try:
        yield
    finally:
        del sys.modules[_TOSA]
