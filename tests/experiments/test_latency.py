"""Latency: a few real passes, and the figures by hand."""

from pathlib import Path

import pytest
import torch
from rich.console import Console
from rich.progress import Progress
from torch import nn

from experiments.latency import Candidate, measure_latency, read_latency, summarise, write_latency
from experiments.plan import LatencyPlan
from memnas_core.errors import RecordError
from memnas_core.space.layers import Shape

Log = list[tuple[str, int, bool, bool]]
"""Who ran, with how many threads, whether training, whether in inference mode."""


class Noting(nn.Module):
    """Notes when it runs."""

    def __init__(self, name: str, log: Log, inner: nn.Module) -> None:
        super().__init__()
        self.name, self.log, self.inner = name, log, inner

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.log.append((self.name, torch.get_num_threads(), self.training, torch.is_inference_mode_enabled()))
        result: torch.Tensor = self.inner(image)
        return result


def test_networks_take_turns(tmp_path: Path) -> None:
    log: Log = []
    many = nn.Sequential(*(nn.Conv2d(3 if n == 0 else 32, 32, 3, padding=1) for n in range(20)))
    networks = {
        "small": Candidate(Noting("small", log, nn.Conv2d(3, 4, 1)), None),
        "large": Candidate(Noting("large", log, many), "0123456789abcdef"),
    }
    threads = torch.get_num_threads()
    with Progress(console=Console(quiet=True)) as progress:
        run = measure_latency(networks, LatencyPlan(2, 3), Shape(3, 32, 32), "small", progress)
    assert torch.get_num_threads() == threads
    # Three passes each to warm up; then a pass that is not counted and three that are, the order moving on by one.
    turns = ["small"] * 3 + ["large"] * 3 + ["small"] * 4 + ["large"] * 8 + ["small"] * 4
    assert [name for name, *_ in log] == turns
    assert {entry[1:] for entry in log} == {(1, False, True)}
    small, large = run.networks
    assert small.ratio == small.ratio_low == small.ratio_high == 1.0
    assert large.ratio > 1.0
    assert [len(turn) for turn in large.milliseconds] == [3, 3]
    write_latency(run, tmp_path / "latency.json")
    assert read_latency(tmp_path / "latency.json") == run


def test_figures_by_hand() -> None:
    # Medians of the rounds 2, 6, 4 over the reference's 1, 2, 4: ratios 2, 3, 1, so median 2 and quartiles 1.5, 2.5.
    turns = [(1.0, 2.0, 9.0), (6.0, 6.0, 6.0), (4.0, 4.0, 4.0)]
    found = summarise("network", None, turns, [1.0, 2.0, 4.0])
    assert (found.ratio_low, found.ratio, found.ratio_high) == (1.5, 2.0, 2.5)
    # All passes in order: 1 2 4 4 4 6 6 6 9.
    assert (found.first_quartile_ms, found.median_ms, found.third_quartile_ms) == (4.0, 4.0, 6.0)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    assert read_latency(tmp_path / "latency.json") is None
    (tmp_path / "latency.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RecordError, match="dvc repro latency"):
        read_latency(tmp_path / "latency.json")
