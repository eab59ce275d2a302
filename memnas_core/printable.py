"""Words from files and paths as a terminal may show them."""


def printable(text: str) -> str:
    r"""Return a text in one line: what is no plain character is written as an escape, such as `\n` or `\x1b`.

    Names in files from others can hold codes with which a terminal moves its cursor, or hides what it was told.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
