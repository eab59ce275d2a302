"""The exceptions that memnas raises on purpose, one tree.

Each message says what was expected, what was found, where, and what to do. The command line turns a
`MemnasError` into one line on stderr and its `exit_code`; anything else is a bug and keeps its traceback.
"""


class MemnasError(Exception):
    """Base of every error that memnas raises on purpose."""

    exit_code = 1


class InputError(MemnasError):
    """Something the user gave is wrong; nothing has been written."""

    exit_code = 2


class SettingsError(InputError):
    """A settings file has an unknown key, a wrong type or an impossible value."""


class ArchitectureError(InputError):
    """A cell, block or architecture breaks a rule of the search space."""


class GraphError(InputError):
    """A dataflow graph is cyclic, incomplete or contradicts itself."""


class DataError(InputError):
    """A data set is missing, truncated, unreadable or too small."""


class ResumeError(InputError):
    """A search cannot go on from what is on disk, or would overwrite it."""


class TrainingError(MemnasError):
    """The first network could not be trained, so that nothing can be relative to it."""


class RecordError(MemnasError):
    """A file that memnas wrote is missing, truncated or was changed."""


class StorageError(MemnasError):
    """A result could not be written (full disk, no permission)."""


class TrackingError(MemnasError):
    """The MLflow tracking store cannot be reached or refuses a write."""


class SchedulerError(MemnasError):
    """The Prefect server cannot be reached or refuses."""


class VersioningError(MemnasError):
    """DVC could not version a folder."""


class OutputError(MemnasError):
    """What is printed can no longer be written, as after `| head -1`."""

    exit_code = 141  # what shells expect of a program that a closed pipe ended
