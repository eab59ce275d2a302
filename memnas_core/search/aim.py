"""What a search looks for: the interface of all aims, and their table `AIMS`.

aim     module        bases of a round               candidates are ordered by
score   score_aim     the winner of the last round   Eq. 4 relative to the base, as in the paper
front   front_aim     all networks on the front      the area that they would add to the front
"""

from typing import TYPE_CHECKING, Protocol

from memnas_core.objective.score import Performance
from memnas_core.registry import Registry
from memnas_core.search.candidates import Base, Generation, Ranking
from memnas_core.settings.schema import Settings
from memnas_core.space.layers import Workload

if TYPE_CHECKING:  # a state holds its aim
    from memnas_core.search.state import SearchState


class Comparison(Protocol):
    """The measure by which the candidates of one round are compared."""

    def value(self, measured: Performance) -> float:
        """Return the value of a network; higher is better."""

    def best_possible(self, measured: Performance) -> float:
        """Return an upper bound on the value of a network with this memory and an accuracy of 1."""


class Aim(Protocol):
    """What a search looks for. An aim is made once per search, and asked in every round."""

    def __init__(self, settings: Settings, workload: Workload) -> None:
        """Create the aim from the search's settings and the workload of its networks."""

    @staticmethod
    def check(settings: Settings) -> None:
        """Refuse settings that do not fit this aim.

        Raises:
            ValueError: `section.key: expected ..., found ...`.
        """

    def generate(self, search: "SearchState", number: int) -> Generation:
        """Return the candidates of round `number`, 1 or later, measured and within the budget."""

    def rank(self, search: "SearchState", generation: Generation, seed: int) -> Ranking:
        """Order candidates before any of them is trained; `seed` decides random choices."""

    def comparison(self, search: "SearchState") -> Comparison:
        """Return the measure by which the candidates of the running round are compared."""

    def bases(self, search: "SearchState") -> tuple[Base, ...]:
        """Return the bases of the next round, when the previous round has chosen its network."""

    def completion(self, search: "SearchState") -> str | None:
        """Return why nothing is left to find, or None if the search may go on."""


AIMS: Registry[type[Aim]] = Registry(
    "search.aim",
    {"front": "memnas_core.search.front_aim:FrontAim", "score": "memnas_core.search.score_aim:ScoreAim"},
)
"""All aims, by the name that settings give them."""
