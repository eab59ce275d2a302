"""Any damage to any file that memnas reads gives a result or one of memnas's own errors, never another exception."""

import gzip
import io
import json
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from memnas_core.data import decoding, open_dataset
from memnas_core.data.fashion_mnist import read_idx
from memnas_core.data.preprocessing import FORMATS, Preprocessing
from memnas_core.errors import MemnasError
from memnas_core.memory.report import memory_report
from memnas_core.records.candidates import read_candidates
from memnas_core.results.folder import SearchFolder
from memnas_core.results.report import write_report
from memnas_core.settings.file import load_settings
from memnas_core.space.architecture_json import from_json
from memnas_core.space.graph import lower
from memnas_core.space.layers import Shape
from memnas_core.tracing.program import trace_program
from memnas_core.training.record import read_record
from memnas_core.training.worker import load_network
from tests.core.small_search import INFO, SETTINGS, SHAPE
from tests.security.conftest import SEARCH
from tests.security.malformed_networks import GOOD
from tests.security.mutations import spoilt_bytes, spoilt_json

EXAMPLES = 60
some = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def tried(path: Path, content: bytes, read: Callable[[], object]) -> None:
    """Read a file that holds something else for a moment; only memnas's own errors may come of it."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        with suppress(MemnasError):
            read()
    finally:
        path.write_bytes(before)


@given(data=st.data())
@some
def test_settings(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    good = f"store: store\n{SETTINGS}".encode()
    path.write_bytes(good)
    tried(path, data.draw(spoilt_bytes(good)), lambda: load_settings(path))
    with suppress(MemnasError):
        load_settings(path, [data.draw(st.text(max_size=20)), f"search.seed={data.draw(st.text(max_size=20))}"])


@given(st.one_of(spoilt_json(GOOD), spoilt_bytes(GOOD.encode()).map(lambda content: content.decode("latin-1"))))
@some
def test_architectures(text: str) -> None:
    with suppress(MemnasError):
        memory_report(lower(from_json(text), Shape(3, 8, 8), 10), 4, 4).document()


@pytest.fixture
def folder(store: Path) -> SearchFolder:
    return SearchFolder(store / "searches" / SEARCH)


@given(data=st.data())
@settings(some, max_examples=2 * EXAMPLES)
def test_texts_of_a_search(data: st.DataObject, folder: SearchFolder) -> None:
    names = ("start.json", "rounds/round-00/round.json", "rounds/round-01/round.json", "chosen/chosen.json")
    path = folder.path / data.draw(st.sampled_from((*names, "chosen/training.json")))
    good = path.read_text()
    content = data.draw(st.one_of(spoilt_json(good).map(str.encode), spoilt_bytes(good.encode())))

    def read() -> None:
        folder.start()
        list(folder.rounds())
        folder.read_chosen()
        read_record(folder.chosen)

    tried(path, content, read)


@given(data=st.data())
@settings(some, max_examples=25)
def test_reports_of_texts_that_contradict_each_other(data: st.DataObject, folder: SearchFolder) -> None:
    path = folder.path / data.draw(
        st.sampled_from(("start.json", "rounds/round-01/round.json", "chosen/training.json"))
    )
    tried(path, data.draw(spoilt_json(path.read_text())).encode(), lambda: write_report(folder))


@given(data=st.data())
@settings(some, max_examples=3 * EXAMPLES)
def test_tables(data: st.DataObject, folder: SearchFolder) -> None:
    path = folder.round_folder(1) / "candidates.parquet"
    tried(path, data.draw(spoilt_bytes(path.read_bytes())), lambda: read_candidates(path))


@given(data=st.data())
@some
def test_weights(data: st.DataObject, folder: SearchFolder) -> None:
    path = folder.chosen / "weights.safetensors"
    architecture = from_json((folder.chosen / "architecture.json").read_text())
    good = path.read_bytes()
    header = 8 + struct.unpack("<Q", good[:8])[0]
    content = data.draw(spoilt_bytes(good[:header])) + good[header:]  # faults among the weights are numbers
    tried(path, content, lambda: load_network(architecture, path, INFO))


@given(data=st.data())
@some
def test_prepared_images(data: st.DataObject, store: Path) -> None:
    (folder,) = (store / "data").glob("digits-*")
    path = folder / data.draw(st.sampled_from(("dataset.json", "test.arrow")))

    def read() -> None:
        open_dataset(folder).test.images.sum()

    tried(path, data.draw(spoilt_bytes(path.read_bytes())), read)


def test_the_shape_is_that_of_the_search() -> None:
    assert tuple(SHAPE) == INFO.shape


@given(data=st.data())
@some
def test_idx(data: st.DataObject, tmp_path: Path) -> None:
    raw = struct.pack(">4B3I", 0, 0, 8, 3, 5, 28, 28) + bytes(5 * 784)
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(raw))
    content = data.draw(st.one_of(spoilt_bytes(path.read_bytes()), spoilt_bytes(raw).map(gzip.compress)))
    tried(path, content, lambda: read_idx(path, 3))


def _image(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, kind)
    return made.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
@given(data=st.data())
@some
def test_images(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(_image(kind))

    def read() -> None:
        list(decoding.decode([path], Preprocessing(8, 3, "center_crop"), [path], tmp_path))

    tried(path, data.draw(spoilt_bytes(path.read_bytes())), read)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "network.pt2"
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
    torch.export.save(torch.export.export(network, (torch.zeros(1, 3, 8, 8),)), path)
    return path


@given(data=st.data())
@settings(some, max_examples=2 * EXAMPLES)
def test_exported_programs(data: st.DataObject, program: Path) -> None:
    from tests.core.tracing.test_program import rewritten

    if data.draw(st.booleans()):
        tried(program, data.draw(spoilt_bytes(program.read_bytes())), lambda: trace_program(program))
        return

    def change(document: dict[str, object]) -> None:
        spoilt = json.loads(data.draw(spoilt_json(json.dumps(document))))
        document.clear()
        document.update(spoilt if isinstance(spoilt, dict) else {})

    path = rewritten(program, program.with_name("changed.pt2"), change)
    tried(path, path.read_bytes(), lambda: trace_program(path))
