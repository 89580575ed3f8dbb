"""Whether there is room for one more snapshot, asked before any work is done.

    require_room(repository, min_free_bytes=500_000_000, max_bytes=20_000_000_000)

A full disk loses nothing: what was begun is garbage, and gc needs room for a tombstone where packs are garbage as a
whole, and for the rest of one pack where none is. But other programs may not be so.
"""

from __future__ import annotations

from snapstore.backends.directory import directory_of
from snapstore.errors import Unavailable
from snapstore.repository import Repository

__all__ = ["require_room"]


def require_room(repository: Repository, *, min_free_bytes: int = 0, max_bytes: int | None = None) -> None:
    """Raises `Unavailable` where a repository in a folder has less free space, or any holds more, than that.

    How much a snapshot will add is not known before; so a take may end with less free and more held than this says.
    """
    directory = directory_of(repository.backend)
    if directory is not None and min_free_bytes and (free := directory.free_bytes()) < min_free_bytes:
        raise Unavailable(
            f"only {_amount(free)} are free where {repository.location} is, and {_amount(min_free_bytes)} must be",
            hint="Free space (`snap gc` gives back what no snapshot needs), or allow less with --min-free.",
        )
    if max_bytes is None:
        return
    held = sum(entry.size_bytes for entry in repository.backend.list())
    if held > max_bytes:
        raise Unavailable(
            f"{repository.location} holds {_amount(held)}, and {_amount(max_bytes)} are allowed",
            hint="Remove snapshots (`snap gc --keep-daily 7`, say), or allow more with --max-size.",
        )


def _amount(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
