"""What the terminal and a log file are shown."""

import io
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
from rich.console import Console

from memnas_core.records.trainings import TrainingProgress
from tasks.display import Display
from tests.core.made_up_records import SUMMARY


@contextmanager
def display(terminal: bool) -> Iterator[tuple[Display, io.StringIO]]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, soft_wrap=True, highlight=False, width=80, _environ={})
    with Display(console) as shown:
        yield shown, out


def go_through_a_round(shown: Display) -> None:
    shown.begin_search(rounds=6, done=1)
    shown.begin_round(2, candidates=412, chosen=2)
    shown.training("aaaaaaaabbbb", None)
    shown.training("aaaaaaaabbbb", TrainingProgress(3, 500, 1000, 0.25))
    shown.training("ccccccccdddd", None)
    shown.training_done("aaaaaaaabbbb", "accuracy 0.8765  trim_cell b1 c2")
    shown.training_done("ccccccccdddd", "diverged: the loss [is] nan")
    shown.end_round(SUMMARY)


def test_a_file_gets_lines_only() -> None:
    with display(terminal=False) as (shown, out):
        go_through_a_round(shown)
    lines = out.getvalue().splitlines()
    assert lines[0] == "      1/2  aaaaaaaa  accuracy 0.8765  trim_cell b1 c2"
    assert lines[1] == "      2/2  cccccccc  diverged: the loss [is] nan"
    assert lines[2] == (
        "round 2: 412 candidates, 7 trained; winner c0ffee01 (grow 0:conv_3x3 1:identity [sum]): accuracy 0.8765, "
        "weights 45.6 kB, activations 512 B, score -0.0312; 3 min 20 s, 2.5% of it not training"
    )
    assert len(lines) == 3
    assert "\x1b" not in out.getvalue()


def test_a_further_rung_has_a_bar_of_its_own() -> None:
    with display(terminal=True) as (shown, out):
        shown.begin_round(2, candidates=412, chosen=4)
        for number in range(4):
            shown.training_done(f"{number:012}", "accuracy 0.5")
        shown.begin_rung(1, running=2)
        shown.training_done("000000000000", "accuracy 0.6")
        shown.say("done")
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue()).rstrip().splitlines()[-1]
    assert "50% 2 in rung 2" in last, "one of the two that go on, not five of four"


def test_failures_are_told() -> None:
    with display(terminal=False) as (shown, out):
        shown.end_round(replace(SUMMARY, failed=2))
    assert "7 trained, 2 failed; winner" in out.getvalue()


def bars(shown: Display, out: io.StringIO) -> list[str]:
    """Return the bars as they stand, drawn anew."""
    shown._progress.refresh()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    return [re.sub(r"[━╸╺ ]+", " ", line).strip() for line in text[text.rindex("search") :].splitlines()]


def test_a_terminal_gets_bars() -> None:
    with display(terminal=True) as (shown, out):
        shown.begin_search(rounds=6, done=3)
        shown.begin_round(2, candidates=412, chosen=4)
        shown.training("aaaaaaaabbbb", TrainingProgress(3, 250, 1000, 0.25))
        search, round_bar, training = bars(shown, out)
        assert search.startswith("search 50% of 6 rounds")
        assert round_bar.startswith("round 2 0% best 4 of 412")
        assert training.startswith("aaaaaaaa 25% epoch 3, loss 0.250")
        shown.training_done("aaaaaaaabbbb", "accuracy 0.9")
        _, round_bar = bars(shown, out)
        assert round_bar.startswith("round 2 25%")
        shown.end_round(SUMMARY)
        (search,) = bars(shown, out)
        assert search.startswith("search 67%")
    assert out.getvalue().count("\x1b[?25l") == out.getvalue().count("\x1b[?25h") == 1  # the cursor is back


def test_round_0_is_no_round_of_the_search() -> None:
    with display(terminal=True) as (shown, out):
        shown.begin_search(rounds=4, done=0)
        for number, share in ((0, "0%"), (1, "25%")):
            shown.begin_round(number, candidates=1, chosen=1)
            shown.end_round(replace(SUMMARY, round=number))
            (search,) = bars(shown, out)
            assert search.startswith(f"search {share}")


def test_threads_share_it() -> None:
    names = [f"{number:08}" for number in range(200)]

    def train(name: str) -> None:
        shown.training(name, None)
        for images in range(0, 1000, 100):
            shown.training(name, TrainingProgress(1, images, 1000, 0.5))
        shown.training_done(name, f"line of {name}")

    with display(terminal=False) as (shown, out), ThreadPoolExecutor(8) as threads:
        shown.begin_round(1, candidates=1000, chosen=200)
        list(threads.map(train, names))
    lines = out.getvalue().splitlines()
    found = [re.fullmatch(r" *(\d+)/200  (\d{8})  line of (\d{8})", line) for line in lines]
    assert all(found)
    assert sorted(match[2] for match in found if match) == names
    assert all(match[2] == match[3] for match in found if match)
    assert sorted(int(match[1]) for match in found if match) == list(range(1, 201))


@pytest.mark.parametrize("line", ["[bold]not bold[/bold]", "a :smile: b", "x" * 300])
def test_lines_are_printed_as_they_are(line: str) -> None:
    with display(terminal=False) as (shown, out):
        shown.say(line)
    assert out.getvalue() == line + "\n"
