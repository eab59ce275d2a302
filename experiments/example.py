"""Stage `example`: the search of `params.yaml`, for trying settings: `dvc exp run -S search.rounds=2`.

A search of other settings has another name in the store, so that each stays there and is not repeated. Of the one that
the settings name now, two files go to `results/example/`:

metrics.json    few figures, for `dvc exp show`
networks.csv    the trained networks, for `dvc plots show`: memory, accuracy, family, whether they are on the front
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.plan import RESULTS
from experiments.run_search import finished_search
from experiments.stage import run_stage
from experiments.tidy import write_rows
from memnas_core.files.writing import write_text
from memnas_core.objective.score import performance_of
from memnas_core.records.candidates import CandidateRow
from memnas_core.search.choice import front_of
from memnas_core.settings.schema import ObjectiveSettings
from memnas_core.space.architecture_json import from_json

PARAMS = Path("params.yaml")
FOLDER = RESULTS / "example"


@dataclass(frozen=True, slots=True)
class Network:
    """A row of `networks.csv`.

    Attributes:
        arch_id: The network.
        family: Operations of the first network that it descends from.
        round: The round that trained it.
        total_bytes: Weights and peak activations.
        accuracy: On the validation images, in [0, 1].
        on_front: Whether no other is more accurate and smaller.
    """

    arch_id: str
    family: str
    round: int
    total_bytes: int
    accuracy: float
    on_front: bool


def networks(rows: Sequence[CandidateRow], objective: ObjectiveSettings) -> list[Network]:
    """Return the trained networks of a search.

    Args:
        rows: Candidates of all rounds, in order.
        objective: The convention of the activation peak.
    """
    front = front_of(rows, objective)
    families: dict[str, str] = {}
    found = []
    for row in rows:
        if row.measured_accuracy is not None:
            family = families.setdefault(row.arch_id, families.get(row.parent_id) or operations(row))
            size = performance_of(row.memory, row.measured_accuracy, objective).total_bytes
            found.append(Network(row.arch_id, family, row.round, size, row.measured_accuracy, row in front))
    return found


def operations(row: CandidateRow) -> str:
    """Return the operations of a network's first cell, such as `conv_3x3 + average_pool_3x3`."""
    cell = from_json(row.architecture).blocks[0].cells[0]
    return " + ".join(branch.operation for branch in (cell.first, cell.second) if branch is not None)


def main() -> None:
    """Run or continue the search, and write its two files."""
    folder = finished_search("example", PARAMS)
    rows = [row for _, of_round in folder.rounds() for row in of_round]
    found, chosen = networks(rows, folder.settings().objective), folder.read_chosen()
    write_rows(FOLDER / "networks.csv", found)
    figures = {
        "test_accuracy": chosen.test_accuracy,
        "total_bytes": next(network.total_bytes for network in found if network.arch_id == chosen.arch_id),
        "trained": len(found),
    }
    write_text(FOLDER / "metrics.json", json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    run_stage(main)
