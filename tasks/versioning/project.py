"""The git commit that a search belongs to: that of the project in which it was started."""

from contextlib import closing
from pathlib import Path

from scmrepo.exceptions import SCMError
from scmrepo.git import Git

COMMIT = "commit"
"""What the commit is called, in DVC's pointers and among the versions that a search began with."""


def project_of(folder: Path) -> dict[str, str]:
    """Return the commit that is checked out in the git project around a folder; nothing where there is none.

    Args:
        folder: A folder, which need not be in git.

    Returns:
        The commit under `COMMIT`, followed by `-dirty` where files in git differ from it.
    """
    try:
        with closing(Git(str(folder), search_parent_directories=True)) as project:
            return {COMMIT: project.get_rev() + ("-dirty" if project.is_dirty(untracked_files=False) else "")}
    except (SCMError, OSError, ValueError):  # no project, none that may be read, or one without a commit
        return {}
