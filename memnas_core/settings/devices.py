"""Named memory limits of devices, from a small table that cites its source for each row.

A microcontroller keeps weights in flash and activations in RAM. A phone's on-chip memory holds both together. The
figures are the whole memory of the device: code, stack and the runtime need some of it, for which explicit limits in
the settings can leave room.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Device:
    """A device and its memory limits.

    Attributes:
        name: Name of the device in settings.
        description: Description of the device and its memory.
        core: Name of its fastest processor core, such as `cortex-m4`.
        max_param_bytes: Memory that holds only weights; None: there is none.
        max_activation_bytes: Memory that holds only activations; None: there is none.
        max_total_bytes: Memory that holds both; None: there is none.
        source: Source of the figures.
    """

    name: str
    description: str
    core: str
    max_param_bytes: int | None
    max_activation_bytes: int | None
    max_total_bytes: int | None
    source: str


@cache
def devices() -> dict[str, Device]:
    """Return all devices by name."""
    text = files(__package__).joinpath("devices.csv").read_text(encoding="utf-8")
    found = {}
    for row in csv.DictReader(text.splitlines()):
        params, activations, total = (
            int(row[f"max_{what}_bytes"]) if row[f"max_{what}_bytes"] else None
            for what in ("param", "activation", "total")
        )
        words = row["name"], row["description"], row["core"]
        found[row["name"]] = Device(*words, params, activations, total, row["source"])
    return found
