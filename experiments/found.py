"""The networks that stand for MemNAS in Tables 1 and 2: what the sweep's first searches at lambda 0.5 and 0.8 chose."""

from collections.abc import Mapping
from pathlib import Path

from experiments.plan import Plan
from experiments.search_results import SEARCHES, Arm, SearchKey, read_search
from memnas_core.architecture import Architecture

TABLE1_FOUND: Mapping[str, float] = {"MemNAS (λ = 0.5)": 0.5, "MemNAS (λ = 0.8)": 0.8}
TABLE2_FOUND: Mapping[str, float] = {"MemNAS-A (ours)": 0.5, "MemNAS-B (ours)": 0.8}
"""Row -> lambda of the search that it comes from (section 4.1)."""


def search_key(accuracy_weight: float, plan: Plan) -> SearchKey:
    """Return the search that a row's network comes from.

    It is the one with the sweep's first seed, so that no result had a say in which of the searches is shown.
    """
    return SearchKey(Arm.FULL, accuracy_weight, plan.sweep.seeds[0])


def found_networks(rows: Mapping[str, float], plan: Plan, searches: Path = SEARCHES) -> dict[str, Architecture]:
    """Return the networks of some rows.

    Args:
        rows: Row -> lambda.
        plan: Its sweep says which seeds there are.
        searches: Folder of the committed searches.

    Raises:
        RecordError: A search is missing or damaged.
    """
    return {model: read_search(search_key(weight, plan), searches).architecture for model, weight in rows.items()}


def found_so_far(rows: Mapping[str, float], plan: Plan, searches: Path = SEARCHES) -> dict[str, Architecture]:
    """Return the networks of those rows whose searches are there.

    Raises:
        RecordError: A search is damaged.
    """
    there = {
        model: weight for model, weight in rows.items() if (searches / search_key(weight, plan).folder_name).exists()
    }
    return found_networks(there, plan, searches)
