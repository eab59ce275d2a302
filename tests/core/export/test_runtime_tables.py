"""What loading a program takes from its allocators, against ExecuTorch's own runtime, in C++ on this machine."""

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from memnas_core.export.executorch_file import EXECUTORCH
from memnas_core.export.runtime_tables import EVALUE_BYTES, allocator_needs
from memnas_core.training.deployed import DeployedNetwork

SOURCE = Path(__file__).with_name("method_allocator.cpp")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a program that loads a .pte file with ExecuTorch's runtime."""
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler")
    spec = find_spec("executorch")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    root = Path(spec.submodule_search_locations[0])
    types = root / "include/executorch/runtime/core/portable_type/c10"
    target = tmp_path_factory.mktemp("runtime") / "method_allocator"
    include = ["-std=c++17", "-DC10_USING_CUSTOM_GENERATED_MACROS", f"-I{root / 'include'}", f"-I{types}"]
    libraries = ["-Wl,--no-as-needed", "-lexecutorch", "-lexecutorch_kernels_optimized"]
    place = [f"-L{root / 'lib'}", f"-Wl,-rpath,{root / 'lib'}"]
    subprocess.run(["g++", *include, str(SOURCE), "-o", str(target), *place, *libraries], check=True)
    return target


@pytest.mark.parametrize("int8", [False, True])
def test_tables_are_those_of_the_runtime(
    int8: bool, runtime: Path, deployed: DeployedNetwork, images: torch.Tensor, tmp_path: Path
) -> None:
    from executorch.exir._serialize._program import deserialize_pte_binary

    path = tmp_path / "network.pte"
    path.write_bytes(EXECUTORCH.write(deployed, images, int8, "{}"))
    done = subprocess.run([str(runtime), str(path)], capture_output=True, text=True, check=True)
    method, temporary = map(int, done.stdout.split())
    (plan,) = deserialize_pte_binary(path.read_bytes()).program.execution_plan
    found = allocator_needs(plan, pointer_bytes=8)
    assert found == (method, temporary)
    narrow = allocator_needs(plan, pointer_bytes=4)
    assert narrow is not None
    assert EVALUE_BYTES * len(plan.values) < narrow.method < method
