"""What a search tells its caller while it runs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """A training has ended. `str()` of it is a line for people, so that `progress=print` shows how a search goes.

    Attributes:
        round: Number of the round; 0 trains the first networks. None: the training of the chosen network at the end.
        rounds: Largest number of rounds.
        rung: Number of the rung within the round, from 0: the promising candidates train on, rung by rung.
        trained: Candidates of this rung that are trained.
        of: Candidates of this rung.
        arch_id: Id of the network.
        accuracy: Its validation accuracy, in [0, 1]; None where the training failed or had no images to measure by.
        param_bytes: Bytes of its weights.
        activation_bytes: Its peak of activations in bytes, by the convention of the settings.
        seconds: Wall time of the training.
        status: How the training ended, such as `trained`.
    """

    round: int | None
    rounds: int
    rung: int
    trained: int
    of: int
    arch_id: str
    accuracy: float | None
    param_bytes: int
    activation_bytes: int
    seconds: float
    status: str

    def __str__(self) -> str:
        """Return the line."""
        from memnas_core.pictures.values import shown_bytes

        part = "the end" if self.round is None else f"round {self.round} of {self.rounds}"
        rung = f", rung {self.rung + 1}" if self.rung else ""
        accuracy = self.status if self.accuracy is None else f"accuracy {self.accuracy:.4f}"
        sizes = f"weights {shown_bytes(self.param_bytes)}, activations {shown_bytes(self.activation_bytes)}"
        return f"{part}{rung}, {self.trained}/{self.of}: {self.arch_id[:8]} {accuracy}, {sizes}, {self.seconds:.1f} s"
