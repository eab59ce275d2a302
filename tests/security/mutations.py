"""Hypothesis strategies that spoil a good file: bytes turned, cut off, repeated; or one value of its JSON replaced."""

import json

from hypothesis import strategies as st

NUMBERS = (0, -1, 2**31, 2**63, 10**400, 1e308, -0.0)
VALUES = st.one_of(
    st.none(), st.booleans(), st.sampled_from(NUMBERS), st.text(max_size=5), st.just([]), st.just({}), st.just([[0]])
)


@st.composite
def spoilt_bytes(draw: st.DrawFn, good: bytes) -> bytes:
    """Draw the bytes of a good file with up to four faults."""
    content = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        if not content:
            break
        place = draw(st.integers(0, len(content) - 1))
        match draw(st.sampled_from(("turn", "set", "cut", "drop", "repeat", "insert"))):
            case "turn":
                content[place] ^= 1 << draw(st.integers(0, 7))
            case "set":
                content[place] = draw(st.sampled_from((0, 0x7F, 0x80, 0xFF)))
            case "cut":
                del content[place:]
            case "drop":
                del content[place : place + draw(st.integers(1, 16))]
            case "repeat":
                content[place:place] = content[place : place + 16]
            case "insert":
                content[place:place] = draw(st.binary(max_size=8))
    return bytes(content)


def paths_of(document: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return where every value of a JSON document is."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [path, *(place for key, value in inner for place in paths_of(value, (*path, key)))]


@st.composite
def spoilt_json(draw: st.DrawFn, good: str) -> str:
    """Draw a JSON document with one value replaced or removed."""
    document = json.loads(good)
    path = draw(st.sampled_from(paths_of(document)))
    if not path:
        return json.dumps(draw(VALUES))
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    if draw(st.booleans()):
        holder[path[-1]] = draw(VALUES)
    else:
        del holder[path[-1]]
    return json.dumps(document)
