"""The boards that QEMU emulates, one for each kind of core, and how a program for them is linked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

STACK_BYTES = 16 << 10
"""Stack of the firmware, of which a network takes a few hundred bytes."""


VECTOR_BYTES = 64
"""Vector table, which lies at address 0."""


class Memory(NamedTuple):
    """A piece of a board's memory, in bytes."""

    begin: int
    size: int


@dataclass(frozen=True, slots=True)
class Board:
    """A board.

    Attributes:
        machine: Name in QEMU.
        flash: Where code and constants lie, all but the vector table. The boards have RAM there, which is loaded before
            the start.
        ram: Where data and the stack lie.
        options: Options that the compiler needs for its core.
    """

    machine: str
    flash: Memory
    ram: Memory
    options: tuple[str, ...]

    def link_script(self) -> str:
        """Return the linker's script for a program of this board."""
        flash, ram = self.flash, self.ram
        return f"""ENTRY(memnas_reset)
MEMORY {{
    VECTORS (rx) : ORIGIN = 0, LENGTH = {VECTOR_BYTES}
    FLASH (rx) : ORIGIN = {flash.begin}, LENGTH = {flash.size}
    RAM (rwx) : ORIGIN = {ram.begin}, LENGTH = {ram.size}
}}
SECTIONS {{
    .vectors : {{ KEEP(*(.vectors)) }} > VECTORS
    .text : {{ *(.text .text.* .rodata .rodata.*) . = ALIGN(4); }} > FLASH
    .ARM.exidx : {{ *(.ARM.exidx*) }} > FLASH
    .data : {{ memnas_data_begin = .; *(.data .data.*) . = ALIGN(4); memnas_data_end = .; }} > RAM AT > FLASH
    memnas_data_load = LOADADDR(.data);
    .bss (NOLOAD) : {{ memnas_bss_begin = .; *(.bss .bss.* COMMON) . = ALIGN(4); memnas_bss_end = .; }} > RAM
    .stack (NOLOAD) : {{
        . = ALIGN(8);
        memnas_stack_bottom = .;
        . += {STACK_BYTES};
        memnas_stack_top = .;
    }} > RAM
}}
"""


_MPS2 = Memory(VECTOR_BYTES, (4 << 20) - VECTOR_BYTES), Memory(0x2000_0000, 4 << 20)
_MPS3 = Memory(0x0100_0000, 2 << 20), Memory(0x2100_0000, 4 << 20)

BOARDS: Mapping[str, Board] = {
    # QEMU has no board with a Cortex-M0+ and this much memory; a Cortex-M3 executes all that a Cortex-M0+ does.
    "cortex-m0+": Board("mps2-an385", *_MPS2, ("-mcpu=cortex-m0plus",)),
    "cortex-m3": Board("mps2-an385", *_MPS2, ("-mcpu=cortex-m3",)),
    "cortex-m4": Board("mps2-an386", *_MPS2, ("-mcpu=cortex-m4",)),
    "cortex-m7": Board("mps2-an500", *_MPS2, ("-mcpu=cortex-m7",)),
    "cortex-m55": Board("mps3-an547", *_MPS3, ("-mcpu=cortex-m55", "-mfloat-abi=hard", "-DMEMNAS_COPROCESSORS")),
}
"""Core -> the board that stands for it."""
