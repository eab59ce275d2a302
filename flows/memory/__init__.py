"""`memnas memory`: the memory figures of any network."""
