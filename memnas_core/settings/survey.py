"""What is known of a folder of images before settings are proposed for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SizeRange:
    """Widths or heights of images in pixels."""

    smallest: int
    median: int
    largest: int


@dataclass(frozen=True, slots=True)
class Survey:
    """A look at a folder of images, none of which was changed. `memnas_core.data.survey` makes it.

    Attributes:
        folder: The folder, absolute.
        classes: Names of the classes.
        counts: Number of images, by split and class, as they lie in the folder: `train` alone where validation and test
            images will be held out of it.
        splits: Folder that each split was taken from, relative to `folder`; `.` for the folder itself.
        width: Widths of the images (of at most 500 of them, evenly spaced).
        height: Heights of the same images.
        aspect: Median of the longer side divided by the shorter one, of the same images.
        channels: 1 where all of these are grey, else 3.
        mean: Mean of each channel over these images, decoded small, on the scale where white is 1.
        std: Standard deviation of each channel, on the same scale.
        decode_seconds: Mean time to read and shrink one of these images on one core.
        is_mirrored: Whether a mirrored image still shows its class; None where names of classes do not tell.
        warnings: What was left out or is doubtful, in sentences.
    """

    folder: Path
    classes: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]
    splits: Mapping[str, str]
    width: SizeRange
    height: SizeRange
    aspect: float
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    decode_seconds: float
    is_mirrored: bool | None
    warnings: tuple[str, ...]

    def images(self, split: str | None = None) -> int:
        """Return the number of images of one split, or of all."""
        return sum(sum(classes.values()) for name, classes in self.counts.items() if split in (None, name))

    def train_and_validation(self, fraction: float) -> tuple[int, int]:
        """Return the number of training and of validation images, when what the folder lacks has been held out.

        Args:
            fraction: Share of the training images that is held out for each missing split.
        """
        left = self.images("train") * (1.0 if "test" in self.counts else 1 - fraction)
        if "validation" in self.counts:
            return max(1, round(left)), self.images("validation")
        return max(1, round(left * (1 - fraction))), round(left * fraction)
