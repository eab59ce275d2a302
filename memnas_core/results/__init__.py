"""The folder that a search leaves, checked and shown as a page."""
