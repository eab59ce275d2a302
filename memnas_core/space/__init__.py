"""The search space: operations, cells, blocks and architectures, the moves between them, and their layers."""
