"""ExecuTorch's int8 lowering for Arm Cortex-M: a quantizer for PT2E, and operators of CMSIS-NN for the result.

ExecuTorch's portable operators have no convolution in int8: a network quantised for them computes in float32 between
a dequantisation and a quantisation at each layer, and its plan holds both the int8 and the float32 tensors. The
Cortex-M operators read and write int8, so that every planned activation is int8, except the scratch memory that
CMSIS-NN asks for.

A Cortex-M runs everything else, such as concatenations, with ExecuTorch's portable operators, some of which take
tensors in another order than the default one for what they are not (pytorch/executorch, pull request 21865). So the
whole program has its tensors in the default order, (1, height, width, channels), which is ExecuTorch's "explicit
layout": what CMSIS-NN needs to find in memory is the same.

The package for Cortex-M imports a package for other Arm processors, which imports `tosa_serializer`, a part of
tosa-tools. The lowering for a Cortex-M calls nothing of it, and tosa-tools demands a numpy older than ours. So if it is
not installed, an empty module replaces it during the import.
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

import torch

from memnas_core.memory.kernel_scratch import KERNELS

if TYPE_CHECKING:
    from executorch.exir import EdgeProgramManager
    from torch.export import ExportedProgram
    from torchao.quantization.pt2e.quantizer import Quantizer

CORES = tuple(KERNELS)
"""Cores that ExecuTorch has int8 kernels for.

Each kind of kernels needs other scratch memory. Those with vector instructions also take the classifier's biases in
another form, so that a program for one kind of core does not run on another.
"""

USUAL_CORE = "cortex-m7"

_TOSA = "tosa_serializer"


def quantizer() -> "Quantizer":
    """Return the quantizer: int8 activations with one scale per tensor, int8 weights with one scale per channel."""
    with _importable():
        from executorch.backends.cortex_m.quantizer.quantizer import CortexMQuantizer

    return CortexMQuantizer(use_explicit_layout=True)


def register_operators() -> None:
    """Make the reference implementations of the operators known to torch."""
    with _importable():  # the operators' own module cannot be the first of its package to be imported
        import executorch.backends.cortex_m.quantizer.quantizer  # noqa: F401


def to_cortex_m(program: "ExportedProgram", core: str) -> "EdgeProgramManager":
    """Lower a quantised program to Cortex-M operators.

    Args:
        program: Quantised program.
        core: One of `CORES`, for whose kernels scratch memory is planned.
    """
    with _importable():
        from executorch.backends.cortex_m.edge_compile_config import cortex_m_edge_compile_config
        from executorch.backends.cortex_m.passes.cortex_m_pass_manager import CortexMPassManager
        from executorch.backends.cortex_m.target_config import CortexMTargetConfig
    from executorch.exir import EdgeProgramManager, to_edge

    edge = to_edge(program, compile_config=cortex_m_edge_compile_config())
    target = CortexMTargetConfig.from_target_string(core.replace("+", "plus"))
    manager = CortexMPassManager(edge.exported_program(), target_config=target, use_explicit_layout=True)
    lowered = manager.transform()
    _drop_undone_transpositions(lowered)
    _drop_unused_constants(lowered)
    _name_default_order(lowered)
    return EdgeProgramManager({"forward": lowered}, compile_config=cortex_m_edge_compile_config())


def _drop_undone_transpositions(program: "ExportedProgram") -> None:
    """Let the readers of a transposition's transposition read the original, if the second undoes the first.

    ExecuTorch surrounds each spatial operator by transpositions, and leaves them in wherever a tensor has many readers.
    """
    from executorch.exir.dialects._ops import ops

    transpose = ops.edge.cortex_m.transpose.default
    for node in program.graph.nodes:
        if node.target != transpose or node.args[0].target != transpose:
            continue
        original, first = node.args[0].args
        if [first[dimension] for dimension in node.args[1]] == list(range(len(first))):
            node.replace_all_uses_with(original)
    program.graph.eliminate_dead_code()
    program.graph_module.recompile()


def _drop_unused_constants(program: "ExportedProgram") -> None:
    """Remove constants that are no longer read (scales, weights in their old layout), a sixth of a small file."""
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


def _name_default_order(program: "ExportedProgram") -> None:
    """Give tensors in the default order its strides, also where a dimension of size 1 leaves a choice.

    ExecuTorch derives the order from the strides alone, and kernels refuse other orders by name.
    """
    from torch.export.graph_signature import InputKind

    constants = {
        spec.arg.name: spec.target
        for spec in program.graph_signature.input_specs
        if spec.kind is not InputKind.USER_INPUT
    }
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor) and value.is_contiguous():
            node.meta["val"] = value.new_empty(value.shape)
        for tensors in (program.state_dict, program.constants):
            name = constants.get(node.name)
            if name in tensors and tensors[name].is_contiguous():
                tensors[name] = tensors[name].detach().clone(memory_format=torch.contiguous_format)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the log messages and warnings of libraries about their internals."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


class _AnyName(type):
    """A metaclass of classes that have every attribute; the value is the attribute's name as text."""

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
