"""Where a repository is: a folder, or the URL of a bucket.

    backend = backend_of("s3://bucket/memory")

What a bucket needs comes with an extra, and is loaded only if one is named.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from snapstore.backends import Backend
from snapstore.backends.directory import DirectoryBackend
from snapstore.errors import Exists, Invalid, Unavailable, Unsupported

__all__ = ["backend_of", "check_new", "holds_something", "is_private", "is_url", "shown"]


def is_url(place: str) -> bool:
    """Whether this is no folder."""
    return "://" in place


def shown(place: str) -> str:
    """The place for people."""
    return place if is_url(place) else str(Path(place).expanduser().absolute())


def is_private(place: str | Path) -> bool:
    """Whether nobody but this user (and root) may write to this folder, by its owner and mode.

    Windows has lists of rights instead, which this does not read: there no folder counts as private.
    """
    try:
        found = Path(place).expanduser().stat()
    except OSError:
        return False
    if sys.platform == "win32":
        return False
    else:
        return found.st_uid in (os.getuid(), 0) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def holds_something(place: str) -> bool:
    """Whether this is a folder with anything in it."""
    try:
        return not is_url(place) and any(Path(place).expanduser().iterdir())
    except OSError:
        return False


def backend_of(place: str, *, create: bool = False, allow_http: bool = False) -> Backend:
    """The store there. Raises as the backends do, and `Unsupported` for another URL or without the extra `cloud`."""
    if not is_url(place):
        return DirectoryBackend(Path(place).expanduser(), create=create)
    scheme = place.partition("://")[0]
    if scheme not in ("s3", "gs", "az"):
        raise Unsupported(
            f"repositories under {scheme}:// are not supported", hint="Name a folder, s3://, gs:// or az://."
        )
    try:
        from snapstore.backends.cloud import CloudBackend
    except ImportError as error:
        raise Unsupported(
            f"repositories under {scheme}:// need the library `obstore`",
            hint="Install it with `pip install 'snapstore[cloud]'`.",
        ) from error
    return CloudBackend(place, create=create, allow_http=allow_http)


def check_new(place: str) -> None:
    """Raise `Invalid` for a folder that holds other things, and `Exists` for a repository: never is a store made there,
    not even a part of one. What a bucket holds is seen when it is made.
    """
    if is_url(place):
        return
    folder = Path(place).expanduser()
    try:
        names = sorted(one.name for one in folder.iterdir()) if folder.exists() else []
    except NotADirectoryError as error:
        raise Invalid(f"{folder} is a file, not a folder", hint="Name a new or empty folder.") from error
    except OSError as error:
        raise Unavailable(f"{folder}: {error.strerror}", hint="Check the path and who may read it.") from error
    if (folder / "LOCK").exists() and (folder / "config").exists():
        raise Exists(f"{folder} is a repository already", hint="Nothing was changed; use it.")
    # An `init --encrypt` that died may have left a key to nothing.
    left = ("LOCK", ".tmp", "lost+found", *(("keys",) if (folder / "LOCK").exists() else ()))
    other = [name for name in names if name not in left]
    if other:
        raise Invalid(f"{folder} is not empty: it holds {other[0]!r}", hint="Name a new or empty folder.")
