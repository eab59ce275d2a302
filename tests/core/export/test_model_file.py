from importlib import metadata

import pytest

from memnas_core.errors import InputError, StorageError
from memnas_core.export.model_file import ExportError, Format, check_extra, export_errors


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(
        InputError,
        match=r"--format executorch --int8: expected executorch, torchao to be installed, found no executorch, "
        r"torchao; install them with pip install 'memnas\[export\]'",
    ) as error:
        check_extra(Format.EXECUTORCH, int8=True)
    assert error.value.exit_code == 2
    check_extra(Format.PT2, int8=False)  # torch alone writes and runs it


def test_what_a_library_says_names_format_and_network() -> None:
    with (
        pytest.raises(
            ExportError, match=r"network c0ffee: expected onnx to take it, found ValueError: no such operator; nothing"
        ),
        export_errors(Format.ONNX, "c0ffee"),
    ):
        raise ValueError("no such operator\nand forty lines more")
    with pytest.raises(StorageError, match="full"), export_errors(Format.ONNX, "c0ffee"):
        raise StorageError("full")
