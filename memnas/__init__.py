"""memnas as a library: search for image classifiers that are accurate and small in memory, in a notebook or a script.

    import memnas

    found = memnas.search(memnas.settings("digits", {"search.rounds": 2}), progress=print)
    print(found.chosen.accuracy, found.chosen.bytes)
    found.chosen.export("digits.pt2")

Nothing here starts a server, opens a connection, installs signal handlers or ends the caller's process. A search trains
in worker processes of its own, which end with it. Heavy packages are imported when they are needed (docs/library.md).
"""

from memnas.choosing import settings
from memnas.measuring import NetworkMemory, memory
from memnas.planning import plan
from memnas.progress import Progress
from memnas.results import Network, SearchResult, load
from memnas.searching import search
from memnas.tables import trained_candidates
from memnas_core.errors import MemnasError
from memnas_core.planning.plan import Plan

__all__ = [
    "MemnasError",
    "Network",
    "NetworkMemory",
    "Plan",
    "Progress",
    "SearchResult",
    "load",
    "memory",
    "plan",
    "search",
    "settings",
    "trained_candidates",
]
