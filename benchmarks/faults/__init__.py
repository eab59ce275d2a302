"""Searches that are disturbed and resumed, compared with an undisturbed one."""
