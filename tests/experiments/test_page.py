"""The results page: printed and measured columns stay apart, and nothing is lost on the way from the tables."""

import re
from pathlib import Path

import pytest

from experiments.page import Picture, Section, render, table3_section
from experiments.page_views import Column, megabytes, number, percent, read_lines, text, view, with_interval
from memnas_core.errors import RecordError

LINES = [
    {"model": "A|B", "bytes": "1234567", "accuracy": "0.9132", "accuracy_low": "0.9", "accuracy_high": "0.925"},
    {"model": "C", "bytes": "", "accuracy": "", "accuracy_low": "", "accuracy_high": ""},
]


def test_cells_in_words() -> None:
    assert [megabytes("bytes")(line) for line in LINES] == ["1.23", "–"]
    assert [with_interval(percent, "accuracy")(line) for line in LINES] == ["91.3 (90.0 to 92.5)", "–"]
    assert number("accuracy", 3)(LINES[0]) == "0.913"


def test_both_pages_hold_every_cell_and_mark_the_papers(tmp_path: Path) -> None:
    (tmp_path / "picture.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    columns = (
        Column("Network", text("model"), is_text=True),
        Column("Weights, MB", megabytes("bytes")),
        Column("Top-1, %", percent("accuracy"), is_printed=True),
    )
    table = view("A caption.", columns, LINES, "table.csv")
    part = Section("Table 9: <none>", "Lead.", (table,), (Picture("picture.svg", "Words"),), ("One & two.",))
    markdown, html = render([("Data", "9 | 9")], [part], tmp_path)
    assert "| Data | 9 \\| 9 |" in markdown
    assert "<dt>Data</dt><dd>9 | 9</dd>" in html
    lines = markdown.splitlines()
    head = lines.index("| Network | Weights, MB | **Paper:** Top-1, % |")
    assert lines[head - 2] == "A caption."
    assert lines[head + 1 : head + 4] == ["|---|---:|---:|", "| A\\|B | 1.23 | 91.3 |", "| C | – | – |"]
    assert {"![Words](picture.svg)", "- One & two.", "## Table 9: <none>"} <= set(lines)
    assert '<th class="n printed">Paper: Top-1, %</th>' in html
    assert html.count('class="n printed">') == 1 + len(LINES)
    assert "One &amp; two." in html
    assert "Table 9: &lt;none&gt;" in html
    assert not re.search(r"(src|href)=\"(?!data:|#)", html), "the page needs no other file"


def test_a_missing_picture_or_table_says_what_to_do(tmp_path: Path) -> None:
    part = Section("T", "L", (), (Picture("gone.svg", "W"),), ())
    with pytest.raises(RecordError, match=r"gone.svg: expected a picture, .* dvc repro"):
        render([], [part], tmp_path)
    with pytest.raises(RecordError, match=r"table1.csv: expected a table, .* dvc repro"):
        read_lines(tmp_path / "table1.csv")


def test_table3_has_a_table_for_each_split_and_lambda_and_the_printed_figures(tmp_path: Path) -> None:
    names = "controller,split,lambda,train_n,n,k,ap,ndcg,tau,tau_low,tau_high,ceiling,tau_within_bases"
    names += ",ceiling_within_bases,training_seconds,ranking_seconds,seeds"
    rows = [
        f"{controller},{split},{weight},400,200,{k},0.{k},0.2,{tau},0.1,0.9,0.7,0.2,0.3,1.5,0.1,5"
        for controller, tau in (("Single-RNN", 0.4), ("SCC", 0.6))
        for split in ("random", "rounds")
        for weight in (0.5, 1.0)
        for k in (50, 100)
    ]
    (tmp_path / "table3.csv").write_text("\n".join([names, *rows]) + "\n")
    section = table3_section(tmp_path, ("A note.",))
    assert len(section.tables) == 4
    assert "Split random, λ = 0.5: learned from 400 candidates, ranked 200, 5 seeds" in section.tables[0].caption
    for table in section.tables:
        titles = [column.title for column in table.columns]
        assert [row[0] for row in table.rows] == ["SCC", "Single-RNN"]
        first, second = (dict(zip(titles, row, strict=True)) for row in table.rows)
        assert first["AP@50"] == "–"  # the paper's, which comes last; the measured one is beside it
        assert table.rows[0][2:4] == ("0.500", "0.100")
        # the paper's Table 3 prints 0.066 and 0.043 for its Single-RNN at k = 50
        assert (second["AP@50"], second["NDCG@50"]) == ("0.066", "0.043")
        assert [column.is_printed for column in table.columns] == [False] * 9 + [True] * 4
