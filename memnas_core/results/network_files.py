"""The files that describe a network to a person: its JSON, its picture and its lifetime plot."""

from memnas_core.memory.conventions import CONVENTIONS
from memnas_core.memory.lifetimes import LifetimeTable, lifetimes
from memnas_core.memory.running_order import best_order
from memnas_core.pictures import architecture_svg, lifetime_svg
from memnas_core.settings.schema import ObjectiveSettings
from memnas_core.space.architecture import Architecture
from memnas_core.space.architecture_json import to_json
from memnas_core.space.graph import lower
from memnas_core.space.layers import Workload

ARCHITECTURE_FILE = "architecture.json"


def lifetime_table(architecture: Architecture, workload: Workload, objective: ObjectiveSettings) -> LifetimeTable:
    """Return the lifetimes of a network's tensors under the convention of the settings.

    Under `minimum` its layers run in the order in which the torch network runs them. An arena is planned for that
    order, and so has its lifetimes.
    """
    graph = lower(architecture, workload.input_shape, workload.classes)
    sizes = graph.sizes(workload.activation_bytes)
    if shown_convention(objective) == "minimum":
        return lifetimes(best_order(graph)[0].plain(), sizes, "sequential")
    return lifetimes(graph.plain(), sizes, shown_convention(objective))


def network_files(architecture: Architecture, workload: Workload, objective: ObjectiveSettings) -> dict[str, str]:
    """Return name -> content of the files that describe a network.

    Args:
        architecture: The network.
        workload: What it is made and measured for.
        objective: The convention of the lifetime plot.
    """
    table = lifetime_table(architecture, workload, objective)
    title = f"Tensors of network {architecture.arch_id}, convention {shown_convention(objective)}"
    return {
        ARCHITECTURE_FILE: to_json(architecture) + "\n",
        "architecture.svg": architecture_svg(architecture),
        "lifetimes.svg": lifetime_svg(table, title),
    }


def shown_convention(objective: ObjectiveSettings) -> str:
    """Return the convention whose lifetimes are shown: that of the settings, or the one that stands for it."""
    return CONVENTIONS[objective.activation_convention].lifetimes
