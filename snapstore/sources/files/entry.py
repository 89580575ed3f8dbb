"""One path beneath a folder, and what the file system says of it.

    Entry(b"notes/a.md", FILE, 0o644, facts_of(status))

It knows neither how it was found nor what is in it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["FILE", "FOLDER", "LINK", "Entry", "Facts", "facts_of", "log_facts_of"]

FILE, FOLDER, LINK = b"file", b"folder", b"link"
Facts = tuple[int, int, int, int]
"""Size, mtime and ctime in ns, and inode."""


@dataclass(slots=True)
class Entry:
    """One path: what it is, and how it was when it was looked at.

    `logs` are the facts of the log and the journal of a SQLite database, where there is one; `device` and `names` tell
    names of one file, and `same_as` is the first of those names if this is another.
    """

    path: bytes
    kind: bytes
    mode: int
    facts: Facts
    device: int = 0
    names: int = 1
    logs: tuple[Facts, ...] | None = None
    same_as: bytes | None = None

    @property
    def is_database(self) -> bool:
        """Whether it is known to be a SQLite database with something beside it."""
        return self.logs is not None


def facts_of(status: os.stat_result) -> Facts:
    """What a file system says of a file that changes when the file does."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def log_facts_of(status: os.stat_result) -> Facts:
    """The same of the log of a database, without its ctime: SQLite sets the owner anew whenever root opens it."""
    return status.st_size, status.st_mtime_ns, 0, status.st_ino
