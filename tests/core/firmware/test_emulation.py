"""C on emulated cores, with the real compiler and the real QEMU."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memnas_core.errors import InputError
from memnas_core.firmware import boards, emulation
from memnas_core.firmware.boards import BOARDS, Memory
from memnas_core.firmware.emulation import Firmware, emulate, section_sizes
from memnas_core.firmware.host import HostNetwork
from memnas_core.firmware.interface import read_interface, with_test
from memnas_core.firmware.proof import prove, prove_here
from memnas_core.firmware.tools import FirmwareError, require, run_tool
from memnas_core.space.layers import Shape
from tests.core.export.conftest import EVERY_LAYER
from tests.core.firmware.made_up import made_up_network, pixels, write_c
from tests.core.random_architectures import bare_architecture

SHAPE = Shape(3, 8, 8)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a source that carries test images."""
    path = write_c(made_up_network(EVERY_LAYER, SHAPE, 5, seed=0), tmp_path_factory.mktemp("source") / "sketch.c")
    network, images = HostNetwork.compile(path), pixels(SHAPE, 3)
    path.write_text(with_test(path.read_text(), network.interface, images, network.run(images)))
    return path


@pytest.fixture(scope="module", params=list(BOARDS))
def firmware(request: pytest.FixtureRequest, source: Path) -> Firmware:
    return emulate(source, request.param, pixels(SHAPE, 4, seed=1))


def test_a_core_computes_what_this_machine_computes(firmware: Firmware, source: Path) -> None:
    np.testing.assert_array_equal(firmware.scores, HostNetwork.compile(source).run(pixels(SHAPE, 4, seed=1)))


def test_static_memory_is_the_arena(firmware: Firmware, source: Path) -> None:
    assert firmware.ram_bytes == read_interface(source.read_text(), "sketch.c").arena_bytes == 3072


def test_flash_and_stack(firmware: Firmware) -> None:
    """Flash holds 3,872 weights, 101 biases and multipliers, and 768 bytes of tables at least, and some code."""
    constants = 3872 + 101 * 9 + 768
    assert constants + 2500 < firmware.flash_bytes < constants + 7500
    assert 100 < firmware.stack_bytes < 512


def test_instructions(firmware: Firmware) -> None:
    """A multiply-accumulate takes two loads, a multiplication and an addition at least, and rather fewer than 20."""
    layers = made_up_network(EVERY_LAYER, SHAPE, 5, seed=0).graph.layers
    macs = sum(layer.weights // layer.output.channels * layer.output.elements for layer in layers)
    assert firmware.instructions is not None
    assert 4 * macs < firmware.instructions < 20 * macs


def test_instructions_are_counted_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU's log of executed blocks, one instruction each, has those of one image more with one image more.

    The test program itself takes some for an image: it paints the stack, 4,096 words, and looks at it again, with up to
    five instructions a word each time.
    """
    counts = []
    emulator = emulation.EMULATOR

    def logged(command: tuple[str, ...], folder: Path, seconds: float = 600) -> str:
        if command[0] == emulator:
            command = (*command, "-singlestep", "-d", "exec,nochain", "-D", "log")
        printed = run_tool(command, folder, seconds)
        if (folder / "log").exists():
            with (folder / "log").open() as log:
                counts.append(sum(line.startswith("Trace") for line in log))
        return printed

    monkeypatch.setattr(emulation, "run_tool", logged)
    monkeypatch.setattr(emulation, "_LOOP", 400_000)
    shape = Shape(1, 8, 8)
    small = write_c(made_up_network(bare_architecture((2,), 8), shape, 5, seed=0), tmp_path / "small.c")
    first, _ = (emulate(small, "cortex-m7", pixels(shape, count)) for count in (1, 2))
    assert first.instructions is not None
    added = counts[1] - counts[0]
    painting = boards.STACK_BYTES // 4 * 2 * 5
    assert first.instructions < added < first.instructions + painting < 2 * first.instructions


def test_a_proof(source: Path) -> None:
    network = prove_here(source)
    found = list(prove(source, network, pixels(SHAPE, 2), ("cortex-m0+", "cortex-m7")))
    assert [one.core for one in found] == ["cortex-m0+", "cortex-m7"]


def test_another_score_than_the_source_carries(source: Path, tmp_path: Path) -> None:
    text = source.read_text()
    (line,) = re.findall(r"_test_scores\[SKETCH_TEST_IMAGES\]\[5\] = \{\n    \{(-?\d+)", text)
    spoilt = tmp_path / "spoilt.c"
    head, _, tail = text.rpartition("const int8_t sketch_test_scores")
    spoilt.write_text(f"{head}const int8_t sketch_test_scores{tail.replace(line, str((int(line) + 1) % 100), 1)}")
    with pytest.raises(FirmwareError, match=r"this machine: expected the same scores, found others for 1 of 3 images"):
        prove_here(spoilt)


def test_a_core_that_computes_something_else(source: Path) -> None:
    """As if a kernel used what C leaves to the compiler: a constant is another on Arm."""
    text = source.read_text().replace("int32_t sum = 0;", "int32_t sum = ODD;", 1)
    other = source.with_name("other.c")
    odd = "#ifdef __arm__\n#define ODD 90\n#else\n#define ODD 0\n#endif\n"
    other.write_text(text.replace("#include <stdint.h>", f"#include <stdint.h>\n{odd}", 1))
    with pytest.raises(FirmwareError, match=r"cortex-m4: expected the same scores, found others for 2 of 2 images"):
        list(prove(other, prove_here(other), pixels(SHAPE, 2), ("cortex-m4",)))


def test_more_memory_than_planned(source: Path) -> None:
    larger = source.with_name("larger.c")
    larger.write_text(source.read_text().replace("int8_t bytes[SKETCH_ARENA_BYTES];", "int8_t bytes[3076];"))
    with pytest.raises(FirmwareError, match=r"expected the planned 3,072 bytes of static RAM, found 3,076"):
        list(prove(larger, prove_here(larger), pixels(SHAPE, 1), ("cortex-m4",)))


def test_a_network_that_is_too_large_for_the_board(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(BOARDS["cortex-m4"], flash=Memory(64, 4096))
    monkeypatch.setattr(emulation, "BOARDS", {"cortex-m4": small})
    with pytest.raises(FirmwareError, match=r"arm-none-eabi-gcc: expected exit code 0, .*FLASH"):
        emulate(source, "cortex-m4", pixels(SHAPE, 1))


def test_a_program_that_ends_early(source: Path) -> None:
    with pytest.raises(FirmwareError, match=r"expected 2 images with 5 scores each, found 5 scores and 1 counts"):
        emulation._measured("cortex-m4", {}, read_interface(source.read_text(), ""), 2, bytes(5), bytes(12))


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    message = r"^--verify: expected cc, qemu-system-arm on the path, found no cc, qemu-system-arm; make device installs"
    with pytest.raises(InputError, match=message):
        require(("cc", "qemu-system-arm"), "--verify")


def test_errors_of_tools(tmp_path: Path) -> None:
    with pytest.raises(FirmwareError, match=r"^sh: expected exit code 0, found 3: no message$"):
        run_tool(("sh", "-c", "exit 3"), tmp_path)
    with pytest.raises(FirmwareError, match=r"found 1: x.c:1: error: no$"):
        run_tool(("sh", "-c", "echo 'x.c:1: error: no' >&2; echo after >&2; exit 1"), tmp_path)
    with pytest.raises(FirmwareError, match="found it running"):
        run_tool(("sleep", "5"), tmp_path, seconds=0.05)


def test_sections_of_a_program() -> None:
    printed = "a.elf  :\nsection   size   addr\n.text   2480   0\n.bss  40   536870912\nTotal  2520\n"
    assert section_sizes(printed) == {".text": 2480, ".bss": 40}


def test_the_c_is_strict_c99_and_cpp_takes_the_header(source: Path, tmp_path: Path) -> None:
    strict = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wundef", "-Werror")
    for macro in ("-DSKETCH_TEST", "-DNOTHING"):
        subprocess.run(["cc", "-std=c99", *strict, macro, "-c", str(source), "-o", "/dev/null"], check=True)
    text = source.read_text()
    (tmp_path / "sketch.h").write_text(text[: text.index("/* end of the header */")])
    (tmp_path / "main.c").write_text('#include "sketch.h"\nint main(void) { return sketch_test(); }\n')
    command = ["cc", "-std=c99", *strict, "-DSKETCH_TEST", "main.c", str(source), "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert subprocess.run([str(tmp_path / "main")], check=False).returncode == 0
