"""The files that describe a network to a person: its JSON, its picture and its lifetime plot."""

from memnas_core.architecture import Architecture
from memnas_core.architecture_json import to_json
from memnas_core.config import ObjectiveSettings
from memnas_core.graph import Shape, lower
from memnas_core.memory import LifetimeTable, lifetimes
from memnas_core.pictures import architecture_svg, lifetime_svg
from memnas_core.running_order import best_order

ARCHITECTURE_FILE = "architecture.json"


def lifetime_table(
    architecture: Architecture, input_shape: Shape, classes: int, objective: ObjectiveSettings
) -> LifetimeTable:
    """Return the lifetimes of a network's tensors under the convention of the settings.

    Under `minimum` its layers run in the order in which the torch network runs them. An arena is planned for that
    order, and so has its lifetimes.
    """
    graph = lower(architecture, input_shape, classes)
    sizes = graph.sizes(objective.activation_bytes)
    if shown_convention(objective) == "minimum":
        return lifetimes(best_order(graph)[0].plain(), sizes, "sequential")
    return lifetimes(graph.plain(), sizes, shown_convention(objective))


def network_files(
    architecture: Architecture, input_shape: Shape, classes: int, objective: ObjectiveSettings
) -> dict[str, str]:
    """Return name -> content of the files that describe a network.

    Args:
        architecture: The network.
        input_shape: Channels, height and width of an image.
        classes: Number of classes.
        objective: Element widths and the convention of the lifetime plot.
    """
    table = lifetime_table(architecture, input_shape, classes, objective)
    title = f"Tensors of network {architecture.arch_id}, convention {shown_convention(objective)}"
    return {
        ARCHITECTURE_FILE: to_json(architecture) + "\n",
        "architecture.svg": architecture_svg(architecture),
        "lifetimes.svg": lifetime_svg(table, title),
    }


def shown_convention(objective: ObjectiveSettings) -> str:
    """Return the convention whose lifetimes are shown: that of the settings, or `minimum` for an arena."""
    return "minimum" if objective.activation_convention == "arena" else objective.activation_convention
