"""Colours and sizes that all pictures share."""

INK = "#1f2933"
SOFT = "#66727f"
FAINT = "#d5dbe1"
PALE = "#f3f5f7"
ACCENT = "#c2410c"
ACCENT_PALE = "#fdeadd"
BLUE = "#33658a"
BLUE_PALE = "#bcd0e0"

TINY_SIZE = 6.5  # points
SMALL_SIZE = 7.5
TEXT_SIZE = 8.5
TITLE_SIZE = 10.5
CHART_WIDTH = 9.6  # inches
