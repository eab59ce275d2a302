"""The attributes of a network's modules, and the lists, dictionaries and objects in them: found, and put back."""

import sys
from collections import deque
from collections.abc import Callable, Iterator
from operator import is_
from types import ModuleType, SimpleNamespace

from torch import Tensor, nn

Container = dict[object, object] | list[object] | tuple[object, ...] | set[object] | deque[object]

_CONTAINERS = (dict, list, tuple, set, deque)
_CLOSED = (Tensor, nn.Module, type, ModuleType)
"""Objects into which nobody looks; each module is looked at by itself."""

_LIBRARIES = sys.stdlib_module_names | {"torch"}
"""Top packages whose objects, such as loggers, lead to what the whole process shares."""


def containers(module: nn.Module, without: frozenset[str] = frozenset()) -> Iterator[tuple[str, Container]]:
    """Yield what a network keeps things in, each once, with dotted names; first the attributes of its modules.

    Args:
        module: The network.
        without: Names of entries that are not followed.
    """
    left: deque[tuple[str, object]] = deque((path, vars(part)) for path, part in module.named_modules())
    seen: dict[int, object] = {}  # keeps containers alive, so that no id is used twice
    while left:
        path, container = left.popleft()
        if id(container) in seen or not isinstance(container, _CONTAINERS):
            continue
        seen[id(container)] = container
        yield path, container
        left += [(joined(path, key), _opened(entry)) for key, entry in entries(container) if key not in without]


def entries(container: Container) -> list[tuple[object, object]]:
    """Return what lies in a container, by keys or places."""
    return list(container.items() if isinstance(container, dict) else enumerate(container))


def joined(path: str, key: object) -> str:
    """Return the dotted name of an entry of a container."""
    return f"{path}.{key}" if path else str(key)


def restorer(container: Container) -> Callable[[], None]:
    """Return a function that gives a container what is in it now."""
    before = entries(container)

    def restore() -> None:
        now = entries(container)
        if len(now) == len(before) and all(map(is_, _flat(now), _flat(before))):
            return
        assert not isinstance(container, tuple), "a tuple stays as it is"
        container.clear()
        if isinstance(container, dict):
            container.update(before)
        elif isinstance(container, set):
            container.update(entry for _, entry in before)
        else:
            container.extend(entry for _, entry in before)

    return restore


def _flat(pairs: list[tuple[object, object]]) -> Iterator[object]:
    return (part for pair in pairs for part in pair)


def _opened(entry: object) -> object:
    """Return a container as it is, and the attributes of an object; those of libraries are not the network's own."""
    if isinstance(entry, _CONTAINERS):
        return entry
    is_closed = isinstance(entry, _CLOSED) or type(entry).__module__.partition(".")[0] in _LIBRARIES
    return None if is_closed and not isinstance(entry, SimpleNamespace) else getattr(entry, "__dict__", None)
