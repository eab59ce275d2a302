"""Names and texts in the C: whatever a search or a class is called, it compiles and says the same."""

import ctypes
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memnas_core.errors import InputError
from memnas_core.firmware.interface import Interface, prefix_of, read_interface, read_source
from memnas_core.firmware.quantised import Quantisation
from memnas_core.space.layers import Shape
from tests.core.firmware.made_up import made_up_network, write_c
from tests.core.random_architectures import bare_architecture

NAMES = ['say "hi"', "back\\slash", "what??/", "*/ int x;", "/* a", "Käse 🧀", "new\nline", "%s", "", "1\\x41F"]


def interface(notes: tuple[str, ...] = (), classes: tuple[str, ...] = ("a", "b")) -> Interface:
    return Interface("net", Shape(1, 2, 3), classes, 64, Quantisation(0.1, -3), (0.5,), (0.25,), notes)


@given(st.lists(st.text(), max_size=3), st.lists(st.text(), min_size=1, max_size=3))
def test_what_is_written_is_read_again(notes: list[str], classes: list[str]) -> None:
    written = interface(tuple(notes), tuple(classes))
    text = written.text()
    assert read_interface(text, "net.c") == written
    assert text.count("/*") == text.count("*/")
    assert text.isascii()


@given(st.text())
def test_prefixes_are_identifiers(name: str) -> None:
    prefix = prefix_of(name)
    assert prefix.isidentifier()
    assert prefix.isascii()
    assert not prefix.startswith("_")


def test_prefixes() -> None:
    assert [prefix_of(name) for name in ("digits", "My-Photos 2", "3d", "_x_", "ö")] == [
        *("digits", "my_photos_2", "net_3d", "x", "net_"),
    ]


def test_names_of_classes_compile(tmp_path: Path) -> None:
    network = made_up_network(bare_architecture((2,), 4), Shape(1, 4, 4), len(NAMES), seed=0)
    path = write_c(network, tmp_path / "net.c", NAMES)
    strict = ("-Wall", "-Wextra", "-Wpedantic", "-Wtrigraphs", "-Wcomment", "-Werror")
    command = ["cc", "-std=c99", *strict, "-shared", "-fPIC", str(path), "-o", str(tmp_path / "net.so")]
    subprocess.run(command, check=True)
    found = (ctypes.c_char_p * len(NAMES)).in_dll(ctypes.CDLL(str(tmp_path / "net.so")), "sketch_class_names")
    assert [name.decode() for name in found] == NAMES


@pytest.mark.parametrize(
    "text",
    [
        "",
        "int main(void) { return 0; }",
        "/* memnas {} */\n/* end of the header */\n",
        "/* memnas [] */\n/* end of the header */\n",
        interface().text().replace('"net"', '"n; e"', 1),
        interface().text().replace('"prefix": "net"', '"prefix": 3', 1),
        interface().text().replace("[1, 2, 3]", "[1, 2]", 1),
        interface().text().replace("/* end of the header */", "", 1),
    ],
)
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^x.c: expected a source of memnas export --format c, found another file$"):
        read_interface(text, "x.c")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a file to read, found Is a directory"):
        read_source(tmp_path)
