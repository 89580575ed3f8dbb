"""A database file that is not there yet: built beside its place, and put there whole or not at all.

    with new_file(place) as building:
        ...                         # write it, and close it
        put(building, place)

It knows nothing of what is in the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from snapstore.errors import Conflict, Unavailable
from snapstore.filesystem import publish, sync_file, sync_folder
from snapstore.sources.sqlite.connection import beside

__all__ = ["new_file", "put"]


@contextmanager
def new_file(place: Path) -> Iterator[Path]:
    """A file of nothing beside the place, gone when the block ends. Raises `Conflict` for what would be played into it,
    and `Unavailable` where none can be made.
    """
    building = place.with_name(f".{place.name}.{os.urandom(6).hex()}.snapstore")
    if not place.parent.is_dir():
        raise Unavailable(f"there is no folder {place.parent}", hint="Make it first.")
    _check_leftovers(place)
    try:
        try:
            # What was remembered is for its owner alone; who wants others to read it says so.
            os.close(os.open(building, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as error:
            raise Unavailable(f"{place} cannot be made: {error.strerror}") from error
        yield building
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                beside(building, suffix).unlink()


def put(building: Path, place: Path) -> None:
    """Durably, and never over a file that came to be there meanwhile."""
    try:
        sync_file(building)
        _check_leftovers(place)
        publish(building, place)
        sync_folder(place.parent)
    except FileExistsError as error:
        raise Conflict(f"{place} was made by somebody else meanwhile; it is left as it is") from error
    except OSError as error:
        raise Unavailable(f"{place} cannot be put in its place: {error.strerror}") from error


def _check_leftovers(place: Path) -> None:
    """Whoever opens a database rolls back or plays what stands in a log or journal of its name, whoever wrote that."""
    for suffix in ("-wal", "-journal", "-shm"):
        left = beside(place, suffix)
        if left.exists() and (suffix == "-shm" or left.stat().st_size):
            raise Conflict(
                f"{left} is there without its database, and would be played into the one that is restored",
                hint="Stop the application that has it open, move that file away, and try again.",
            )
