"""How an image file becomes a network's input, in figures and in words, for those who do it elsewhere."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from memnas_core.data.dataset import DatasetInfo
from memnas_core.data.preprocessing import Preprocessing

PIXEL_SCALE = 1 / 255


@dataclass(frozen=True, slots=True)
class Description:
    """How an image file becomes a network's input.

    Attributes:
        from_file: What turns a file into unsigned bytes of shape (channels, side, side).
        channel_order: Name of each channel.
        pixel_scale: Factor by which these bytes are multiplied.
        mean: What is subtracted from each channel after that.
        std: By what each channel is divided after that.
    """

    from_file: Preprocessing
    channel_order: tuple[str, ...]
    pixel_scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps in their order, a sentence each."""
        file = self.from_file
        rotation = "The EXIF orientation, if there is one, turns the picture upright."
        grey = "grey (0.299 red + 0.587 green + 0.114 blue)"
        return (
            rotation if file.exif_rotation else "The EXIF orientation is not applied.",
            f"16-bit values are multiplied by 255 / {file.white} and cut off at 255; 8-bit values stay.",
            f"{_resized(file)} The filter is {_FILTERS[file.filter]}. A JPEG may be decoded at 1/2, 1/4 or 1/8 before, "
            f"as long as neither side falls below {2 * file.side} pixels.",
            f"Transparent pixels are blended with grey level {file.background}.",
            f"The pixels become {grey if file.channels == 1 else 'red, green and blue, in this order'}: "
            "bytes from 0 to 255. Without transparency this comes before the resizing.",
            f"Each byte becomes (byte / 255 - mean) / std, with mean {figures(self.mean)} and std {figures(self.std)} "
            "of its channel.",
        )


_FILTERS = {"triangle": "a triangle that widens as a picture shrinks (antialiased bilinear; Pillow's BILINEAR)"}


def describe(info: DatasetInfo) -> Description:
    """Return how a file becomes an input for networks that were trained on a data set.

    Args:
        info: Facts about the data set.
    """
    return Description(
        from_file=preprocessing_of(info),
        channel_order=("grey",) if info.shape[0] == 1 else ("red", "green", "blue"),
        pixel_scale=PIXEL_SCALE,
        mean=info.channel_mean,
        std=info.channel_std,
    )


def input_facts(info: DatasetInfo) -> dict[str, object]:
    """Return `describe(info)` as entries of a JSON document, with the steps in words."""
    described = describe(info)
    return {**asdict(described), "steps": described.steps}


def preprocessing_of(info: DatasetInfo) -> Preprocessing:
    """Return what turns a file into such an image as a data set has.

    A data set that comes as arrays, and one that an older memnas prepared, has no record of it; their images are
    resized by the centre crop, and so is a file.
    """
    if info.preprocessing is not None:
        return info.preprocessing
    return Preprocessing(side=info.shape[1], channels=1 if info.shape[0] == 1 else 3, resize="center_crop")


def figures(values: Sequence[float]) -> str:
    """Return numbers in parentheses, in full float32 precision."""
    return f"({', '.join(f'{value:.9g}' for value in values)})"


def _resized(file: Preprocessing) -> str:
    side = file.side
    match file.resize:
        case "center_crop":
            return f"The shorter side is scaled to {side} pixels, and the centre of {side}x{side} is kept."
        case "squash":
            return f"Both sides are scaled to {side} pixels, whatever the proportions."
        case "letterbox":
            return (
                f"The longer side is scaled to {side} pixels, the picture is put into the middle of {side}x{side}, and "
                f"the rest has grey level {file.letterbox_fill}."
            )
