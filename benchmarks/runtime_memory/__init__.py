"""The memory that runtimes take for activations, compared with what memnas predicts."""
