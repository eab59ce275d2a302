"""`memnas verify` as a person runs it, and `memnas export --format c`, whose files it takes."""

import json
from pathlib import Path

import pytest

from memnas_core.firmware.boards import BOARDS
from tests.core.export.conftest import EVERY_LAYER
from tests.core.firmware.made_up import made_up_network, pixels, write_c
from tests.flows.command_line import Memnas, in_this_process
from tests.flows.made_up_store import write_store


@pytest.fixture
def memnas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Memnas:
    monkeypatch.chdir(tmp_path)
    return in_this_process(monkeypatch, capfd)


@pytest.fixture
def source(tmp_path: Path) -> str:
    from memnas_core.firmware.host import HostNetwork
    from memnas_core.firmware.interface import with_test
    from memnas_core.space.layers import Shape

    shape = Shape(1, 8, 8)
    path = write_c(made_up_network(EVERY_LAYER, shape, 5, seed=0), tmp_path / "sketch.c")
    network, images = HostNetwork.compile(path), pixels(shape, 3)
    path.write_text(with_test(path.read_text(), network.interface, images, network.run(images)))
    return path.name


def test_a_source_on_two_cores(memnas: Memnas, source: str) -> None:
    code, out, err = memnas("verify", source, "--core", "cortex-m0+", "--core", "cortex-m7")
    assert (code, err) == (0, "")
    first, heads, small, large = out.splitlines()
    assert first == ("sketch.c: 3 test images, 5 classes, arena of 3,072 bytes; scores as expected on this machine")
    assert heads.split() == ["emulated", "scores", "static", "RAM", "stack", "flash", "instructions", "an", "image"]
    for line, core in ((small, "cortex-m0+"), (large, "cortex-m7")):
        name, count, equal, ram, *_ = line.split()
        assert (name, count, equal, ram) == (core, "3", "equal", "3,072")


def test_a_source_that_computes_something_else(memnas: Memnas, source: str) -> None:
    path = Path(source)
    path.write_text(path.read_text().replace("int32_t sum = 0;", "int32_t sum = 60;", 1))
    code, out, err = memnas("verify", source)
    assert (code, out) == (1, "")
    assert err.startswith("memnas: C source, compiled for this machine: expected the same scores, found others for 3 ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.c", None, "missing.c: expected a file of memnas export --format c, found no such file"),
        ("sketch.py", "", "sketch.py: expected a file of memnas export --format c, found no such file"),
        (
            "main.c",
            "int main(void) { return 0; }",
            "main.c: expected a source of memnas export --format c",
        ),
        ("main.c", "/* memnas {} */\n/* end of the header */\n", "main.c: expected a source of memnas export"),
        ("main.c", "\xff", "main.c: expected a source of memnas export --format c, found another file"),
    ],
)
def test_what_is_no_source(memnas: Memnas, name: str, content: str | None, said: str) -> None:
    if content is not None:
        Path(name).write_bytes(content.encode("latin-1"))
    code, out, err = memnas("verify", name)
    assert (code, out) == (2, "")
    assert err.startswith(f"memnas: {said}")
    assert err.count("\n") == 1


def test_without_the_tools(memnas: Memnas, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    code, out, err = memnas("verify", source)
    assert (code, out) == (2, "")
    assert err == (
        "memnas: memnas verify: expected cc, arm-none-eabi-gcc, arm-none-eabi-size, qemu-system-arm on the path, found "
        "no cc, arm-none-eabi-gcc, arm-none-eabi-size, qemu-system-arm; make device installs them on Debian\n"
    )


def test_an_export_that_is_verified(memnas: Memnas, tmp_path: Path) -> None:
    write_store(tmp_path)
    settings = Path("store/searches/digits/settings.yaml")
    settings.write_text(settings.read_text().replace("max_total_bytes: null", "max_total_bytes: 5000"))
    code, out, err = memnas("export", "digits", "--format", "c", "--verify", "--output", "out")
    # On a Cortex-M0+, which takes most flash, code and constants have 4.9 kB; arena and stack 768 + 340 bytes.
    assert code == 1
    assert "expected a file within the budget of search digits, found both together" in err
    assert "the file is kept" in err
    files = sorted(path.name for path in Path("out").iterdir())
    name = files[0]
    assert files == [
        *(f"{name}{end}" for end in ("", ".images.bin", ".inputs.bin", ".json", ".md", ".outputs.bin")),
        f"{name.removesuffix('.c')}.h",
    ]
    lines = [line.split() for line in out.splitlines()]
    cores = [line for line in lines if line and line[0] in BOARDS]
    assert [line[:3] for line in cores] == [[core, "100", "equal"] for core in BOARDS]
    card, sheet = Path(f"out/{name}.md").read_text(), json.loads(Path(f"out/{name}.json").read_text())
    assert "## As firmware" in card
    assert [one["core"] for one in sheet["firmware"]] == list(BOARDS)
    assert {one["ram_bytes"] for one in sheet["firmware"]} == {sheet["memory"]["planned_bytes"]}
    assert sheet["input"]["dtype"] == "uint8"
    assert sheet["test_vectors"]["files"]["outputs"]["dtype"] == sheet["output"]["dtype"] == "int8"
    assert sheet["file"]["bytes"] == Path(f"out/{name}").stat().st_size
    code, out, err = memnas("verify", f"out/{name}", "--core", "cortex-m4")
    assert (code, err) == (0, "")


def test_other_formats_cannot_be_verified(memnas: Memnas, tmp_path: Path) -> None:
    write_store(tmp_path)
    code, out, err = memnas("export", "digits", "--format", "pt2", "--verify")
    assert (code, out) == (2, "")
    assert err == "memnas: --verify: expected --format c, whose files memnas can emulate, found --format pt2\n"


def test_an_export_without_a_compiler(memnas: Memnas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_store(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    code, out, err = memnas("export", "digits", "--format", "c")
    assert (code, out) == (2, "")
    assert err.startswith("memnas: --format c: expected cc on the path, found no cc; make device installs them")
    assert not Path("store/searches/digits/exports").exists()
