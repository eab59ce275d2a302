"""How networks are compared: the paper's Eq. 4, the area under a Pareto front, and the budget."""
