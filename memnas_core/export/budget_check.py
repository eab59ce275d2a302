"""Whether an exported file keeps to the budget of the search that found its network.

The search counts weights; here the whole file counts, with all that a format adds to them. It counts activations by a
convention; here it is what the file's runtime plans for them.
"""

from collections.abc import Mapping
from typing import NamedTuple

from memnas_core.budget import Budget, Use
from memnas_core.devices import devices


class BudgetCheck(NamedTuple):
    """A file beside a budget.

    Attributes:
        uses: What it uses of each limit, as far as that is known.
        unknown: The limits of which it is not, in words.
    """

    uses: tuple[Use, ...]
    unknown: tuple[str, ...]

    @property
    def beyond(self) -> tuple[Use, ...]:
        """The limits that are exceeded."""
        return tuple(use for use in self.uses if use.excess)

    def __str__(self) -> str:
        """Return words for a person."""
        if not self.uses and not self.unknown:
            return "none was set"
        known = ", ".join(str(use) for use in self.uses)
        unknown = f"{' and '.join(self.unknown)} not known" if self.unknown else ""
        verdict = "not met" if self.beyond else "met as far as known" if self.unknown else "met"
        return f"{verdict}: {', '.join(filter(None, (known, unknown)))}"


def search_budget(settings: Mapping[str, str]) -> Budget:
    """Return the budget of a search.

    Args:
        settings: What it was told, `section.key` -> value as text. A search of an older memnas knew no budgets.
    """
    told = {key: settings.get(f"objective.{key}", "None") for key in (*Budget.__dataclass_fields__, "device")}
    device = devices().get(told.pop("device"))
    own = {} if device is None else {key: getattr(device, key) for key in told}
    return Budget(**{key: own.get(key) if value == "None" else int(value) for key, value in told.items()})


def check_budget(budget: Budget, file_bytes: int, activation_bytes: int | None) -> BudgetCheck:
    """Compare a file with a budget.

    Args:
        budget: The limits.
        file_bytes: Of the file.
        activation_bytes: What its runtime plans for activations; None: nobody knows.
    """
    rows = (
        ("file", file_bytes, budget.max_param_bytes),
        ("activations", activation_bytes, budget.max_activation_bytes),
        (
            "both together",
            None if activation_bytes is None else file_bytes + activation_bytes,
            budget.max_total_bytes,
        ),
    )
    limited = [(what, used, limit) for what, used, limit in rows if limit is not None]
    return BudgetCheck(
        tuple(Use(what, used, limit) for what, used, limit in limited if used is not None),
        tuple(what for what, used, _ in limited if used is None),
    )
