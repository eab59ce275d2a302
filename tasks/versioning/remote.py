"""The DVC remote of a store: its entry in DVC's configuration, and whether it can be used.

The store's configuration names the remote, so that `dvc push` and `dvc pull` work there too, with any options that
`dvc remote modify` has added.
"""

from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from configobj import ConfigObj
from dvc.config import ConfigError
from dvc.repo import Repo

from memnas_core.errors import InputError
from memnas_core.files.writing import write_text

REMOTE = "memnas"
"""Name of the remote in DVC's configuration."""

CONNECT_SECONDS = 5
READ_SECONDS = 60

# The text that `dvc init --no-scm` writes, and how files are linked. Reflinks would be as cheap, but on a file system
# without them DVC takes "reflink, hardlink" to mean a plain copy.
CONFIG = """\
[core]
    no_scm = True
    analytics = False
    check_update = False
[cache]
    type = hardlink, copy
"""

_NO_KEYS = ("NoCredentialsError", "PartialCredentialsError")  # botocore's, which is there only with dvc-s3


def check_remote(url: str) -> None:
    """Check that a remote can be used if it answers; one that does not answer may do so later.

    Args:
        url: URL of the remote, in DVC's sense.

    Raises:
        InputError: DVC does not know this kind of remote or lacks a package for it, the server refuses the keys, or the
            bucket does not exist.
    """
    wrong = f"versioning.remote: {url}:"
    try:
        with TemporaryDirectory(prefix="memnas-") as nowhere:
            config = remote_config(url, CONNECT_SECONDS) | {"core": {"no_scm": True, "site_cache_dir": nowhere}}
            with Repo(nowhere, uninitialized=True, config=config) as repository:
                remote = repository.cloud.get_remote_odb(REMOTE)
                remote.fs.fs.retries = 1  # s3fs would try five times
                remote.fs.ls(remote.path, detail=False)
    except ConfigError as error:
        raise InputError(f"{wrong} expected the URL of a DVC remote, such as s3://bucket/path ({error})") from error
    except ImportError as error:
        raise InputError(f"{wrong} {' '.join(str(error).split())}; for S3: make team") from error
    except PermissionError as error:
        raise InputError(
            f"{wrong} expected keys that may list and write there, found that they are refused ({error}); "
            "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ask whoever runs the server"
        ) from error
    except FileNotFoundError as error:  # the path is missing, which the first copy creates, or the bucket
        if "bucket" in str(error):
            raise InputError(f"{wrong} expected a bucket, found none of that name; make it, or correct it") from error
    except Exception as error:  # each kind of remote has its own exceptions
        if type(error).__name__ in _NO_KEYS:
            raise InputError(
                f"{wrong} expected keys, found none; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a profile in "
                "~/.aws)"
            ) from error


def remote_config(url: str, read_seconds: int) -> dict[str, object]:
    """Return the part of DVC's configuration that names the remote, with a limit on reading time."""
    remote: dict[str, object] = {"url": url}
    if url.startswith("s3:"):
        remote |= {"connect_timeout": CONNECT_SECONDS, "read_timeout": read_seconds}
    return {"remote": {REMOTE: remote}}


def name_site_cache(path: Path, folder: Path) -> None:
    """Make a DVC configuration name the folder for DVC's index, keeping the rest of the configuration.

    Args:
        path: File of the configuration, written atomically.
        folder: The folder; absolute, as DVC would look for a relative one from wherever it is started.

    Raises:
        StorageError: The disk is full or the file not writable.
    """
    config = ConfigObj(str(path))
    core = config.setdefault("core", {})
    if core.get("site_cache_dir") != str(folder):
        core["site_cache_dir"] = str(folder)
        _write(path, config)


def name_remote(path: Path, url: str) -> str:
    """Make a URL the default remote of a DVC configuration, keeping the rest of the configuration.

    Args:
        path: File of the configuration, written atomically.
        url: The URL, or a folder.

    Returns:
        The URL that was written; a folder's is absolute, as DVC resolves paths from the configuration's place.

    Raises:
        StorageError: The disk is full or the file not writable.
    """
    if "://" not in url:
        url = str(Path(url).resolve())
    config = ConfigObj(str(path))
    remote, core = config.setdefault(f'remote "{REMOTE}"', {}), config.setdefault("core", {})
    if (remote.get("url"), core.get("remote")) != (url, REMOTE):
        remote["url"], core["remote"] = url, REMOTE
        _write(path, config)
    return url


def _write(path: Path, config: ConfigObj) -> None:
    text = BytesIO()
    config.write(text)
    write_text(path, text.getvalue().decode())
