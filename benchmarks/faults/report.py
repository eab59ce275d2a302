"""The results of the trials, for docs/faults.md."""

from collections.abc import Iterator, Sequence

from benchmarks.faults.injections import Fault
from benchmarks.faults.trials import Row


def page_lines(rows: Sequence[Row], circumstances: Sequence[str]) -> Iterator[str]:
    """Yield the measured part of the page.

    Args:
        rows: Rows of the trials.
        circumstances: Command, date, machine, versions, n and seeds.
    """
    yield from findings(rows)
    yield ""
    yield from circumstances
    yield ""
    yield "### By fault"
    yield ""
    yield from _by_fault(rows)
    yield ""
    yield "### Every trial"
    yield ""
    yield "| trial | fault | what was hit | at (s) | finished | exit code | resumes | trained again | left | equal |"
    yield "|---:|---|---|---:|---:|---:|---:|---:|---:|---|"
    for row in rows:
        yield (
            f"| {row.trial} | {row.fault} | {row.hit} | {row.moment_seconds:.1f} | {row.finished_before} | "
            f"{row.exit_code} | {row.resumes} | {row.trained_again} | {row.processes_left} | "
            f"{row.differing or 'yes'} |"
        )


def findings(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the sentences at the start of the page."""
    different = [row for row in rows if not row.tables_equal]
    lost, left = sum(row.trained_again for row in rows), sum(row.processes_left for row in rows)
    finished = sum(row.finished_before for row in rows)
    is_good = not different and not lost and not left
    verdict = "Nothing was lost" if is_good else "Not everything survived"
    yield (
        f"- **{verdict}: {len(rows)} trials, {len(different)} with another result than an undisturbed search, "
        f"{lost} of {finished} finished trainings trained again, {left} processes left behind.**"
    )
    unaided = [row for row in rows if row.exit_code == 0]
    again = [row for row in rows if row.resumes > 1]
    yield (
        f"- {len(unaided)} searches came through the fault by themselves; the others needed one `--resume`"
        + (f", {len(again)} of them more than one." if again else ".")
    )
    for row in different:
        yield f"- Trial {row.trial} ({row.fault}, {row.hit}) differs in {row.differing}."


def _by_fault(rows: Sequence[Row]) -> Iterator[str]:
    yield "| fault | trials | moments (s) | finished before | trained again | processes left | different results |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for fault in Fault:
        own = [row for row in rows if row.fault == fault]
        if own:
            moments = [row.moment_seconds for row in own]
            yield (
                f"| {fault} | {len(own)} | {min(moments):.1f} to {max(moments):.1f} | "
                f"{sum(row.finished_before for row in own)} | {sum(row.trained_again for row in own)} | "
                f"{sum(row.processes_left for row in own)} | {sum(not row.tables_equal for row in own)} |"
            )
