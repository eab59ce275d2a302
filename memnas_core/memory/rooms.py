"""Ranges of bytes in memories that tensors share, each a part of a wider range or a whole memory.

Ranges never overlap in part: tensors that share bytes either take the place of one another, or are parts of a
concatenation.
"""

from collections.abc import Iterable, Mapping


class Rooms:
    """Which tensors fill which range.

    Args:
        memories: For each memory, tensor -> first byte and size.
    """

    def __init__(self, memories: Iterable[Mapping[str, tuple[int, int]]]) -> None:
        self._room: dict[str, int] = {}
        self._tenants: list[list[str]] = []
        self._outer: list[int | None] = []  # room -> the next wider one
        for tenants in memories:
            ends: list[int] = []  # of the rooms around the next tensor, the widest first
            rooms: list[int] = []  # their numbers
            before = None
            for tensor, (begin, size) in sorted(tenants.items(), key=lambda item: (item[1][0], -item[1][1])):
                if (begin, size) != before:
                    while ends and ends[-1] <= begin:
                        ends.pop()
                        rooms.pop()
                    self._outer.append(rooms[-1] if rooms else None)
                    ends.append(begin + size)
                    rooms.append(len(self._tenants))
                    self._tenants.append([])
                    before = begin, size
                self._tenants[-1].append(tensor)
                self._room[tensor] = len(self._tenants) - 1

    def around(self, tensor: str) -> list[str]:
        """Return the tensors that have all bytes of a tensor, itself included."""
        found, room = [], self._room.get(tensor)
        while room is not None:
            found += self._tenants[room]
            room = self._outer[room]
        return found

    def share(self, tensor: str, other: str) -> None:
        """Move a tensor into the range of another."""
        self._room[tensor] = self._room[other]
        self._tenants[self._room[other]].append(tensor)

    def put_into(self, home: str, output: str) -> None:
        """Move a whole memory into the range of a concatenation."""
        self._outer[self._room[home]] = self._room[output]
