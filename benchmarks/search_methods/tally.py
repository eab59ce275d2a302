"""The rows of one run, in the order in which trainings ended."""

from dataclasses import dataclass

from benchmarks.search_methods.box import Box
from memnas_core.measure import MemoryFigures


@dataclass(frozen=True, slots=True)
class Row:
    """A finished candidate, or a finished rung of one.

    Attributes:
        dataset: Its name.
        method: Its name.
        seed: Of the method, the trainings and the validation split.
        images: Training images that the run has spent when this ended.
        hypervolume: Share of the box that all networks of the run so far dominate, in [0, 1].
        arch_id: What was trained.
        accuracy: On the validation images, in [0, 1]; null where the training failed.
        param_bytes: Weights.
        activation_bytes: The arena of its activations.
        total_bytes: Both together.
        seconds: Wall time of this training.
    """

    dataset: str
    method: str
    seed: int
    images: int
    hypervolume: float
    arch_id: str
    accuracy: float | None
    param_bytes: int
    activation_bytes: int
    total_bytes: int
    seconds: float


class Tally:
    """Counts images and hypervolume while a run goes on."""

    def __init__(self, dataset: str, method: str, seed: int, box: Box) -> None:
        self.images = 0
        self.rows: list[Row] = []
        self._run = (dataset, method, seed)
        self._box = box
        self._networks: list[tuple[float, int]] = []

    def add(self, arch_id: str, accuracy: float | None, memory: MemoryFigures, images: int, seconds: float) -> None:
        """Add what ended now.

        Args:
            arch_id: What was trained.
            accuracy: Null where the training failed.
            memory: Of the network.
            images: Training images that it took since the last row.
            seconds: Wall time of the training.
        """
        activations = memory.activation_bytes("arena")
        total = memory.param_bytes + activations
        self.images += images
        if accuracy is not None:
            self._networks.append((accuracy, total))
        hypervolume = self._box.hypervolume(self._networks)
        row = Row(
            *self._run,
            self.images,
            hypervolume,
            arch_id,
            accuracy,
            memory.param_bytes,
            activations,
            total,
            seconds,
        )
        self.rows.append(row)
