"""The time that a round takes outside training."""
