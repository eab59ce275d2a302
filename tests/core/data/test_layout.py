"""Which folders are classes and which are splits, and what is refused because it could be either."""

from pathlib import Path

import pytest

from memnas_core.data.layout import Layout, find_layout
from memnas_core.data.split_names import split_named
from memnas_core.errors import DataError


def folder(root: Path, *places: str, images: int = 2) -> Path:
    """Make a folder with so many empty image files at each place; a layout is made of names alone."""
    for place in places:
        (root / place).mkdir(parents=True, exist_ok=True)
        for number in range(images):
            (root / place / f"{number}.jpg").touch()
    return root


def splits(root: Path, *names: str, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    return folder(root, *(f"{name}/{one}" for name in names for one in classes))


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"), ("Training", "train"), ("training_set", "train"), ("seg_train", "train"),
        ("TRAIN", "train"), ("trainval", "train"), ("train_val", "train"), ("TrainImages", "train"),
        ("train2017", "train"),
        ("val", "validation"), ("Validation", "validation"), ("valid", "validation"), ("dev", "validation"),
        ("val_set", "validation"), ("test", "test"), ("Testing", "test"), ("test_set", "test"), ("seg_test", "test"),
        ("eval", "test"), ("testset", "test"), ("holdout", "test"),
        ("cat", None), ("trainer", None), ("protest", None), ("valley", None), ("train-test", None), ("strain", None),
        ("testimony", None), ("fold0", None),
    ],
)  # fmt: skip
def test_names_of_splits(name: str, split: str | None) -> None:
    assert split_named(name) == split


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (("Training", "Testing"), {"train": "Training", "test": "Testing"}),
        (("training_set/training_set", "test_set/test_set"),
         {"train": "training_set/training_set", "test": "test_set/test_set"}),
        (("Train", "Test", "Validation"), {"train": "Train", "validation": "Validation", "test": "Test"}),
        (("seg_train/seg_train", "seg_test/seg_test"),
         {"train": "seg_train/seg_train", "test": "seg_test/seg_test"}),
        (("training", "testing"), {"train": "training", "test": "testing"}),
        (("trainval", "test"), {"train": "trainval", "test": "test"}),
        (("train", "dev", "eval"), {"train": "train", "validation": "dev", "test": "eval"}),
        (("train", "val"), {"train": "train", "test": "val"}),  # as in ImageNet
        (("dataset/train", "dataset/test"), {"train": "dataset/train", "test": "dataset/test"}),
        (("a/b/train", "a/b/test"), {"train": "a/b/train", "test": "a/b/test"}),
    ],
)  # fmt: skip
def test_folders_of_splits(names: tuple[str, ...], given: dict[str, str], tmp_path: Path) -> None:
    layout = find_layout(splits(tmp_path, *names))
    assert layout.places() == given
    assert layout.classes == ("cat", "dog")
    assert layout.counts() == {name: {"cat": 2, "dog": 2} for name in given}
    assert layout.warnings == ()


def test_a_folder_around_the_classes(tmp_path: Path) -> None:
    layout = find_layout(folder(tmp_path, "dataset/cat", "dataset/dog"))
    assert (layout.places(), layout.classes) == ({"train": "dataset"}, ("cat", "dog"))


@pytest.mark.parametrize("names", [("cat", "dog", "test"), ("test", "valid"), ("eval", "train", "x")])
def test_classes_may_be_called_as_splits_are(names: tuple[str, ...], tmp_path: Path) -> None:
    if "train" in names:  # a class whose images lie in it directly
        assert find_layout(folder(tmp_path, *names)).classes == names
        return
    if names == ("test", "valid"):  # nothing but names of splits
        with pytest.raises(DataError, match="images without one; sort the images into class folders"):
            find_layout(folder(tmp_path, *names))
        return
    assert find_layout(folder(tmp_path, *names)).classes == names


def test_training_images_without_class_folders_beside_a_test_set_that_has_them(tmp_path: Path) -> None:
    """They would become the classes `test` and `train`."""
    root = folder(splits(tmp_path, "test"), "train")
    with pytest.raises(DataError, match="a folder for each class in train, found images without one; sort the images"):
        find_layout(root)


def test_a_class_called_test_within_splits(tmp_path: Path) -> None:
    layout = find_layout(splits(tmp_path, "train", "test", classes=("cat", "test")))
    assert layout.counts() == {"train": {"cat": 2, "test": 2}, "test": {"cat": 2, "test": 2}}


@pytest.mark.parametrize("names", [("fold0", "fold1", "fold2"), ("a", "b"), ("old", "test"), ("2019", "2020")])
def test_equal_folders_are_splits_or_are_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"that hold the same folders \(cat, dog\); if these are the classes, name"):
        find_layout(splits(tmp_path, *names))


def test_folds_of_which_one_lacks_a_class(tmp_path: Path) -> None:
    root = splits(tmp_path, "fold0", "fold1", classes=("cat", "dog", "eel"))
    for path in (root / "fold1" / "eel").iterdir():
        path.unlink()
    (root / "fold1" / "eel").rmdir()
    with pytest.raises(DataError, match="that hold the same folders"):
        find_layout(root)


def test_classes_with_folders_of_one_name_each_are_classes(tmp_path: Path) -> None:
    """As in Tiny ImageNet: `n01443537/images/...`."""
    assert find_layout(splits(tmp_path, "cat", "dog", classes=("images",))).classes == ("cat", "dog")


def test_two_folders_for_one_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one folder for train, found train_1, train_2; put their images together"):
        find_layout(splits(tmp_path, "train_1", "train_2", "test"))


@pytest.mark.parametrize("names", [("images", "masks"), ("JPEGImages", "Annotations"), ("images", "labels")])
def test_pictures_and_their_masks(names: tuple[str, ...], tmp_path: Path) -> None:
    for root in (folder(tmp_path / "flat", *names), splits(tmp_path / "yolo", *names, classes=("train", "val"))):
        with pytest.raises(DataError, match="look like pictures and their masks or labels"):
            find_layout(root)
    with pytest.raises(DataError, match="look like pictures and their masks or labels"):
        find_layout(splits(tmp_path / "split", "train", "test", classes=names))


@pytest.mark.parametrize("place", ["test", "test/unknown"])
def test_a_test_set_without_labels_is_left_out_with_a_word(place: str, tmp_path: Path) -> None:
    layout = find_layout(folder(splits(tmp_path, "train"), place, images=5))
    assert list(layout.listings) == ["train"]
    assert layout.classes == ("cat", "dog")
    assert "beside train, these folders are not used: test" in layout.warnings[0]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_class_that_validation_lacks(is_there: bool, tmp_path: Path) -> None:
    root = folder(splits(tmp_path, "train", "test", "val"), "train/eel", "test/eel")
    if is_there:
        (root / "val" / "eel").mkdir()
    with pytest.raises(DataError, match=r"val: .* as in train, found no images of eel; add .*, or move val elsewhere"):
        find_layout(root)


def test_names_that_differ_only_in_case_or_accents(tmp_path: Path) -> None:
    for number, (one, other) in enumerate([("Cat", "cat"), ("caf\u00e9", "cafe\u0301")]):
        root = tmp_path / str(number)
        with pytest.raises(DataError, match=r"class names that differ, found .* put their images together, or rename"):
            find_layout(folder(root / "beside", one, other))
        with pytest.raises(DataError, match="which differ only in case or accents; give both the same name"):
            find_layout(folder(root / "split", f"train/{one}", "train/dog", f"test/{other}", "test/dog"))


@pytest.mark.parametrize(
    "litter",
    [
        "@eaDir",
        "__MACOSX",
        "__pycache__",
        "lost+found",
        "$RECYCLE.BIN",
        ".ipynb_checkpoints",
        "System Volume Information",
    ],
)
def test_litter(litter: str, tmp_path: Path) -> None:
    plain = find_layout(folder(tmp_path, "cat", "dog"))
    littered = find_layout(folder(tmp_path, litter, f"cat/{litter}", f"dog/{litter}/0.jpg"))
    assert littered.paths == plain.paths
    assert littered.warnings == ()


def test_a_class_whose_name_begins_with_a_dot_is_named(tmp_path: Path) -> None:
    (warning,) = find_layout(folder(tmp_path, ".NET", "Java", "Rust")).warnings
    assert "begin with a dot are not used: .NET; rename those that are classes" in warning


def test_suffixes(tmp_path: Path) -> None:
    root = folder(tmp_path, "cat", "dog", images=0)
    for suffix in ("jfif", "jpe", "JPG"):
        (root / "cat" / f"x.{suffix}").touch()
    for name in ("a.png", "b.heic", "c.HEIC", "d.avif", "e.txt"):
        (root / "dog" / name).touch()
    layout = find_layout(root)
    assert layout.counts() == {"train": {"cat": 3, "dog": 1}}
    assert layout.warnings[0].endswith(
        "not used as images: 2 .heic (convert them to JPEG, for example with the package pillow-heif), 1 .avif "
        "(convert them to JPEG or PNG, for example with the package Pillow from 11.3 on), 1 .txt"
    )


def test_links_that_leave_the_folder_are_followed_if_asked(tmp_path: Path) -> None:
    folder(tmp_path / "else", "cat", "dog")
    (tmp_path / "set").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "else" / name)
    with pytest.raises(DataError, match=r"links that stay within .*data\.follow_links=true"):
        find_layout(tmp_path / "set")
    assert _names(find_layout(tmp_path / "set", follow_links=True)) == [
        "cat/0.jpg",
        "cat/1.jpg",
        "dog/0.jpg",
        "dog/1.jpg",
    ]


def test_images_are_sorted_by_the_folders_and_names_of_their_paths(tmp_path: Path) -> None:
    """A folder stands where its name does among the files; links to nowhere or to themselves are no folders."""
    root = folder(tmp_path, "cat/a", "cat/b/c", "cat", "dog")
    (root / "cat" / "a.jpg").touch()
    (root / "cat" / "loop").symlink_to("loop")
    (root / "cat" / "gone.jpg").symlink_to("nowhere.jpg")
    (root / "dog" / "again").symlink_to(root / "dog")
    layout = find_layout(root)
    expected = [path for path in root.rglob("*.jpg") if "again" not in path.parts]
    assert list(layout.paths) == sorted(expected)
    assert "1 loop" in layout.warnings[0]


def _names(layout: Layout) -> list[str]:
    return [str(path.relative_to(layout.root)) for path in layout.paths]


def test_codes_of_terminals_do_not_get_through(tmp_path: Path) -> None:
    root = folder(tmp_path, "cat", "dog")
    (root / "cat" / "x.\x1b[2Jtxt").touch()
    (warning,) = find_layout(root).warnings
    assert warning.isprintable()
    assert "\\x1b[2jtxt" in warning
