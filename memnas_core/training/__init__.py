"""A candidate trained: its torch network, the weights it begins with, the loop, and what is kept of it."""
