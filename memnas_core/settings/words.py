"""Settings in words: as a table, and how those of two searches differ."""

from memnas_core.settings.schema import Settings


def in_words(settings: Settings) -> dict[str, str]:
    """Return `section.key` -> value in words, for tables of settings."""
    found: dict[str, str] = {}
    for section, values in settings.as_dict().items():
        if isinstance(values, dict):
            found |= {f"{section}.{key}": str(value) for key, value in values.items()}
        else:
            found[section] = str(values)
    return found


def differing_keys(ours: Settings, theirs: Settings) -> list[str]:
    """Return `section.key: ours, theirs` for every setting in which two searches differ."""
    lines = []
    left, right = ours.as_dict(), theirs.as_dict()
    for section, values in left.items():
        other = right[section]
        if not isinstance(values, dict) or not isinstance(other, dict):
            if values != other:
                lines.append(f"{section}: {values} here, {other} there")
            continue
        lines += [f"{section}.{k}: {v} here, {other[k]} there" for k, v in values.items() if v != other[k]]
    return lines
