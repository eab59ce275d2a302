"""Named memory limits of devices, from a small table that cites its source for each row.

A microcontroller keeps weights in flash and activations in RAM. A phone's on-chip memory holds both together. The
figures are the whole memory of the device: code, stack and the runtime need some of it, and explicit limits in the
settings leave room for them.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Device:
    """A device and what its memory allows.

    Attributes:
        name: What settings call it.
        description: What it is and what memory it has.
        max_param_bytes: Memory that holds weights alone; None: none does.
        max_activation_bytes: Memory that holds activations alone; None: none does.
        max_total_bytes: Memory that holds both; None: none does.
        source: Where the figures are from.
    """

    name: str
    description: str
    max_param_bytes: int | None
    max_activation_bytes: int | None
    max_total_bytes: int | None
    source: str


@cache
def devices() -> dict[str, Device]:
    """Return name -> device."""
    text = files("memnas_core").joinpath("devices.csv").read_text(encoding="utf-8")
    found = {}
    for row in csv.DictReader(text.splitlines()):
        params, activations, total = (
            int(row[f"max_{what}_bytes"]) if row[f"max_{what}_bytes"] else None
            for what in ("param", "activation", "total")
        )
        found[row["name"]] = Device(row["name"], row["description"], params, activations, total, row["source"])
    return found
