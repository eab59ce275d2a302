"""The model card: the page that goes with an exported file, and the facts that the file itself carries."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from memnas_core.config import ActivationConvention
from memnas_core.environment import machine, versions
from memnas_core.export.check import CheckResult
from memnas_core.export.model_file import Format, OpenedFile
from memnas_core.export.prediction import described, predicted_bytes
from memnas_core.export.store import TrainedNetwork
from memnas_core.graph import Graph, Shape
from memnas_core.measure import MemoryFigures, measure
from memnas_core.memory import LeastPeak
from memnas_core.parameters import parameter_bytes

FLOAT32_BYTES, INT8_BYTES, BIAS_BYTES = 4, 1, 4

_CONVENTIONS: tuple[ActivationConvention, ...] = ("paper", "sequential", "minimum", "arena")
_SECTIONS = ("network", "search", "objective", "training", "final")


@dataclass(frozen=True, slots=True)
class MemoryColumn:
    """A network's bytes at one width of weights and activations; biases have 4 bytes, batch norm is folded.

    Attributes:
        weights: Bytes of weights and biases.
        peaks: Convention of the search -> activations.
        predicted: What the file's runtime is predicted to reserve for activations; None: it is not modelled.
    """

    weights: int
    peaks: Mapping[ActivationConvention, int]
    predicted: int | None


def memory_column(figures: MemoryFigures, running: Graph, wanted: Format, int8: bool) -> MemoryColumn:
    """Return the bytes of a network.

    Args:
        figures: What the search counts at this width of activations.
        running: Its layers in running order.
        wanted: The format whose runtime the prediction is for.
        int8: Whether weights and activations have one byte; else they have four.
    """
    return MemoryColumn(
        parameter_bytes(running, INT8_BYTES if int8 else FLOAT32_BYTES, BIAS_BYTES, fold_batch_norm=True),
        {name: figures.activation_bytes(name) for name in _CONVENTIONS},
        predicted_bytes(wanted, running, int8),
    )


def facts(trained: TrainedNetwork, int8: bool) -> str:
    """Return what a program needs to know to use a file, as JSON to be put into it."""
    info = trained.info
    return json.dumps(
        {
            "made_by": f"memnas {metadata.version('memnas')}",
            "arch_id": trained.row.arch_id,
            "architecture": json.loads(trained.row.architecture),
            "search": trained.search,
            "data_set": info.name,
            "data_digest": info.digest,
            "classes": info.classes,
            "input_shape": (1, *info.shape),
            "channel_mean": info.channel_mean,
            "channel_std": info.channel_std,
            "validation_accuracy": trained.validation_accuracy,
            "test_accuracy": trained.test_accuracy,
            "weights_and_activations": "int8" if int8 else "float32",
            "licence": licence(),
        }
    )


def licence() -> str:
    """Return the licence of memnas itself."""
    return metadata.metadata("memnas")["License-Expression"]


def model_card(
    trained: TrainedNetwork,
    running: Graph,
    least: LeastPeak,
    wanted: Format,
    int8: bool,
    file: tuple[str, int],
    opened: OpenedFile,
    check: CheckResult,
) -> str:
    """Return the model card as Markdown.

    Args:
        trained: The network and its record.
        running: Its layers in running order.
        least: What this order needs in float32.
        wanted: The file's format.
        int8: Whether it is quantised.
        file: Name and bytes of the file.
        opened: The file as its runtime sees it.
        check: What running it gave.
    """
    info = trained.info
    columns = [
        memory_column(
            measure(trained.architecture, Shape(*info.shape), len(info.classes), width, width), running, wanted, is_int8
        )
        for width, is_int8 in ((FLOAT32_BYTES, False), (INT8_BYTES, True))
    ]
    paragraphs = [
        f"# {file[0]}",
        f"An image classifier found by memnas {metadata.version('memnas')}, network `{trained.row.arch_id}`, "
        f"as {wanted.described} in {'int8' if int8 else 'float32'}: {file[1]:,} bytes.",
        "## Use",
        _use(trained, wanted, opened),
        "## Data and accuracy",
        _accuracy(trained, check),
        "## Check of this file",
        _check(opened, check),
        "## Memory for one image",
        _memory(columns, least, wanted, opened),
        "## Network",
        f"`{trained.row.arch_id}`, trained in round {trained.row.round} of search `{trained.search}`. "
        "Batch norm is folded into the convolutions; layers run in the order listed, which needs the least memory"
        f"{'' if least.exact else ' of those found'}: {', '.join(layer.name for layer in running.layers)}.",
        "```json\n" + json.dumps(json.loads(trained.row.architecture)) + "\n```",
        "## Settings",
        _table(
            ("setting", "value"),
            [pair for pair in trained.settings.items() if pair[0].split(".")[0] in _SECTIONS],
        ),
        "## Versions",
        _table(("", "searched with", "exported with"), _versions(trained)),
        "## Licence",
        f"memnas is under {licence()} and claims no right in the networks that it finds. What may be done with a "
        f"network can depend on the images it was trained on: {info.source}.",
    ]
    return "\n\n".join(paragraphs) + "\n"


def _use(trained: TrainedNetwork, wanted: Format, opened: OpenedFile) -> str:
    info = trained.info
    lines = [
        f"- Input: float32, shape {(1, *info.shape)}: batch, channels, height, width"
        + (", channels last in memory" if opened.channels_last else "")
        + ". Pixels are scaled to [0, 1] and normalised: "
        f"(pixel - mean) / std, mean {_figures(info.channel_mean)}, std {_figures(info.channel_std)} for each channel.",
        f"- Output: float32, shape (1, {len(info.classes)}): a score for each class, in the order "
        f"{', '.join(info.classes)}.",
        f"- Runtime: {opened.runtime}.",
    ]
    if wanted is not Format.EXECUTORCH:
        lines.append("- The file carries these facts as JSON under the name `memnas`.")
    return "\n".join(lines)


def _accuracy(trained: TrainedNetwork, check: CheckResult) -> str:
    info = trained.info
    measured = "not measured by the search" if trained.test_accuracy is None else f"{trained.test_accuracy:.4f}"
    return _table(
        ("", ""),
        [
            ("data set", f"{info.name}: {info.source}"),
            ("images", f"{info.train_size} training, {info.validation_size} validation, {info.test_size} test"),
            ("digest", info.digest),
            ("weights", _origin(trained)),
            ("validation accuracy, as recorded", f"{trained.validation_accuracy:.4f}"),
            ("test accuracy, as recorded", measured),
            (f"accuracy of the torch network on {check.images} test images", f"{check.torch_accuracy:.4f}"),
            ("accuracy of this file on the same images", f"{check.file_accuracy:.4f}"),
        ],
    )


def _origin(trained: TrainedNetwork) -> str:
    if trained.retrained_epochs is None:
        return "those of the search"
    return f"retrained from nothing for {trained.retrained_epochs} epochs after the search"


def _check(opened: OpenedFile, check: CheckResult) -> str:
    text = (
        f"{opened.ran_by}, ran this file on {check.images} test images, one at a time. It gave the class of the torch "
        f"network to {check.same_classes} of them; scores differ by at most {check.largest_difference:.2g}, where the "
        f"largest is {check.largest_score:.2g}. Accuracy differs by {check.accuracy_difference:+.4f}.\n\n"
    )
    if check.median_seconds is None:
        return text + "Latency was not measured: the file is for another processor than this machine's."
    return (
        text + f"Latency at batch 1: {check.median_seconds * 1e3:.3f} ms, median of {check.images} runs on one thread; "
        f"{machine()}."
    )


def _memory(columns: Sequence[MemoryColumn], least: LeastPeak, wanted: Format, opened: OpenedFile) -> str:
    rows = [("weights and biases", *(f"{column.weights:,}" for column in columns))]
    rows += [(f"activations, `{name}`", *(f"{column.peaks[name]:,}" for column in columns)) for name in _CONVENTIONS]
    for place, column in enumerate(columns):
        if column.predicted is not None:
            cells = ["", ""]
            cells[place] = f"{column.predicted:,}"
            rows.append((f"predicted: {described(wanted, int8=place == 1)}", *cells))
    text = _table(("bytes", "float32", "int8"), rows)
    if not least.exact:
        text += (
            f"\n\n`minimum` is the best order found; no order needs less than {least.lower_bound:,} bytes in float32."
        )
    if opened.planned_bytes is None:
        return text + f"\n\n{opened.runtime} has no plan for activations; what it allocates differs with its settings."
    return text + (
        f"\n\nActivation memory that the file's own plan reserves: **{opened.planned_bytes:,} bytes**, with the image, "
        "the scores and the scratch memory of kernels."
    )


def _versions(trained: TrainedNetwork) -> Iterator[tuple[str, str, str]]:
    before, now = dict(trained.start.versions), dict(versions())
    for name in dict.fromkeys((*before, *now)):
        yield name, before.get(name, "-"), now.get(name, "-")
    for package in dict.fromkeys(package for format_ in Format for package in format_.packages):
        try:
            yield package, "-", metadata.version(package)
        except metadata.PackageNotFoundError:
            continue


def _figures(values: Sequence[float]) -> str:
    return f"({', '.join(f'{value:.6g}' for value in values)})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]] | Iterator[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
