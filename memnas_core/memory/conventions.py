"""The conventions by which activations are counted, as settings, tables and reports name them.

A convention is an entry here and a figure `NAME_bytes` of `memnas_core.memory.figures.MemoryFigures`; one without the
other is an error when this module is imported.
"""

from dataclasses import dataclass

from memnas_core.memory.figures import FIGURES


@dataclass(frozen=True, slots=True)
class Convention:
    """A way to count activations.

    Attributes:
        heading: Heading of its column in tables.
        title: Name in a list of figures.
        words: What it counts, for people.
        lifetimes: Name of the convention of `memnas_core.memory.lifetimes` whose lifetimes are drawn for it.
    """

    heading: str
    title: str
    words: str
    lifetimes: str


CONVENTIONS = {
    "paper": Convention(
        "Peak (paper)",
        "Peak activations (paper)",
        "Figure 3 of the MemNAS paper: all layers whose inputs exist run together, and a tensor dies in the very step "
        "in which its last reader's output appears; runtimes usually need more.",
        lifetimes="paper",
    ),
    "sequential": Convention(
        "Peak (sequential)",
        "Peak activations (sequential)",
        "one layer after another in the graph's order; a layer's inputs and outputs are in memory while it runs.",
        lifetimes="sequential",
    ),
    "minimum": Convention(
        "Peak (minimum)",
        "Peak activations (minimum)",
        "sequential, in the order of layers that needs least, which is the order that networks run in.",
        lifetimes="minimum",
    ),
    "arena": Convention(
        "Arena",
        "Arena",
        "one piece of memory with an offset for each tensor, as a runtime without an allocator reserves it; layers run "
        "in the order of minimum.",
        lifetimes="minimum",
    ),
}

if set(CONVENTIONS) != set(FIGURES):
    raise ImportError(f"conventions: expected one for each figure {', '.join(FIGURES)}, found {', '.join(CONVENTIONS)}")
