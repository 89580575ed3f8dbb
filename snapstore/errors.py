"""Every error the library raises, grouped by what a caller can do about it.

A handler needs to know one thing: try again, change the request, or fetch help. So the tree has one class for each of
those answers and no class for each place that can fail. Foreign errors (operating system, driver, server) are
translated where they enter and kept as `__cause__`.

    try:
        taken = take(repository, sources)
    except Unavailable as error:
        print(error.message, error.hint)

This module knows nothing of rows, files or servers. Messages never carry a password: whoever builds one from a URL
redacts it first (a source redacts its own URLs).
"""

from __future__ import annotations

__all__ = [
    "Conflict",
    "Corrupt",
    "Denied",
    "Exists",
    "Invalid",
    "NotFound",
    "SnapstoreError",
    "Unavailable",
    "Unsupported",
    "WrongKey",
]


class SnapstoreError(Exception):
    """The root of the tree: `message` says what and where, `hint` what to do next.

    `again` says that the very same call may well succeed at once: a deadlock or a serialization failure, where an
    engine chose one of two that were both right. What such an error ended has left nothing behind.
    """

    code = "failed"

    def __init__(self, message: str, *, hint: str = "", again: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.again = again

    def __str__(self) -> str:
        return self.message


class Invalid(SnapstoreError):
    """The request itself is wrong; nothing was tried. Change it."""

    code = "invalid"


class NotFound(SnapstoreError):
    """The named thing does not exist."""

    code = "not_found"


class Exists(SnapstoreError):
    """The name is taken already, so a put-if-absent wrote nothing."""

    code = "exists"


class Conflict(SnapstoreError):
    """The world moved since it was looked at: a lost compare-and-swap, a drifted plan, a row in the way."""

    code = "conflict"


class Corrupt(SnapstoreError):
    """Stored bytes are not what was written. Always names the object; damaged bytes are never returned."""

    code = "corrupt"


class Unavailable(SnapstoreError):
    """A server, disk or store did not answer or refused. The same call may succeed later."""

    code = "unavailable"


class Denied(Unavailable):
    """A disk or store says that this may not be done there: no permission, or it is read-only. The rest may work."""

    code = "denied"


class Unsupported(SnapstoreError):
    """Understood, and refused by name: a newer format, a kind of table not yet held, a missing extension."""

    code = "unsupported"


class WrongKey(SnapstoreError):
    """The repository is encrypted and the key at hand does not open it."""

    code = "wrong_key"
