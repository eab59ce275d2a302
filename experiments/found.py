"""The networks that stand for MemNAS in Tables 1 and 2: those that the first searches at lambda 0.5 and 0.8 chose."""

from collections.abc import Mapping
from pathlib import Path

from experiments.plan import Plan
from experiments.search_results import SEARCHES, Arm, SearchKey, read_search
from memnas_core.space.architecture import Architecture

TABLE1_FOUND: Mapping[str, float] = {"MemNAS (λ = 0.5)": 0.5, "MemNAS (λ = 0.8)": 0.8}
TABLE2_FOUND: Mapping[str, float] = {"MemNAS-A (ours)": 0.5, "MemNAS-B (ours)": 0.8}
"""Lambda of the search that each row comes from (section 4.1)."""


def search_key(accuracy_weight: float, plan: Plan) -> SearchKey:
    """Return the search that a row's network comes from.

    The search is the one with the sweep's first seed, so that no result influences which search is shown.
    """
    return SearchKey(Arm.FULL, accuracy_weight, plan.sweep.seeds[0])


def found_networks(rows: Mapping[str, float], plan: Plan, searches: Path = SEARCHES) -> dict[str, Architecture]:
    """Return the networks of some rows.

    Args:
        rows: Lambda of each row.
        plan: The plan, whose sweep gives the seeds.
        searches: Folder of the committed searches.

    Raises:
        RecordError: A search is missing or damaged.
    """
    return {model: read_search(search_key(weight, plan), searches).architecture for model, weight in rows.items()}


def found_so_far(rows: Mapping[str, float], plan: Plan, searches: Path = SEARCHES) -> dict[str, Architecture]:
    """Return the networks of those rows whose searches are finished.

    Raises:
        RecordError: A search is damaged.
    """
    there = {
        model: weight for model, weight in rows.items() if (searches / search_key(weight, plan).folder_name).exists()
    }
    return found_networks(there, plan, searches)
