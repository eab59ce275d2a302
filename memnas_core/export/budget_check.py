"""Whether an exported file keeps to the budget of the search that found its network.

The search counts weights; here the whole file counts, with everything that a format adds to them. The search counts
activations by a convention; here the memory that the file's runtime plans for them counts. For C it is the whole
firmware: code and constants in flash, arena and stack in RAM.
"""

from typing import NamedTuple

from memnas_core.objective.budget import Budget, Use


class BudgetCheck(NamedTuple):
    """A comparison of a file with a budget.

    Attributes:
        uses: Use of each limit, as far as it is known.
        unknown: Limits whose use is not known, in words.
    """

    uses: tuple[Use, ...]
    unknown: tuple[str, ...]

    @property
    def beyond(self) -> tuple[Use, ...]:
        """Limits that are exceeded, with their use."""
        return tuple(use for use in self.uses if use.excess)

    def __str__(self) -> str:
        """Return the result of the comparison in words."""
        if not self.uses and not self.unknown:
            return "none was set"
        known = ", ".join(str(use) for use in self.uses)
        unknown = f"{' and '.join(self.unknown)} not known" if self.unknown else ""
        verdict = "not met" if self.beyond else "met as far as known" if self.unknown else "met"
        return f"{verdict}: {', '.join(filter(None, (known, unknown)))}"


def compare_with_budget(
    budget: Budget,
    file_bytes: int,
    activation_bytes: int | None,
    stored_as: str = "file",
    kept_as: str = "activations",
) -> BudgetCheck:
    """Compare a file with a budget.

    Args:
        budget: Limits of the search.
        file_bytes: Size of what a device stores of the file, in bytes.
        activation_bytes: Bytes that the file's runtime plans for activations, with the stack if it is known; None if
            they are not known.
        stored_as: What a device stores of the file, in a word.
        kept_as: What it keeps in memory, in words.
    """
    rows = (
        (stored_as, file_bytes, budget.max_param_bytes),
        (kept_as, activation_bytes, budget.max_activation_bytes),
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
