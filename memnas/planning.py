"""What a search is about to do, and how long that takes on this machine."""

from dataclasses import dataclass
from pathlib import Path

from memnas.choosing import PathName, Source, resolved

START_SECONDS = 4.0
"""Time until workers train: they import torch, on two idle cores."""

BESIDE_SECONDS = 0.5
"""Part of round 0 in which nothing trains, on two idle cores: candidates, files, the controller."""


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
        seconds: Expected time on this machine, as networks usually grow; None on a GPU, which is not timed.
    """

    rounds: int
    first: int
    candidates: int
    images: int
    final_images: int
    workers: int
    seconds: float | None

    def __str__(self) -> str:
        """Return the plan in a line."""
        from memnas_core.pictures.values import shown_seconds

        time = "not timed on a GPU" if self.seconds is None else f"about {shown_seconds(self.seconds)}"
        end = f", and the end on {self.final_images:,}" if self.final_images else ""
        return (
            f"Rounds: {self.rounds}, of {self.candidates} candidates each, which train on about {self.images:,} images"
            f"{end}: {time} on {self.workers} workers."
        )


def plan(
    settings: "Source | None" = None,
    *,
    images: PathName | None = None,
    store: PathName | None = None,
    workers: int | None = None,
) -> Plan:
    """Return the steps of a search and their time on this machine.

    The images are prepared in the store, which a search needs too, and the first network is trained for about a second.

    Args:
        settings: As in `memnas.search`.
        images: As in `memnas.search`.
        store: As in `memnas.search`.
        workers: As in `memnas.search`.

    Raises:
        InputError: Settings or images cannot be used.
        StorageError: The store cannot be written.
    """
    from memnas_core.data import open_dataset, prepare_dataset
    from memnas_core.search.generation import largest_first_network
    from memnas_core.search.halving import search_images
    from memnas_core.space.layers import Shape
    from memnas_core.training.loop import choose_device
    from memnas_core.training.speed import seconds_an_image
    from memnas_core.workers.places import training_places

    chosen = resolved(settings, images, store, workers)
    places = training_places(chosen.execution, chosen.training.device)
    factor = chosen.network.reduction
    info = open_dataset(prepare_dataset(chosen.data, chosen.search.seed, Path(chosen.store), factor)).info
    planned = search_images(chosen, info.train_size, info.validation_size)
    seconds = None
    if choose_device(chosen.training.device).type == "cpu":
        network = largest_first_network(chosen, info.workload(chosen.objective))
        image = seconds_an_image(network, Shape(*info.shape), len(info.classes), chosen.training.batch_size)
        until_rounds = START_SECONDS + image * planned.first / len(places) + BESIDE_SECONDS
        seconds = until_rounds + planned.seconds(image, len(places), BESIDE_SECONDS)
    return Plan(
        rounds=chosen.search.rounds,
        first=chosen.search.first_networks,
        candidates=chosen.search.top_k,
        images=planned.first + planned.rounds,
        final_images=planned.end,
        workers=len(places),
        seconds=seconds,
    )
