"""The data sheet of an exported file: all that a program or a firmware needs to use it, as JSON beside the file."""

import hashlib
import json
import math

import numpy as np

from memnas_core.data.description import input_facts
from memnas_core.export.card import file_facts, input_layout, tested_images
from memnas_core.export.exported import Exported
from memnas_core.export.file_format import OpenedFile
from memnas_core.export.store import TrainedNetwork
from memnas_core.export.vectors import ARRAYS, Vectors

VERSION = 1
"""Grows when a key changes its meaning or goes away."""


def data_sheet(exported: Exported) -> str:
    """Return the data sheet of a file."""
    trained, opened, check = exported.trained, exported.opened, exported.check
    name, content, info = exported.name, exported.content, trained.info
    facts = json.loads(file_facts(trained, exported.int8))
    sheet = {
        "version": VERSION,
        "file": {
            "name": name,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "format": exported.wanted.name,
            "runtime": opened.runtime,
        },
        "input": _input(trained, opened),
        "output": {
            "name": opened.needs.output_name or None,
            "dtype": opened.output_dtype,
            **({} if opened.scores is None else {"scale": opened.scores.scale, "zero": opened.scores.zero}),
            "shape": (1, len(info.classes)),
            "meaning": "a score for each class; the largest names the class; their softmax adds up to 1",
            "classes": info.classes,
        },
        "memory": {
            "planned_bytes": opened.planned_bytes,
            "planned_buffers_bytes": opened.needs.buffers,
            "allocators": [
                {"pointer_bits": bits, "method_bytes": needs.method, "temporary_bytes": needs.temporary}
                for bits, needs in opened.needs.allocators.items()
            ],
            "input_bytes": np.dtype(opened.input_dtype).itemsize * math.prod(info.shape),
        },
        "firmware": [
            {
                "core": one.core,
                "flash_bytes": one.flash_bytes,
                "ram_bytes": one.ram_bytes,
                "stack_bytes": one.stack_bytes,
                "instructions": one.instructions,
                "images": len(one.scores),
            }
            for one in exported.firmware
        ],
        "operators": opened.needs.operators,
        "accuracy": {
            "images": tested_images(check, info),
            "count": check.images,
            "data_set": info.name,
            "data_digest": info.digest,
            "this_file": check.file_accuracy,
            "torch_network": check.torch_accuracy,
            "same_class": check.same_classes,
            "ran_by": opened.ran_by,
        },
        "test_vectors": _vectors(name, exported.vectors, trained),
        "network": facts,
    }
    return json.dumps(sheet, indent=2) + "\n"


def vector_names(name: str) -> dict[str, str]:
    """Return the names of the files with test vectors, by the name of the array.

    Args:
        name: Name of the exported file.
    """
    return {what: f"{name}.{what}.bin" for what in ARRAYS}


def _input(trained: TrainedNetwork, opened: OpenedFile) -> dict[str, object]:
    shape, axes = input_layout(trained.info, opened)
    return {
        "name": opened.needs.input_name or None,
        "dtype": opened.input_dtype,
        "shape": shape,
        "axes": axes,
        **input_facts(trained.info),
    }


def _vectors(name: str, vectors: Vectors, trained: TrainedNetwork) -> dict[str, object]:
    last, first = ("count", "height", "width", "channels"), ("count", "channels", "height", "width")
    axes = {"images": last, "inputs": last if vectors.is_channels_last else first, "outputs": ("count", "classes")}
    arrays = vectors.arrays()
    shapes = {what: array.shape for what, array in arrays.items()}
    classes = trained.info.classes
    return {
        "test_images": vectors.places,
        "classes": [classes[int(row.argmax())] for row in vectors.outputs],
        "byte_order": "little",
        "files": {
            what: {"name": file, "dtype": str(arrays[what].dtype), "shape": shapes[what], "axes": axes[what]}
            for what, file in vector_names(name).items()
        },
    }
