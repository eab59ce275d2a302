"""What the experiments' searches leave in git, in `results/searches/FOLDER/`, and how it is read back.

rounds.csv           one line for each round, as the search wrote it
front.csv            the Pareto front over all trained candidates
candidates.parquet   the trained candidates of all rounds; those that were only ranked stay in the store
architecture.json    the chosen network
metrics.json         figures of that network, the cost of the search, and what decides both
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, product
from pathlib import Path

from experiments.plan import RESULTS, Plan
from memnas_core.errors import ArchitectureError, RecordError
from memnas_core.files.flat import columns, flat, unflat
from memnas_core.files.writing import new_folder
from memnas_core.memory.figures import MemoryFigures
from memnas_core.objective.score import Performance, performance_of, score
from memnas_core.records.candidates import CandidateRow, read_candidates, write_candidates
from memnas_core.records.trainings import Status
from memnas_core.results.folder import SearchFolder
from memnas_core.results.network_files import ARCHITECTURE_FILE
from memnas_core.search.choice import best_row
from memnas_core.settings.kinds import ActivationConvention
from memnas_core.settings.schema import ObjectiveSettings
from memnas_core.space.architecture import Architecture
from memnas_core.space.architecture_json import from_json
from memnas_core.training.record import read_record

SEARCHES = RESULTS / "searches"
METRICS_FILE = "metrics.json"
CANDIDATES_FILE = "candidates.parquet"
TABLES = ("rounds.csv", "front.csv")


class Arm(StrEnum):
    """A way to search: the paper's, or the paper's without one of its parts."""

    FULL = "full"
    GROW_ONLY = "grow-only"
    RANDOM_CHOICE = "random-choice"

    @property
    def overrides(self) -> tuple[str, ...]:
        """The settings in which this arm differs from the paper's search."""
        moves = "grow" if self is Arm.GROW_ONLY else "grow_and_trim"
        selection = "random" if self is Arm.RANDOM_CHOICE else "controller"
        return (f"search.moves={moves}", f"search.selection={selection}")


@dataclass(frozen=True, slots=True)
class SearchKey:
    """Identifies one search of the experiments.

    Attributes:
        arm: The way to search.
        accuracy_weight: The paper's lambda.
        seed: Decides all random choices, and which images are held out for validation.
    """

    arm: Arm
    accuracy_weight: float
    seed: int

    @property
    def folder_name(self) -> str:
        """Name of its folder in `results/searches/`, such as `lambda-0.5-seed-0` or `grow-only-lambda-0.5-seed-0`."""
        prefix = "" if self.arm is Arm.FULL else f"{self.arm}-"
        return f"{prefix}lambda-{float(self.accuracy_weight)}-seed-{self.seed}"

    @property
    def overrides(self) -> tuple[str, ...]:
        """The settings in which this search differs from the settings file."""
        own = (f"objective.accuracy_weight={float(self.accuracy_weight)}", f"search.seed={self.seed}")
        return (*own, *self.arm.overrides)


def sweep_keys(plan: Plan) -> tuple[SearchKey, ...]:
    """Return the searches of Figures 4 and 5, by lambda and seed."""
    return tuple(SearchKey(Arm.FULL, weight, seed) for weight, seed in product(plan.sweep.lambdas, plan.sweep.seeds))


def ablation_keys(plan: Plan) -> tuple[SearchKey, ...]:
    """Return the searches that the ablations compare, those of the full arm from the sweep included."""
    combinations = product(Arm, plan.ablations.lambdas, plan.ablations.seeds)
    return tuple(SearchKey(arm, weight, seed) for arm, weight, seed in combinations)


@dataclass(frozen=True, slots=True)
class SearchMetrics:
    """The content of `metrics.json`.

    Attributes:
        arm: The way to search.
        accuracy_weight: The paper's lambda; `lambda` in the file.
        seed: Seed of the search.
        dataset: Name of the data set.
        channels: Channels of an image.
        image_size: Side of an image in pixels.
        classes: Number of classes.
        training_images: Images available to a training.
        validation_images: Images that score candidates.
        test_images: Images on which the chosen network is tested, once.
        arch_id: Id of the chosen network.
        chosen_round: The round that trained it.
        search_accuracy: What the search measured of it, on the validation images, in [0, 1].
        validation_accuracy: Accuracy of its final weights on the validation images.
        test_accuracy: Accuracy of its final weights on the test images.
        memory: Memory, a column for each figure.
        activation_convention: The convention under which the search looked at it.
        score: Eq. 4 relative to the search's first network, both as the search trained them.
        rounds: Rounds after the first network.
        trained: Trainings that succeeded.
        failed: Trainings that failed.
        images_seen_search: Training images that all candidates have seen.
        final_epochs: Epochs of the chosen network's retraining; null where there was none.
        images_seen_final: Training images seen by the weights that were tested.
        search_seconds: Wall time of the rounds.
        final_seconds: Wall time of the training of the final weights.
        training_cpu_seconds: CPU time of all candidates' trainings; in results of earlier versions the sum of their
            wall times, each in a process of one thread.
        machine: Machine that ran the search.
        device: Device that trained.
        torch: Version of torch.
        name: The search's name in the store; it digests settings and code.
    """

    arm: Arm
    accuracy_weight: float
    seed: int
    dataset: str
    channels: int
    image_size: int
    classes: int
    training_images: int
    validation_images: int
    test_images: int
    arch_id: str
    chosen_round: int
    search_accuracy: float
    validation_accuracy: float
    test_accuracy: float
    memory: MemoryFigures
    activation_convention: ActivationConvention
    score: float
    rounds: int
    trained: int
    failed: int
    images_seen_search: int
    final_epochs: int | None
    images_seen_final: int
    search_seconds: float
    final_seconds: float
    training_cpu_seconds: float
    machine: str
    device: str
    torch: str
    name: str

    @property
    def activation_bytes(self) -> int:
        """Activation memory under the convention that the search looked at."""
        return self.memory.activation_bytes(self.activation_convention)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A search that was read back.

    Attributes:
        key: Identifies the search.
        metrics: Figures of the whole search.
        candidates: The trained candidates and those whose training failed, in order of rounds.
        architecture: The chosen network.
    """

    key: SearchKey
    metrics: SearchMetrics
    candidates: tuple[CandidateRow, ...]
    architecture: Architecture

    @property
    def rounds(self) -> tuple[tuple[CandidateRow, ...], ...]:
        """The candidates by round, starting with the first network's."""
        last = max(row.round for row in self.candidates)
        return tuple(tuple(row for row in self.candidates if row.round == n) for n in range(last + 1))

    @property
    def winners(self) -> tuple[CandidateRow, ...]:
        """The network that each round passed on to the next; the one before where every training failed."""
        found: list[CandidateRow] = []
        for rows in self.rounds:
            found.append(next((row for row in rows if row.is_winner), found[-1] if found else rows[0]))
        return tuple(found)

    @property
    def images_seen(self) -> tuple[int, ...]:
        """Training images that all candidates together had seen by the end of each round."""
        return tuple(accumulate(sum(row.images_seen for row in rows) for rows in self.rounds))


def copy_result(key: SearchKey, search: SearchFolder, target: Path) -> SearchMetrics:
    """Copy the small files of a finished search to its folder in git, all of them or none.

    Args:
        key: Identifies the search.
        search: Folder of the search in the store.
        target: The folder to write, replaced if it exists.

    Raises:
        RecordError: The search is not finished, or a record of it is damaged.
        StorageError: The disk is full or the folder not writable.
    """
    rows = [row for _, round_rows in search.rounds() for row in round_rows if row.status is not Status.GENERATED]
    metrics = _metrics(key, search, rows)
    with new_folder(target) as folder:
        for name in TABLES:
            shutil.copyfile(search.path / name, folder / name)
        shutil.copyfile(search.chosen / ARCHITECTURE_FILE, folder / ARCHITECTURE_FILE)
        write_candidates(folder / CANDIDATES_FILE, rows)
        document = {("lambda" if k == "accuracy_weight" else k): v for k, v in flat(metrics).items()}
        (folder / METRICS_FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return metrics


def _metrics(key: SearchKey, search: SearchFolder, rows: Sequence[CandidateRow]) -> SearchMetrics:
    settings, start, chosen = search.settings(), search.start(), search.read_chosen()
    training = read_record(search.chosen)
    summaries = [summary for summary, _ in search.rounds()]
    row = next(row for row in rows if row.arch_id == chosen.arch_id and row.measured_accuracy is not None)
    assert row.measured_accuracy is not None, "only trained networks are chosen"
    data = start.dataset
    return SearchMetrics(
        arm=key.arm,
        accuracy_weight=key.accuracy_weight,
        seed=key.seed,
        dataset=data.name,
        channels=data.shape[0],
        image_size=data.shape[1],
        classes=len(data.classes),
        training_images=data.train_size,
        validation_images=data.validation_size,
        test_images=data.test_size,
        arch_id=chosen.arch_id,
        chosen_round=chosen.round,
        search_accuracy=row.measured_accuracy,
        validation_accuracy=chosen.validation_accuracy,
        test_accuracy=chosen.test_accuracy,
        memory=row.memory,
        activation_convention=settings.objective.activation_convention,
        score=score_from_first(row, rows, settings.objective),
        rounds=len(summaries) - 1,
        trained=sum(summary.trained for summary in summaries),
        failed=sum(summary.failed for summary in summaries),
        images_seen_search=sum(summary.images_seen for summary in summaries),
        final_epochs=chosen.retrained_epochs,
        images_seen_final=training.images_seen,
        search_seconds=sum(summary.wall_seconds for summary in summaries),
        final_seconds=training.seconds,
        training_cpu_seconds=sum(summary.training_cpu_seconds for summary in summaries),
        machine=start.machine,
        device=training.device,
        torch=dict(start.versions)["torch"],
        name=search.path.name,
    )


def score_from_first(row: CandidateRow, rows: Sequence[CandidateRow], objective: ObjectiveSettings) -> float:
    """Return Eq. 4 of a trained candidate relative to the search's first network, as the search trained both.

    Scores in a search's table are relative to each round's base and do not compare across rounds; this one does.

    Args:
        row: The candidate.
        rows: The search's candidates, the first network's row first.
        objective: Weights of Eq. 4.
    """
    return score(_performance(row, objective), _performance(rows[0], objective), objective.accuracy_weight)


def best_so_far(
    rounds: Sequence[Sequence[CandidateRow]], objective: ObjectiveSettings
) -> tuple[tuple[CandidateRow, float], ...]:
    """Return the network that the search would choose after each round, and its Eq. 4 relative to the first network."""
    so_far = list(accumulate((list(rows) for rows in rounds), lambda before, rows: before + rows))
    chosen = [best_row(rows, objective) for rows in so_far]
    return tuple((row, score_from_first(row, rows, objective)) for row, rows in zip(chosen, so_far, strict=True))


def _performance(row: CandidateRow, objective: ObjectiveSettings) -> Performance:
    assert row.measured_accuracy is not None, "the first network and what is chosen were trained"
    return performance_of(row.memory, row.measured_accuracy, objective)


def _read_metrics(document: dict[str, object]) -> SearchMetrics:
    """Return the metrics that a JSON document holds: a key for each column, and no others."""
    values = {("accuracy_weight" if key == "lambda" else key): value for key, value in document.items()}
    unknown = values.keys() - {column.name for column in columns(SearchMetrics)}
    if unknown:
        raise ValueError(f"the keys {', '.join(sorted(unknown))}")
    return unflat(SearchMetrics, values | {"arm": Arm(str(values["arm"]))})


def read_search(key: SearchKey, searches: Path = SEARCHES) -> SearchResult:
    """Read a search's folder in git.

    Raises:
        RecordError: It is missing, damaged or belongs to another search.
    """
    folder = searches / key.folder_name
    path = folder / METRICS_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        metrics = _read_metrics(document)
        architecture = from_json((folder / ARCHITECTURE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ArchitectureError) as error:
        raise RecordError(
            f"{path}: expected the result of a search, found {error}; make it with dvc repro search"
        ) from error
    found = SearchKey(metrics.arm, metrics.accuracy_weight, metrics.seed)
    if found != key:
        raise RecordError(f"{path}: expected the search {key.folder_name}, found {found.folder_name}")
    return SearchResult(key, metrics, read_candidates(folder / CANDIDATES_FILE), architecture)
