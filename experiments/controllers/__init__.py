"""The controller study of Table 3: protocol, baselines, runs, and the tables and pictures made from the runs."""
