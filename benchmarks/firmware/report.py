"""What the rows of the firmware benchmark show, as Markdown."""

from collections.abc import Iterator, Sequence
from statistics import median

from benchmarks.firmware.networks import Row
from memnas_core.firmware.boards import BOARDS


def report(rows: Sequence[Row]) -> list[str]:
    """Return a table with a line for each core."""
    return list(_lines(rows))


def _lines(rows: Sequence[Row]) -> Iterator[str]:
    yield (
        "| core | networks | images, equal | class of the int8 reference | arena = static RAM | stack, bytes | "
        "flash, bytes | flash predicted, error: median, largest | instructions predicted, error: median, largest |"
    )
    yield f"|{'---|' * 9}"
    for core in BOARDS:
        of = [row for row in rows if row.core == core]
        if not of:
            continue
        flash = [abs(row.flash_predicted / row.flash - 1) for row in of]
        work = [abs(row.instructions_predicted / row.instructions - 1) for row in of]
        same, tried = sum(row.same_class for row in of), sum(row.reference_images for row in of)
        exact = sum(row.arena_predicted == row.ram_static for row in of)
        yield (
            f"| {core} | {len(of)} | {sum(row.equal for row in of)} of {sum(row.images for row in of)} | "
            f"{same} of {tried} | {exact} of {len(of)} | "
            f"{min(row.stack for row in of)} to {max(row.stack for row in of)} | "
            f"{min(row.flash for row in of):,} to {max(row.flash for row in of):,} | "
            f"{median(flash):.2%}, {max(flash):.2%} | {median(work):.2%}, {max(work):.2%} |"
        )
