"""What a stage says when something is wrong: one line, and the error's exit code."""

import pytest

from experiments.stage import run_stage
from memnas_core.errors import InputError, RecordError


@pytest.mark.parametrize(("error", "code"), [(InputError("wrong input"), 2), (RecordError("damaged"), 1)])
def test_an_error_is_one_line_and_its_exit_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def stage() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run_stage(stage)
    assert ended.value.code == code
    assert capsys.readouterr() == ("", f"{error}\n")


def test_a_bug_keeps_its_traceback() -> None:
    def stage() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_stage(stage)
