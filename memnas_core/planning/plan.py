"""The steps of a search and their time."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a search if no criterion ends it early.

    Attributes:
        rounds: Number of rounds after round 0.
        first: Networks that round 0 trains.
        candidates: Candidates that each later round trains, some of them only a little.
        images: Training images that all candidates see together.
        final_images: Training images that the chosen network sees at the end; 0 without a retraining.
        workers: Parallel trainings.
        seconds: Least and most time from the first training to the end: with networks as quick as the quickest first
            one, and with networks that grow from the slowest; None if these cannot be trained within the limits.
    """

    rounds: int
    first: int
    candidates: int
    images: int
    final_images: int
    workers: int
    seconds: tuple[float, float] | None

    def __str__(self) -> str:
        """Return the plan in a line."""
        from memnas_core.pictures.values import shown_seconds  # it needs numpy

        least, most = (shown_seconds(seconds) for seconds in self.seconds or (0.0, 0.0))
        time = f"{least} to {most}" if self.seconds else "a time unknown, as the first networks cannot be trained,"
        end = f", and the end on {self.final_images:,}" if self.final_images else ""
        return (
            f"Rounds: {self.rounds}, of {self.candidates} candidates each, which train on about {self.images:,} images"
            f"{end}: {time} on {self.workers} workers."
        )
