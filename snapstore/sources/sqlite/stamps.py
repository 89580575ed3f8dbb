"""Whether a database file is as it was: by what the file system says, and as far as that can be trusted.

    before = read_facts(place)
    ...                                   # begin to read
    context = context_of(place, before)   # kept with the snapshot
    doubt(context_now, context_then)      # "" if no row can have changed

The change counter in the file says nothing of a log, so size, times in nanoseconds and inode of both files are
compared, and the salts of the log, which change whenever it starts anew. Times lie to whoever looks too soon: a second
write within one tick of the clock leaves them as they are. So what was written just before a snapshot is not trusted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snapstore.sources.sqlite.connection import beside

__all__ = ["context_of", "doubt", "read_facts"]

_SALTS = slice(16, 24)  # of a log's header: https://sqlite.org/fileformat2.html §4.1


def read_facts(place: Path) -> dict[str, Any]:
    """Both files as they are now; the log is None where there is none. Opens nothing that SQLite locks."""
    log = beside(place, "-wal")
    main, wal = _facts(place), _facts(log)
    if wal:
        wal[2] = 0  # SQLite itself moves the time of a log's last change when root opens it: it sets the owner anew
    return {"main": main, "wal": wal, "salts": _salts(log)}


def context_of(place: Path, before: Mapping[str, Any], *, settle_seconds: float) -> dict[str, Any]:
    """The facts now that a transaction has begun, and whether a later view may rely on them.

    `before` is what `read_facts` said before it began: where both agree, nothing was written in between.
    """
    facts = read_facts(place)
    newest = max((max(own[1], own[2]) for own in (facts["main"], facts["wal"]) if own), default=0)
    is_settled = bool(facts["main"]) and time.time_ns() - newest >= settle_seconds * 1e9
    return {"file": facts, "is_still": facts == before, "is_settled": is_settled}


def doubt(now: Mapping[str, Any], then: Mapping[str, Any]) -> str:
    """Why rows may have changed since, in words; empty if they cannot have."""
    if not then.get("file"):
        return "the last snapshot has no stamps"
    if not then.get("is_still") or not now["is_still"]:
        return "the file was being written"
    if not then.get("is_settled"):
        return "the file had just been written when the last snapshot was taken"
    return "" if now["file"] == then["file"] else "the file changed"


def _facts(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    # An empty log is as good as none: opening and closing a database makes and removes one.
    if not found.st_size:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]


def _salts(log: Path) -> str:
    # The log may be opened and closed: its locks are on the -shm file. The database itself must not, since closing it
    # would drop the locks that this process holds on it.
    try:
        with open(log, "rb", buffering=0) as file:
            return file.read(32)[_SALTS].hex()
    except OSError:
        return ""
