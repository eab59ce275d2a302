"""Text from files and paths in a form that is safe to print on a terminal."""

import re


def printable(text: str) -> str:
    r"""Return a text on one line, with escapes such as `\n` or `\x1b` for characters that are not printable.

    Names in files from others can hold codes that move a terminal's cursor or hide text.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def printable_lines(text: str) -> str:
    """Return a text with such escapes in it, but with its line ends and tabs."""
    return re.sub(r"[^\n\t]+", lambda found: printable(found[0]), text)
