from importlib import metadata

import pytest

from memnas_core.errors import InputError, StorageError
from memnas_core.export.executorch_file import EXECUTORCH
from memnas_core.export.file_format import ExportError, check_extra, export_errors
from memnas_core.export.onnx_file import ONNX
from memnas_core.export.pt2_file import PT2


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(
        InputError,
        match=r"--format executorch --int8: expected executorch, torchao to be installed, found no executorch, "
        r"torchao; install them with pip install 'memnas\[export\]'",
    ) as error:
        check_extra(EXECUTORCH, int8=True)
    assert error.value.exit_code == 2
    check_extra(PT2, int8=False)  # torch alone writes and runs it


def test_what_a_library_says_names_format_and_network() -> None:
    with (
        pytest.raises(
            ExportError, match=r"network c0ffee: expected onnx to take it, found ValueError: no such operator; nothing"
        ),
        export_errors(ONNX, "c0ffee"),
    ):
        raise ValueError("no such operator\nand forty lines more")
    with pytest.raises(StorageError, match="full"), export_errors(ONNX, "c0ffee"):
        raise StorageError("full")
