"""Memory that a network needs, exactly and before it is trained: lifetimes, orders, sharing, places in an arena.

    from memnas_core.memory import minimum_peak, peak_activation_bytes

are all that is needed for a graph of one's own; each takes plain mappings of names.
"""

from memnas_core.memory.lifetimes import minimum_peak, peak_activation_bytes

__all__ = ["minimum_peak", "peak_activation_bytes"]
