"""The few figures that `dvc metrics show` and `dvc metrics diff` show, from the committed tables."""

from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

from experiments.controllers.learners import DEFAULT
from experiments.page_views import Line, read_lines

Figures = dict[str, float | dict[str, float]]


def headlines(results: Path) -> dict[str, Figures]:
    """Return headline figures by table: for each lambda's searches, for the found networks, and for the controllers.

    Raises:
        RecordError: A table is missing.
    """
    return {
        "sweep": {f"lambda_{weight}": found for weight, found in _sweep(read_lines(results / "figure5.csv"))},
        "table1": {
            line["model"]: {"accuracy": float(line["accuracy"]), "param_bytes": int(line["param_bytes"])}
            for line in read_lines(results / "table1.csv")
            if line["model"].startswith("MemNAS") and line["accuracy"]
        },
        "table3": {
            f"{split}_lambda_{weight}": found for split, weight, found in _table3(read_lines(results / "table3.csv"))
        },
    }


def _sweep(lines: list[Line]) -> Iterable[tuple[str, dict[str, float]]]:
    for weight in sorted({line["lambda"] for line in lines}, key=float):
        own = [line for line in lines if line["lambda"] == weight]
        yield weight, {name: fmean(float(line[name]) for line in own) for name in ("test_accuracy", "total_bytes")}


def _table3(lines: list[Line]) -> Iterable[tuple[str, str, dict[str, float]]]:
    for split, weight in sorted({(line["split"], line["lambda"]) for line in lines}):
        own = [line for line in lines if (line["split"], line["lambda"]) == (split, weight)]
        tau = {line["controller"]: float(line["tau"]) for line in own}
        (ceiling,) = {float(line["ceiling"]) for line in own}
        others = max(value for name, value in tau.items() if name != DEFAULT)
        yield split, weight, {"default_tau": tau[DEFAULT], "best_other_tau": others, "ceiling": ceiling}
