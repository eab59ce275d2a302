"""What a search would cost: the sum by hand, and a real measurement of the smallest networks."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from experiments import cost
from experiments.cost import Speed, search_days
from memnas_core.errors import SettingsError
from memnas_core.settings.file import load_settings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("settings_file", "overrides", "first", "later"),
    [
        # epochs that all candidates of round 0 see together, and those of a round after it
        ("params.paper.yaml", [], 5, 2 * 5),
        # two seeds see 0.5 of 5 epochs each, one of them as much again; of two candidates one goes on
        ("params.yaml", ["search.seed_rungs=[0.5, 0.5]", "search.rungs=[0.1, 0.6]"], 2 * 2.5 + 2.5, 2 * 0.5 + 3),
    ],
)
def test_days_are_the_sum_over_rounds(settings_file: str, overrides: list[str], first: float, later: float) -> None:
    common = ["search.top_k=2", "search.rounds=3", "search.max_cells=3", "training.epochs=5", "final.epochs=10"]
    settings = load_settings(ROOT / settings_file, [*common, *overrides])
    speeds = (Speed(1, 100.0, 90.0, 110.0), Speed(2, 50.0, 40.0, 60.0))
    # seconds an image: 1/100 with one cell, 1/50 with two, 3/2 of that with three or, at most, more
    seconds = 1000 * (first / 100 + later * (1 / 50 + 1.5 / 50 + 1.5 / 50) + 10 * 1.5 / 50)
    assert search_days(settings, 1000, speeds) == pytest.approx(seconds / 86_400)


def test_it_measures_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "SECONDS_EACH", 0.05)
    monkeypatch.setattr(cost, "NETWORKS_EACH", 2)
    monkeypatch.chdir(tmp_path)
    settings = ["search.rounds=1", "network.filters=2", "training.batch_size=16", "training.device=cpu"]
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    done = CliRunner().invoke(cost.main, ["--params", str(ROOT / "params.yaml"), *arguments, "--write"])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "results" / "cost-params.json").read_text())
    assert [speed["cells"] for speed in found["speeds"]] == [1, 2]
    assert all(0 < speed["slowest"] <= speed["images_per_second"] <= speed["fastest"] for speed in found["speeds"])
    search = load_settings(ROOT / "params.yaml").search
    candidates = len(search.seed_cells) + search.top_k
    assert found["trainings"] == candidates
    assert found["device_days"] > 0
    assert f"{candidates} candidates see" in done.output


def test_a_folder_of_images_must_be_described(tmp_path: Path) -> None:
    overrides = ["--set", "data.dataset=folder", "--set", f"data.folder={tmp_path}"]
    with pytest.raises(SettingsError, match="give --images, --classes"):
        cost.main(["--params", str(ROOT / "params.yaml"), *overrides], standalone_mode=False)
