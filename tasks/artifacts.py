"""What a search shows on Prefect's pages beside its runs: candidates of each round, progress, and where all else is."""

from collections.abc import Sequence
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.utilities.slugify import slugify

from memnas_core.records.candidates import CandidateRow
from memnas_core.records.rounds import RoundSummary
from memnas_core.settings.kinds import ActivationConvention


class Artifacts:
    """The artifacts of one search; each kind has one key, whose versions Prefect lists."""

    def __init__(self, search: str, rounds: int) -> None:
        """Show nothing yet.

        Args:
            search: Name of the search.
            rounds: Number of rounds after round 0.
        """
        self._key = slugify(f"memnas {search}")  # keys have small letters, digits and hyphens
        self._rounds = rounds
        self._progress: UUID | None = None

    def link(self, what: str, address: str, words: str) -> None:
        """Show a link.

        Args:
            what: Last part of the key.
            address: Where it leads.
            words: A sentence on it.
        """
        create_link_artifact(address, key=f"{self._key}-{what}", description=words)

    def show_progress(self, finished: int | None) -> None:
        """Show how far the search is.

        Args:
            finished: Number of finished rounds, with round 0; None: the search has ended, by whatever criterion.
        """
        steps = self._rounds + 2  # round 0 and the end are steps, too
        percent = 100.0 if finished is None else 100 * finished / steps
        if self._progress is not None:
            update_progress_artifact(self._progress, percent)
            return
        created = create_progress_artifact(percent, f"{self._key}-progress", "Rounds that are done, and the end")
        assert isinstance(created, UUID), "only in coroutines it is something to wait for"
        self._progress = created

    def show_round(self, summary: RoundSummary, rows: Sequence[CandidateRow], convention: ActivationConvention) -> None:
        """Show the candidates of a round that were trained, the best first.

        Args:
            summary: The round.
            rows: All its candidates.
            convention: Convention of activation memory.
        """
        trained = [row for row in rows if row.training_seconds is not None]
        table = [
            {
                "network": row.arch_id[:8],
                "accuracy": row.measured_accuracy,
                "weights, bytes": row.memory.param_bytes,
                "activations, bytes": row.memory.activation_bytes(convention),
                "score": row.measured_score,
                "status": str(row.status),
                "move": row.move,
            }
            for row in trained
        ]
        words = f"Round {summary.round}: {summary.candidates} candidates, {summary.trained} trained."
        create_table_artifact(table, key=f"{self._key}-candidates", description=words)
