"""Pickles where somebody could put one that a careless reader would open: none of them runs."""

import json
import pickle
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from memnas_core.data.split_file import map_split
from memnas_core.errors import RecordError
from memnas_core.records.candidates import read_candidates
from memnas_core.results.folder import SearchFolder
from memnas_core.space.architecture_json import from_json
from memnas_core.training.worker import load_network
from tests.core.small_search import INFO
from tests.security.conftest import SEARCH
from tests.security.spoiling import MARK, Canary, torch_pickled

EXTENSION = {
    b"ARROW:extension:name": b"arrow.py_extension_type",  # unpickled what follows in pyarrow before 14.0.1
    b"ARROW:extension:metadata": pickle.dumps(Canary()),
}
PANDAS = {b"pandas": json.dumps({"columns": [], "index_columns": [], "pandas_version": "1"}).encode()}


@pytest.fixture
def folder(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SearchFolder:
    monkeypatch.chdir(tmp_path)
    return SearchFolder(store / "searches" / SEARCH)


def test_the_canary_sings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch_pickled(Path("weights.pth"))
    torch.load("weights.pth", weights_only=False)
    assert Path(MARK).exists()


@pytest.mark.parametrize("write", [torch_pickled, lambda path: path.write_bytes(pickle.dumps(Canary()))])
def test_pickled_weights(write: Callable[[Path], object], folder: SearchFolder) -> None:
    architecture = from_json((folder.chosen / "architecture.json").read_text())
    write(folder.chosen / "weights.safetensors")
    with pytest.raises(RecordError, match=r"weights\.safetensors: expected the weights of"):
        load_network(architecture, folder.chosen / "weights.safetensors", INFO)
    assert not Path(MARK).exists()


def test_a_pickle_in_the_schema_of_a_table(folder: SearchFolder) -> None:
    path = folder.round_folder(1) / "candidates.parquet"
    good = read_candidates(path)
    table = pq.read_table(path)
    fields = [field.with_metadata(EXTENSION) for field in table.schema]
    pq.write_table(pa.Table.from_arrays(table.columns, schema=pa.schema(fields, metadata=PANDAS)), path)
    assert b"arrow.py_extension_type" in b64decode(pq.read_metadata(path).metadata[b"ARROW:schema"])
    assert read_candidates(path) == good
    assert not Path(MARK).exists()


def test_a_pickle_in_the_schema_of_images(store: Path, folder: SearchFolder) -> None:
    (path,) = (store / "data").glob("*/test.arrow")
    with pa.ipc.open_file(path) as reader:
        batch = reader.get_batch(0)
    labels = pa.field("label", pa.int64(), nullable=False, metadata=EXTENSION)
    schema = pa.schema([batch.schema.field(0), labels], metadata=PANDAS)
    images, values = batch.columns
    copied = pa.array(values.to_pylist())
    rewritten = pa.record_batch([pa.array(images.to_pylist(), images.type), copied], schema=schema)
    with pa.ipc.new_file(str(path), schema) as writer:
        writer.write_batch(rewritten)
    split = map_split(path, (1, 8, 8), len(copied), 10)
    assert split.labels.tolist() == copied.to_pylist()
    assert not Path(MARK).exists()
    assert folder.exists
