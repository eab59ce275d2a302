"""The headline figures by hand, from small tables."""

from pathlib import Path

import pytest

from experiments.controllers.learners import DEFAULT
from experiments.headlines import headlines


def test_headlines_by_hand(tmp_path: Path) -> None:
    (tmp_path / "figure5.csv").write_text(
        "lambda,seed,test_accuracy,total_bytes\n0.5,0,0.8,100\n0.5,1,0.9,300\n1.0,0,0.95,1000\n"
    )
    (tmp_path / "table1.csv").write_text(
        "model,param_bytes,accuracy\nResNet-56,5,0.7\nMemNAS (λ = 0.5),10,0.81\nMemNAS (λ = 0.8),20,\n"
    )
    rows = [
        (DEFAULT, 0.6),
        ("SCC (paper: metric)", 0.7),
        ("boosting", 0.5),
        ("random order", 0),
    ]
    lines = [f"{name},random,1.0,{k},{tau},0.55" for name, tau in rows for k in (50, 100)]
    (tmp_path / "table3.csv").write_text("\n".join(["controller,split,lambda,k,tau,ceiling", *lines]) + "\n")
    found = headlines(tmp_path)
    assert found["sweep"]["lambda_0.5"] == pytest.approx({"test_accuracy": 0.85, "total_bytes": 200})
    assert found["sweep"]["lambda_1.0"] == {"test_accuracy": 0.95, "total_bytes": 1000}
    assert found["table1"] == {"MemNAS (λ = 0.5)": {"accuracy": 0.81, "param_bytes": 10}}
    assert found["table3"] == {"random_lambda_1.0": {"default_tau": 0.6, "best_other_tau": 0.7, "ceiling": 0.55}}
