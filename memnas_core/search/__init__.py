"""The search: rounds as in the paper's Figure 1(a), the aims, and the final choice."""
