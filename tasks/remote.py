"""The DVC remote of a store: its place in DVC's configuration, and whether it can be used.

It is written into the store's configuration, so that `dvc push` and `dvc pull` work there too, with whatever else
`dvc remote modify` has added to it.
"""

from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from configobj import ConfigObj
from dvc.config import ConfigError
from dvc.repo import Repo

from memnas_core.errors import InputError
from memnas_core.storage import write_text

REMOTE = "memnas"
"""Name of the remote in DVC's configuration."""

CONNECT_SECONDS = 5
READ_SECONDS = 60

# What `dvc init --no-scm` writes, and how files are linked. Reflinks would be as cheap, but on a file system
# that has none DVC takes "reflink, hardlink" to mean a plain copy.
CONFIG = """\
[core]
    no_scm = True
    analytics = False
    check_update = False
[cache]
    type = hardlink, copy
"""

_NO_KEYS = ("NoCredentialsError", "PartialCredentialsError")  # of botocore, which is there with dvc-s3 only


def check_remote(url: str) -> None:
    """Check that a remote can be used, if it answers; one that does not may do so later.

    Args:
        url: What DVC calls a remote's URL.

    Raises:
        InputError: DVC does not know such remotes or lacks a package for it, the server refuses the keys, or there is
            no such bucket.
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
    except FileNotFoundError as error:  # of the path, which the first copy makes, or of the bucket
        if "bucket" in str(error):
            raise InputError(f"{wrong} expected a bucket, found none of that name; make it, or correct it") from error
    except Exception as error:  # each kind of remote has its own
        if type(error).__name__ in _NO_KEYS:
            raise InputError(
                f"{wrong} expected keys, found none; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a profile in "
                "~/.aws)"
            ) from error


def remote_config(url: str, read_seconds: int) -> dict[str, object]:
    """Return the part of DVC's configuration that names the remote, which gives up after a while."""
    remote: dict[str, object] = {"url": url}
    if url.startswith("s3:"):
        remote |= {"connect_timeout": CONNECT_SECONDS, "read_timeout": read_seconds}
    return {"remote": {REMOTE: remote}}


def name_remote(path: Path, url: str) -> str:
    """Make a URL the default remote of a DVC configuration; what else it says of it stays.

    Args:
        path: The configuration's file; it appears as a whole.
        url: The URL, or a folder.

    Returns:
        The URL that was written: that of a folder is absolute, because DVC takes paths from the configuration's place.

    Raises:
        StorageError: The disk is full or the file not writable.
    """
    if "://" not in url:
        url = str(Path(url).resolve())
    config = ConfigObj(str(path))
    remote, core = config.setdefault(f'remote "{REMOTE}"', {}), config.setdefault("core", {})
    if (remote.get("url"), core.get("remote")) != (url, REMOTE):
        remote["url"], core["remote"] = url, REMOTE
        text = BytesIO()
        config.write(text)
        write_text(path, text.getvalue().decode())
    return url
