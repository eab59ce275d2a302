"""The model card, a page that goes with an exported file, and the facts that the file itself contains."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata

from memnas_core.data import DatasetInfo
from memnas_core.data.description import describe, preprocessing_of
from memnas_core.environment import machine, versions
from memnas_core.export.check import CheckResult
from memnas_core.export.exported import Exported
from memnas_core.export.file_format import FORMATS, FileFormat, OpenedFile
from memnas_core.export.store import TrainedNetwork
from memnas_core.export.vectors import Vectors
from memnas_core.firmware.emulation import Firmware
from memnas_core.memory.conventions import CONVENTIONS
from memnas_core.memory.figures import MemoryFigures, measure
from memnas_core.memory.lifetimes import LeastPeak
from memnas_core.memory.parameters import parameter_bytes
from memnas_core.objective.budget import kernels_of
from memnas_core.results.class_words import beside_accuracy, measure_words
from memnas_core.settings.words import in_words
from memnas_core.space.graph import Graph
from memnas_core.space.layers import Shape, Workload

FLOAT32_BYTES, INT8_BYTES, BIAS_BYTES = 4, 1, 4

_SECTIONS = ("network", "search", "objective", "training", "final")


@dataclass(frozen=True, slots=True)
class MemoryColumn:
    """A network's bytes at one width of weights and activations; biases have 4 bytes, batch norm is folded.

    Attributes:
        weights: Bytes of weights and biases.
        peaks: Convention of the search -> bytes of activations.
        predicted: Bytes that the file's runtime is predicted to reserve for activations; None if it is not modelled.
    """

    weights: int
    peaks: Mapping[str, int]
    predicted: int | None


def memory_column(figures: MemoryFigures, running: Graph, wanted: FileFormat, int8: bool) -> MemoryColumn:
    """Return the bytes of a network.

    Args:
        figures: Memory figures of the search at this width of activations.
        running: The network's layers in running order.
        wanted: Format whose runtime the prediction is for.
        int8: Whether weights and activations have one byte; otherwise they have four.
    """
    return MemoryColumn(
        parameter_bytes(running, INT8_BYTES if int8 else FLOAT32_BYTES, BIAS_BYTES, fold_batch_norm=True),
        {name: figures.activation_bytes(name) for name in CONVENTIONS},
        wanted.predicted_bytes(running, int8),
    )


def file_facts(trained: TrainedNetwork, int8: bool) -> str:
    """Return what a program needs to know to use a file, as JSON to be stored in the file."""
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
            "from_file": asdict(preprocessing_of(info)),
            "validation_accuracy": trained.validation_accuracy,
            "test_accuracy": trained.test_accuracy,
            "accuracy": trained.settings.objective.accuracy,
            "weights_and_activations": "int8" if int8 else "float32",
            "licence": licence(),
        }
    )


def licence() -> str:
    """Return the licence of memnas itself."""
    return metadata.metadata("memnas")["License-Expression"]


def model_card(exported: Exported, running: Graph, least: LeastPeak) -> str:
    """Return the model card as Markdown.

    Args:
        exported: The file and the network in it.
        running: The network's layers in running order.
        least: Peak of this order in float32.
    """
    trained, wanted, opened, name = exported.trained, exported.wanted, exported.opened, exported.name
    info, shape = trained.info, Shape(*trained.info.shape)
    kernels = kernels_of(replace(trained.settings.objective, weight_bytes=1, activation_bytes=1))
    columns = [
        memory_column(
            measure(trained.architecture, Workload(shape, len(info.classes), width, width), scratch),
            running,
            wanted,
            is_int8,
        )
        for width, scratch, is_int8 in ((FLOAT32_BYTES, None, False), (INT8_BYTES, kernels, True))
    ]
    paragraphs = [
        f"# {name}",
        f"An image classifier found by memnas {metadata.version('memnas')}, network `{trained.row.arch_id}`, "
        f"as {wanted.described} in {'int8' if exported.int8 else 'float32'}: {len(exported.content):,} bytes.",
        "## Use",
        _use(trained, wanted, opened, name),
        "## Test vectors",
        _vectors(name, exported.vectors),
        "## Data and accuracy",
        _accuracy(trained, exported.check),
        "## Check of this file",
        _check(opened, exported.check),
        "## Memory for one image",
        _memory(columns, least, wanted, opened),
        *_firmware(exported.firmware),
        "## Network",
        f"`{trained.row.arch_id}`, trained in round {trained.row.round} of search `{trained.search}`. "
        "Batch norm is folded into the convolutions; layers run in the order listed, which needs the least memory"
        f"{'' if least.exact else ' of those found'}: {', '.join(layer.name for layer in running.layers)}.",
        "```json\n" + json.dumps(json.loads(trained.row.architecture)) + "\n```",
        "## Settings",
        _table(
            ("setting", "value"),
            [pair for pair in in_words(trained.settings).items() if pair[0].split(".")[0] in _SECTIONS],
        ),
        "## Versions",
        _table(("", "searched with", "exported with"), _versions(trained)),
        "## Licence",
        f"memnas is under {licence()} and claims no right in the networks that it finds. What may be done with a "
        f"network can depend on the images it was trained on: {info.source}.",
    ]
    return "\n\n".join(paragraphs) + "\n"


def _use(trained: TrainedNetwork, wanted: FileFormat, opened: OpenedFile, name: str) -> str:
    info, needs = trained.info, opened.needs
    shape, axes = input_layout(info, opened)
    lines = [
        f"- Input{_named(needs.input_name)}: {opened.input_dtype}, shape {shape}: {', '.join(axes)}. It is made "
        f"from an image file in these steps{'' if opened.scores is None else ', the last of them in the file'}:",
        *(f"  {number}. {step}" for number, step in enumerate(describe(info).steps, 1)),
        f"- Output{_named(needs.output_name)}: {opened.output_dtype}, shape (1, {len(info.classes)}): a score for each "
        f"class, in the order {', '.join(info.classes)}. The largest names the class; the softmax of all adds up to 1.",
        f"- Runtime: {opened.runtime}.",
    ]
    if opened.scores is not None:
        lines.append(f"- A score s stands for (s - {opened.scores.zero}) * {opened.scores.scale:.9g}.")
    if needs.operators:
        lines.append(f"- Operators that it must have: {', '.join(f'`{operator}`' for operator in needs.operators)}.")
    if wanted.carries_facts:
        lines.append("- The file carries facts about its use as JSON under the name `memnas`.")
    lines.append(f"- `{name}.json` says all this to programs.")
    return "\n".join(lines)


def input_layout(info: DatasetInfo, opened: OpenedFile) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the shape of a file's input, and the names of its axes."""
    channels, height, width = info.shape
    if opened.channels_last:
        return (1, height, width, channels), ("batch", "height", "width", "channels")
    return (1, channels, height, width), ("batch", "channels", "height", "width")


def _named(name: str) -> str:
    return f" `{name}`" if name else ""


def _vectors(name: str, vectors: Vectors) -> str:
    return (
        f"Test images {', '.join(map(str, vectors.places))} (counted from 0), as raw arrays, little-endian:\n\n"
        f"- `{name}.images.bin`: uint8, shape {vectors.images.shape}: images, height, width, channels; before the last "
        "step above.\n"
        f"- `{name}.inputs.bin`: {vectors.inputs.dtype}, shape {vectors.inputs.shape}: what this file was given.\n"
        f"- `{name}.outputs.bin`: {vectors.outputs.dtype}, shape {vectors.outputs.shape}: the scores that it gave."
    )


def tested_images(check: CheckResult, info: DatasetInfo) -> str:
    """Return in words which images a file was run on."""
    if check.images == info.test_size:
        return f"all {info.test_size} test images"
    return (
        f"{check.images} of {info.test_size} test images, evenly spread: numbers "
        f"round(linspace(0, {info.test_size - 1}, {check.images}))"
    )


def _accuracy(trained: TrainedNetwork, check: CheckResult) -> str:
    info, counts, measure = trained.info, trained.test_counts, measure_words(trained.settings.objective.accuracy)
    measured = "not measured by the search" if trained.test_accuracy is None else f"{trained.test_accuracy:.4f}"
    return _table(
        ("", ""),
        [
            ("data set", f"{info.name}: {info.source}"),
            ("images", f"{info.train_size} training, {info.validation_size} validation, {info.test_size} test"),
            ("digest", info.digest),
            ("weights", _origin(trained)),
            (f"validation {measure}{_measured_with(trained)}, as recorded", f"{trained.validation_accuracy:.4f}"),
            (f"test {measure}, as recorded, on all {info.test_size} test images", measured),
            *(() if counts is None else (("test images by class", beside_accuracy(info.classes, counts)),)),
            (f"accuracy of the torch network on {tested_images(check, info)}", f"{check.torch_accuracy:.4f}"),
            ("accuracy of this file on the same images", f"{check.file_accuracy:.4f}"),
        ],
    )


def _origin(trained: TrainedNetwork) -> str:
    if trained.retrained_epochs is None:
        return "those of the search"
    images = ", on the training and the validation images together" if _is_of_all_images(trained) else ""
    return f"retrained from nothing for {trained.retrained_epochs} epochs after the search{images}"


def _measured_with(trained: TrainedNetwork) -> str:
    return " with the weights of the search" if _is_of_all_images(trained) else ""


def _is_of_all_images(trained: TrainedNetwork) -> bool:
    return trained.retrained_epochs is not None and trained.settings.final.all_images


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


def _memory(columns: Sequence[MemoryColumn], least: LeastPeak, wanted: FileFormat, opened: OpenedFile) -> str:
    rows = [("weights and biases", *(f"{column.weights:,}" for column in columns))]
    rows += [(f"activations, `{name}`", *(f"{column.peaks[name]:,}" for column in columns)) for name in CONVENTIONS]
    for place, column in enumerate(columns):
        if column.predicted is not None:
            cells = ["", ""]
            cells[place] = f"{column.predicted:,}"
            rows.append((f"predicted: {wanted.prediction_words(int8=place == 1)}", *cells))
    text = _table(("bytes", "float32", "int8"), rows)
    if not least.exact:
        text += (
            f"\n\n`minimum` is the best order found; no order needs less than {least.lower_bound:,} bytes in float32."
        )
    if opened.planned_bytes is None:
        return text + f"\n\n{opened.runtime} has no plan for activations; what it allocates differs with its settings."
    text += (
        f"\n\nActivation memory that the file's own plan reserves: **{opened.planned_bytes:,} bytes**, with the image"
        f"{', the scores and the scratch memory of kernels' if opened.scores is None else ''}."
    )
    for bits, needs in opened.needs.allocators.items():
        text += (
            f" With {bits}-bit pointers the runtime's own tables take another {needs.method:,} bytes from its method "
            f"allocator, and {needs.temporary:,} from its temporary one while it loads."
        )
    return text


def _firmware(measured: Sequence[Firmware]) -> Iterator[str]:
    """Yield the paragraphs about a file on emulated cores; none if it was not emulated."""
    if not measured:
        return
    yield "## As firmware"
    yield (
        f"QEMU ran it on {len(measured[0].scores)} test images on each of these cores; every score was that of this "
        "machine. Flash is code, constants and vector table of the least firmware around the network, compiled by GCC "
        "with -O2; static RAM is all of its data, the arena; the stack is what the network's function took at the "
        "most. QEMU counts instructions, not cycles."
    )
    yield _table(
        ("core", "flash", "static RAM", "stack", "instructions an image"),
        [
            (
                one.core,
                f"{one.flash_bytes:,}",
                f"{one.ram_bytes:,}",
                f"{one.stack_bytes:,}",
                "too many to count" if one.instructions is None else f"{one.instructions:,}",
            )
            for one in measured
        ],
    )


def _versions(trained: TrainedNetwork) -> Iterator[tuple[str, str, str]]:
    before, now = dict(trained.start.versions), dict(versions())
    for name in dict.fromkeys((*before, *now)):
        yield name, before.get(name, "-"), now.get(name, "-")
    for package in dict.fromkeys(package for name in FORMATS for package in FORMATS[name].packages):
        try:
            yield package, "-", metadata.version(package)
        except metadata.PackageNotFoundError:
            continue


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]] | Iterator[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
