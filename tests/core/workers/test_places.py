"""Where workers train, by hand-worked tables; no GPU is needed."""

import os

import pytest
import torch

from memnas_core.errors import SettingsError
from memnas_core.settings.schema import ExecutionSettings
from memnas_core.workers.places import ON_CPU, Place, cpu_places, places, training_places


@pytest.mark.parametrize(
    ("workers", "gpus", "fraction", "expected"),
    [
        # one training on each GPU
        (None, 1, None, [0]),
        (None, 3, None, [0, 1, 2]),
        (None, 2, 1.0, [0, 1]),
        # 1 / 0.6 = 1.67, 1 / 0.5 = 2, 1 / 0.3 = 3.33 trainings fit
        (None, 2, 0.6, [0, 1]),
        (None, 2, 0.5, [0, 1, 0, 1]),
        (None, 1, 0.3, [0, 0, 0]),
        # few workers are spread
        (1, 2, 0.5, [0]),
        (2, 2, 0.5, [0, 1]),
        (3, 2, 0.5, [0, 1, 0]),
        (4, 2, 0.5, [0, 1, 0, 1]),
        # 1 / 0.1 is 10 and 1 / (1 / 49) is 49, whatever a float makes of them
        (None, 1, 0.1, [0] * 10),
        (None, 1, 1 / 49, [0] * 49),
    ],
)
def test_places(workers: int | None, gpus: int, fraction: float | None, expected: list[int]) -> None:
    found = places(workers, gpus, fraction)
    assert [place.gpu for place in found] == expected
    assert {place.memory_share for place in found} == {fraction or 1.0}


@pytest.mark.parametrize(("workers", "gpus", "fraction", "most"), [(2, 1, None, 1), (5, 2, 0.5, 4), (4, 1, 0.3, 3)])
def test_more_workers_than_places(workers: int, gpus: int, fraction: float | None, most: int) -> None:
    with pytest.raises(SettingsError, match=rf"^execution\.workers: expected at most {most}, .*found {workers};"):
        places(workers, gpus, fraction)


def test_shares_never_exceed_the_gpu() -> None:
    for percent in range(1, 101):
        found = places(None, 1, percent / 100)
        assert sum(place.memory_share for place in found) <= 1 + 1e-9
        assert sum(place.memory_share for place in found) + percent / 100 > 1 - 1e-9, "another one would fit"


def test_a_place_for_each_core() -> None:
    assert cpu_places(3) == (ON_CPU,) * 3
    assert len(cpu_places(None)) == len(os.sched_getaffinity(0))


def test_the_device_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ExecutionSettings(
        runner="processes",
        workers=None,
        gpu_fraction=0.5,
        memory_limit_bytes=None,
        training_seconds=None,
        ray_address=None,
        ray_cpus=1.0,
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    expected = (Place(0, 0.5), Place(1, 0.5)) * 2
    assert training_places(settings, "cuda") == training_places(settings, "auto") == expected
    assert training_places(settings, "cpu") == cpu_places(None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training_places(settings, "auto") == cpu_places(None)
    with pytest.raises(SettingsError, match=r"training\.device: expected a CUDA device"):
        training_places(settings, "cuda")
