"""The MemNAS algorithm: search space, moves, memory, metric, controller, training; no orchestration."""
