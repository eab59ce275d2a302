"""What a run has trained so far: each network with its validation accuracy, and the images that it took."""

from dataclasses import dataclass

from memnas_core.memory.figures import MemoryFigures
from memnas_core.space.architecture import Architecture


@dataclass(frozen=True, slots=True)
class Trained:
    """A network that a method has trained.

    Attributes:
        architecture: The network.
        accuracy: On the validation images after its last training, in [0, 1].
        memory: Its memory.
        key: Key of the training that holds its weights; None where they were not kept.
    """

    architecture: Architecture
    accuracy: float
    memory: MemoryFigures
    key: str | None


class Tally:
    """Counts images while a run goes on, and keeps what every network reached in its last training."""

    def __init__(self) -> None:
        self.images = 0
        self.trainings = 0
        self.networks: dict[str, Trained] = {}

    def add(
        self, architecture: Architecture, accuracy: float | None, memory: MemoryFigures, images: int, key: str | None
    ) -> None:
        """Add a training, or a part of one, that ended now.

        Args:
            architecture: The network.
            accuracy: On the validation images; None where the training failed.
            memory: Its memory.
            images: Training images that it took.
            key: Key of the training, if its weights are kept.
        """
        self.images += images
        self.trainings += 1
        if accuracy is not None:
            self.networks[architecture.arch_id] = Trained(architecture, accuracy, memory, key)
