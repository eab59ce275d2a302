"""Whether what a search has left is as it was written, and what becomes of a round that is not."""

import shutil

from memnas_core.errors import RecordError
from memnas_core.files.checksums import check_sums, read_sums
from memnas_core.files.writing import storage_errors
from memnas_core.records.candidates import read_candidates
from memnas_core.results.folder import REMEDY, TABLE_FILE, SearchFolder


def damage(folder: SearchFolder) -> RecordError | None:
    """Return what of a finished search is not as it was written, or None."""
    try:
        check_sums(folder.path, read_sums(folder.path).keys())
        for number in folder.round_numbers():
            _check_round(folder, number)
        if folder.chosen.is_dir():
            check_sums(folder.chosen)
    except RecordError as error:
        return error
    return None


def check_rounds(folder: SearchFolder) -> None:
    """Compare all finished rounds with what was written.

    Raises:
        RecordError: They differ.
    """
    for number in folder.round_numbers():
        try:
            _check_round(folder, number)
        except RecordError as error:
            raise RecordError(f"{error}; {REMEDY}") from error


def remove_damaged_rounds(folder: SearchFolder) -> tuple[int, RecordError] | None:
    """Remove the first round that is not as it was written, and those after it, which followed from it.

    What they trained is kept, so that they are made again from it.

    Returns:
        The round's number and what is wrong with it; None if nothing is.

    Raises:
        StorageError: They cannot be removed.
    """
    numbers = list(folder.round_numbers())
    for number in numbers:
        try:
            _check_round(folder, number)
        except RecordError as error:
            with storage_errors(folder.path):
                for later in reversed(numbers[number:]):  # from the end: what remains has no gap
                    shutil.rmtree(folder.round_folder(later))
            return number, error
    return None


def _check_round(folder: SearchFolder, number: int) -> None:
    """Compare a round, and the trainings that later ones begin with or that are handed over, with what was written.

    Raises:
        RecordError: They differ.
    """
    check_sums(folder.round_folder(number))
    for row in read_candidates(folder.round_folder(number) / TABLE_FILE):
        if row.training_key:
            check_sums(folder.trainings / row.training_key)
