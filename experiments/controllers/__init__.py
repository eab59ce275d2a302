"""The controller study of Table 3: protocol, baselines, the runs, and what is made of them."""
