"""The largest numbers that settings may have: far beyond all use, but within what lists, sums and screens can hold."""

from collections.abc import Iterator, Mapping

USUAL = 1_000_000
"""The largest number where no other is named below."""

_WHOLE = 2**53  # bytes and images; sums of them are exact in floating point
LARGEST: Mapping[str, int] = {
    "data.max_pixels": 10**9,
    "data.max_training_images": _WHOLE,
    "search.seed": 2**63 - 1,
    "search.max_training_images": _WHOLE,
    "search.rungs": 1000,
    "search.seed_rungs": 1000,
    "objective.max_param_bytes": _WHOLE,
    "objective.max_activation_bytes": _WHOLE,
    "objective.max_total_bytes": _WHOLE,
    "training.crop_padding": 8192,
    "training.cutout_size": 8192,
    "controller.embedding_size": 8192,
    "controller.hidden_size": 8192,
    "execution.workers": 10_000,
    "execution.memory_limit_bytes": _WHOLE,
    "execution.training_seconds": 10**9,
}
"""The largest number of other keys, and of the numbers in their lists."""


def too_large(document: Mapping[str, object]) -> Iterator[tuple[str, str, int, int | float]]:
    """Yield section, key, largest number and the number found, where the latter is larger.

    Args:
        document: Sections of settings.
    """
    for section, keys in document.items():
        for key, value in keys.items() if isinstance(keys, Mapping) else ():
            most = LARGEST.get(f"{section}.{key}", USUAL)
            values = value if isinstance(value, list | tuple) else [value]
            for number in values:
                if isinstance(number, int | float) and number > most:
                    yield section, key, most, number
