"""What a person may call a network, and what they are told if there is none of that name."""

import shutil
from pathlib import Path

import pytest

from memnas_core.errors import InputError, RecordError
from memnas_core.export.store import find_trained
from memnas_core.records.trainings import Status
from tests.core.export.conftest import SmallStore


def test_a_search_means_its_chosen_network(store: SmallStore) -> None:
    found = find_trained(store.path, "letters")
    assert found.row == store.chosen
    assert found.weights == store.finished.folder.chosen / "weights.safetensors"
    assert (found.validation_accuracy, found.test_accuracy, found.retrained_epochs) == (0.8125, 0.6875, 7)
    assert found.info.name == "digits"
    assert (found.dataset / "test.arrow").is_file()
    assert found.settings.training.epochs == 20


def test_a_candidate_means_the_weights_of_the_search(store: SmallStore) -> None:
    row = store.chosen
    for target in (f"letters/{row.arch_id}", f"letters/{row.arch_id[:6]}", row.arch_id, row.arch_id[:6].upper()):
        found = find_trained(store.path, target)
        assert found.row == row
        assert found.weights == store.finished.folder.weights(1, row.arch_id)
        assert (found.validation_accuracy, found.test_accuracy, found.retrained_epochs) == (
            row.measured_accuracy,
            None,
            None,
        )


def test_what_two_searches_trained_must_be_told_apart(store: SmallStore) -> None:
    seed = store.finished.rows[0].arch_id
    assert seed == store.unfinished.rows[0].arch_id
    with pytest.raises(InputError, match=rf"found 2; give one of figures/{seed}, letters/{seed}"):
        find_trained(store.path, seed)
    assert find_trained(store.path, f"figures/{seed}").search == "figures"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("leters", r"expected a search or a trained candidate, found no trained network; the nearest: letters"),
        ("leters/12", r"found no search of the name 'leters'; the nearest: letters"),
        ("", "expected a search or a trained candidate"),
        ("letters/", None),
        ("figures", r"go on with it with memnas search --name figures --resume, or name a candidate: figures/ID"),
    ],
)
def test_unknown(target: str, words: str | None, store: SmallStore) -> None:
    if words is None:
        assert find_trained(store.path, target).row == store.chosen
        return
    with pytest.raises(InputError, match=words):
        find_trained(store.path, target)


def test_a_mistyped_id_names_the_nearest(store: SmallStore) -> None:
    arch_id = store.chosen.arch_id
    mistyped = ("0" if arch_id[0] != "0" else "1") + arch_id[1:]
    with pytest.raises(InputError, match=rf"the nearest: .*letters/{arch_id}"):
        find_trained(store.path, f"letters/{mistyped}")


def test_a_candidate_that_failed_is_no_trained_one(store: SmallStore) -> None:
    failed = next(row for row in store.finished.rows if row.status is Status.DIVERGED)
    with pytest.raises(InputError, match="found no trained network"):
        find_trained(store.path, f"letters/{failed.arch_id}")


def test_an_empty_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a store with searches, found none; run memnas search"):
        find_trained(tmp_path, "digits")


def test_missing_weights_and_images(store: SmallStore, tmp_path: Path) -> None:
    copy = tmp_path / "store"
    shutil.copytree(store.path, copy)
    arch_id = store.chosen.arch_id
    (copy / "searches" / "letters" / "rounds" / "round-01" / "weights" / f"{arch_id}.safetensors").unlink()
    with pytest.raises(
        RecordError, match=rf"expected the weights of {arch_id}, found none; restore them: dvc checkout"
    ):
        find_trained(copy, f"letters/{arch_id}")
    shutil.rmtree(copy / "data")
    with pytest.raises(RecordError, match=r"expected the images of search 'letters' \(digits, digest"):
        _ = find_trained(copy, "letters").dataset
