"""Processes of this machine that train: where each works, how it is started, watched and ended."""
