"""The report of a search: one HTML page that needs nothing beside itself."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from memnas_core.data import DatasetInfo
from memnas_core.data.doubts import half_interval
from memnas_core.errors import RecordError
from memnas_core.memory.conventions import CONVENTIONS
from memnas_core.memory.figures import MemoryFigures
from memnas_core.memory.lifetimes import LeastPeak, LifetimeTable
from memnas_core.objective.budget import uses
from memnas_core.pictures import (
    architecture_svg,
    front_svg,
    history_svg,
    lifetime_svg,
    lineage_svg,
    rounds_svg,
    time_svg,
)
from memnas_core.pictures.values import (
    FAILURES,
    NONE,
    shown_bytes,
    shown_change,
    shown_percent,
    shown_seconds,
    total_bytes,
)
from memnas_core.records.candidates import CandidateRow
from memnas_core.records.class_counts import ClassCounts
from memnas_core.records.rounds import RoundSummary
from memnas_core.results.class_words import class_lines, measure_words, never_found
from memnas_core.results.network_files import shown_convention
from memnas_core.settings.file import dump_settings
from memnas_core.settings.kinds import ActivationConvention
from memnas_core.settings.schema import Settings
from memnas_core.space.architecture import Architecture
from memnas_core.space.architecture_json import to_json

if TYPE_CHECKING:  # it imports torch, which a report does not need
    from memnas_core.records.trainings import EpochFigures


@dataclass(frozen=True, slots=True)
class ChosenNetwork:
    """The network that a search hands over, or would if it ended now.

    Attributes:
        architecture: What it is.
        arch_id: Id of the architecture.
        round: The round that trained it; 0 for the seed.
        validation_accuracy: Validation accuracy, in [0, 1]: of the weights handed over or, where those were trained on
            the validation images too, of the search's weights.
        test_accuracy: Accuracy of the weights handed over, measured once, in [0, 1]; null while the search is not
            finished.
        retrained_epochs: Epochs of the retraining at the end; null where the search's own weights are kept.
        memory: Bytes under each convention.
        history: Epochs of the training that gave the weights.
        validation_counts: Results on the validation images by class; null in earlier records, and where these images
            were trained on.
        test_counts: Results on the test images by class; null while the search is not finished, and in earlier records.
    """

    architecture: Architecture
    arch_id: str
    round: int
    validation_accuracy: float
    test_accuracy: float | None
    retrained_epochs: int | None
    memory: MemoryFigures
    history: "tuple[EpochFigures, ...]"
    validation_counts: ClassCounts | None = None
    test_counts: ClassCounts | None = None

    @property
    def is_of_all_images(self) -> bool:
        """Whether the weights that are handed over were trained on the validation images too."""
        return self.history[-1].validation_accuracy is None


@dataclass(frozen=True, slots=True)
class ReportData:
    """All that a report shows.

    Attributes:
        name: Name of the search.
        settings: What the search was told.
        dataset: What it was trained on.
        rounds: Summaries in order; the first is round 0, the seed.
        candidates: Rows of all rounds.
        front: Rows on the Pareto front of validation accuracy and total bytes.
        chosen: The network that is handed over; its row is among the candidates.
        lifetimes: Lifetimes of its tensors, under the convention of the settings.
        least: The peak under `minimum`, and whether no order of its layers needs less.
        versions: Name and version of what the search ran with.
        machine: The machine in a few words.
        started: When the search began, with its time zone.
        finished: When it ended; null while it has not.
    """

    name: str
    settings: Settings
    dataset: DatasetInfo
    rounds: Sequence[RoundSummary]
    candidates: Sequence[CandidateRow]
    front: Sequence[CandidateRow]
    chosen: ChosenNetwork
    lifetimes: LifetimeTable
    least: LeastPeak
    versions: Sequence[tuple[str, str]]
    machine: str
    started: datetime
    finished: datetime | None


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A line of the table that holds the chosen network against the seed."""

    name: str
    seed: str
    chosen: str
    change: str


@dataclass(frozen=True, slots=True)
class _Pictures:
    front: Markup
    rounds: Markup
    lineage: Markup
    time: Markup
    architecture: Markup
    lifetimes: Markup
    history: Markup


def build_report(data: ReportData) -> str:
    """Return the report as one HTML page without links to anything outside.

    Raises:
        RecordError: The seed's or the chosen network's row is missing.
    """
    trained = sorted(
        (row for row in data.candidates if row.measured_accuracy is not None),
        key=lambda row: (row.round, row.measured_rank or 0),
    )
    wanted = (data.chosen.round, data.chosen.arch_id)
    seed = _find(trained, "the seed (round 0)", lambda row: row.round == 0)
    chosen = _find(trained, f"the chosen {data.chosen.arch_id}", lambda row: (row.round, row.arch_id) == wanted)
    convention = data.settings.objective.activation_convention
    return _template().render(
        conventions=CONVENTIONS,
        data=data,
        chosen=data.chosen,
        convention=convention,
        uses=uses(data.chosen.memory, data.settings.objective),
        measure=measure_words(data.settings.objective.accuracy),
        classes=class_lines(data.dataset.classes, data.chosen.validation_counts, data.chosen.test_counts),
        doubts=tuple(_doubts(data)),
        comparisons=tuple(_compare(seed, chosen, convention)),
        trained=trained,
        failed=[row for row in data.candidates if row.status in FAILURES],
        front=sorted(data.front, key=lambda row: row.measured_accuracy or 0.0, reverse=True),
        front_ids={row.arch_id for row in data.front},
        pictures=_draw(data),
        settings_yaml=dump_settings(data.settings),
        validation_margin=half_interval(data.dataset.validation_size, data.chosen.validation_accuracy),
        test_margin=half_interval(data.dataset.test_size, data.chosen.test_accuracy or data.chosen.validation_accuracy),
        architecture_json=to_json(data.chosen.architecture),
    )


def _doubts(data: ReportData) -> Iterator[str]:
    for split, counts in (("validation", data.chosen.validation_counts), ("test", data.chosen.test_counts)):
        if counts is not None:
            yield from never_found(data.dataset.classes, counts, split)


def _find(trained: Sequence[CandidateRow], name: str, fits: Callable[[CandidateRow], bool]) -> CandidateRow:
    for row in trained:
        if fits(row):
            return row
    raise RecordError(f"candidates: expected {name} among the {len(trained)} trained ones, found none")


def _compare(seed: CandidateRow, chosen: CandidateRow, convention: ActivationConvention) -> Iterator[_Comparison]:
    before, after = seed.measured_accuracy or 0.0, chosen.measured_accuracy or 0.0
    points = f"{100 * (after - before):+.2f} points".replace("-", "−")
    yield _Comparison("Validation accuracy in the search", shown_percent(before), shown_percent(after), points)
    old, new = seed.memory, chosen.memory
    figures = [("Weights, bytes", old.param_bytes, new.param_bytes)]
    for name, one in CONVENTIONS.items():
        figures.append((f"{one.title}, bytes", old.activation_bytes(name), new.activation_bytes(name)))
    figures.append((f"Total with {convention}, bytes", total_bytes(seed, convention), total_bytes(chosen, convention)))
    for name, theirs, ours in figures:
        yield _Comparison(name, f"{theirs:,}", f"{ours:,}", shown_change(theirs, ours))


def _draw(data: ReportData) -> _Pictures:
    convention = data.settings.objective.activation_convention
    title = f"Tensors of {data.chosen.arch_id}, convention {shown_convention(data.settings.objective)}"
    # SVG of our own making is the only markup that goes into the page unescaped.
    return _Pictures(
        front=Markup(front_svg(data.candidates, data.front, data.chosen.arch_id, convention)),
        rounds=Markup(rounds_svg(data.rounds, convention)),
        lineage=Markup(lineage_svg(data.candidates, data.rounds)),
        time=Markup(time_svg(data.rounds)),
        architecture=Markup(architecture_svg(data.chosen.architecture)),
        lifetimes=Markup(lifetime_svg(data.lifetimes, title)),
        history=Markup(history_svg(data.chosen.history)),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("memnas_core.results"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "size": shown_bytes,
        "percent": shown_percent,
        "seconds": shown_seconds,
        "number": _shown_number,
        "total": total_bytes,
    }
    return environment.get_template("report.html.j2")


def _shown_number(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:.{digits}f}".replace("-", "−")
