"""A split as an Arrow IPC file that is memory-mapped without a copy.

The file holds a single record batch, uncompressed, with the columns

    image  fixed_shape_tensor<uint8, (channels, height, width)>   Arrow's canonical tensor type
    label  int64

A single batch makes all images one contiguous buffer, so that numpy sees them as one array over the
mapped file; every process that maps it shares the same pages.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from memnas_core.data.source import ImageArray, LabelArray
from memnas_core.errors import RecordError
from memnas_core.files.writing import storage_errors

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Split:
    """Images and their classes, read-only.

    Attributes:
        images: uint8, shape (n, channels, height, width), a view of the mapped file. Index it before making a
            tensor of it: torch warns about memory that it may not write.
        labels: Class of every image, shape (n,).
    """

    images: ImageArray
    labels: LabelArray


def write_split(path: Path, batches: Iterator[ImageArray], labels: LabelArray, shape: Shape) -> None:
    """Write a split batch by batch, without holding all its images in memory.

    The pixels go to a scratch file first, because Arrow writes a record batch only as a whole; the batch is then a view
    of the mapped scratch file.

    Args:
        path: The Arrow file.
        batches: Image arrays of shape (b, *shape) that together have as many images as there are labels.
        labels: Classes, shape (n,).
        shape: Channels, height and width of an image.

    Raises:
        StorageError: The disk is full or cannot be written.
    """
    scratch = path.with_suffix(".pixels")
    with storage_errors(path):
        file = scratch.open("wb", buffering=0)  # unbuffered, so that a full disk shows in `write` and not in closing
    with file:
        for batch in batches:
            rest = np.ascontiguousarray(batch).data.cast("B")
            with storage_errors(path):
                while rest:
                    rest = rest[file.write(rest) :]
    with storage_errors(path):
        with pa.memory_map(str(scratch)) as mapped:
            _write_batch(path, mapped.read_buffer(), labels, shape)
        scratch.unlink()


def map_split(path: Path, shape: Shape, size: int, class_count: int) -> Split:
    """Map a split that `write_split` wrote into memory.

    Args:
        path: The Arrow file.
        shape: Expected channels, height and width.
        size: Expected number of images.
        class_count: Number of classes; every label must be below it.

    Raises:
        RecordError: The file is missing, truncated or holds something else.
    """
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        if reader.schema != _schema(shape) or reader.num_record_batches != 1:
            raise RecordError(f"{path}: expected one batch of {shape} images, found {_shown(reader)}")
        batch = reader.get_batch(0)
        if batch.num_rows != size:
            raise RecordError(f"{path}: expected {size} images, found {batch.num_rows}")
        batch.validate()
        images: ImageArray = batch.column("image").to_numpy_ndarray()
        labels: LabelArray = batch.column("label").to_numpy(zero_copy_only=True)
    except FileNotFoundError:
        raise RecordError(f"{path}: expected a file with {size} images, found none") from None
    except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: column names that are not UTF-8
        raise RecordError(f"{path}: expected an Arrow file, found a damaged one ({error})") from error
    if labels.min() < 0 or labels.max() >= class_count:
        found = f"{labels.min()} to {labels.max()}"
        raise RecordError(f"{path}: expected labels from 0 to {class_count - 1}, found {found}")
    return Split(images, labels)


def _schema(shape: Shape) -> pa.Schema:
    tensor = pa.fixed_shape_tensor(pa.uint8(), shape, dim_names=("channel", "row", "column"))
    return pa.schema([pa.field("image", tensor, nullable=False), pa.field("label", pa.int64(), nullable=False)])


def _write_batch(path: Path, pixels: pa.Buffer, labels: LabelArray, shape: Shape) -> None:
    schema, pixels_an_image = _schema(shape), int(np.prod(shape))
    assert pixels.size == len(labels) * pixels_an_image, "a reader gave too few or too many images"
    values = pa.Array.from_buffers(pa.uint8(), pixels.size, [None, pixels])
    images = pa.ExtensionArray.from_storage(
        schema.field("image").type, pa.FixedSizeListArray.from_arrays(values, pixels_an_image)
    )
    # ImageNet has more pixels than the 2**31 values that Arrow allows by default for the sake of old readers.
    options = pa.ipc.IpcWriteOptions(allow_64bit=True)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema, options=options) as writer:
        writer.write_batch(pa.record_batch([images, pa.array(labels)], schema=schema))


def _shown(reader: pa.RecordBatchFileReader) -> str:
    columns = ", ".join(f"{field.name}: {field.type}" for field in reader.schema)
    return f"{reader.num_record_batches} of ({columns})"
