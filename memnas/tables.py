"""The project's own table of trained candidates."""

from typing import TYPE_CHECKING

from memnas_core.errors import RecordError

if TYPE_CHECKING:
    import pyarrow as pa


def trained_candidates() -> "pa.Table":
    """Return the candidates on which the project compares controllers, each trained several times.

    docs/library.md has the data card: what a row is, its columns and units, and how the networks were trained.

    Raises:
        RecordError: The table is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from memnas_core.files.shipped import shipped

    path = shipped("results/candidates.parquet")
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise RecordError(
            f"{path}: expected the table of trained candidates, found {error}; install memnas again"
        ) from error
