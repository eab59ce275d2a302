"""Names that people give to the folders of a split: `train`, `Training`, `training_set`, `seg_train`, `TestImages`."""

import re
from typing import Literal

SplitName = Literal["train", "validation", "test"]

_STEMS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "trainval": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "validate": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "tst": "test",
    "eval": "test",
    "evaluation": "test",
    "holdout": "test",
}
_WORD = re.compile(rf"({'|'.join(_STEMS)})(set|data|dataset|images?|imgs?|split)?\d*")


def split_named(name: str) -> SplitName | None:
    """Return the split that a folder's name means, whatever its case and affixes; None if it means none or two.

    Training and validation images together (`trainval`, `train_val`) are training images, of which validation is held
    out. `dev` is a validation set, `eval` a test set.
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = [found for word in re.split(r"[\W_]+", apart.lower()) if (found := _WORD.fullmatch(word))]
    meant = {_STEMS[word[1]] for word in words}
    if meant == {"train", "validation"}:
        return "train"
    return meant.pop() if len(meant) == 1 else None
