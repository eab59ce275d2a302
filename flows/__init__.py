"""Flows that compose the tasks of a search, and the command line."""
