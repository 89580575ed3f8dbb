"""A SQLite database as the bytes of one file: with what stands in its log, and as of one moment.

    data = read_whole(Path("/home/me/agents.db"), wait_seconds=10)

The pages are read within one read transaction, so a writer beside it changes nothing, and a log that belongs to the
file is in the bytes and not beside them. A database without a log gives the bytes of its file. Opening leaves file, log
and journal as they were (`snapstore.sources.sqlite.connection`).
"""

from __future__ import annotations

from pathlib import Path

from snapstore.errors import Unavailable
from snapstore.sources.sqlite.connection import open_reading, open_writing, translated

__all__ = ["quiesce", "read_whole"]


def read_whole(place: Path, *, wait_seconds: float) -> bytes:
    """Every page. Raises `Corrupt` where SQLite cannot read it, and `Unavailable` where another program holds it."""
    with open_reading(place, wait_seconds=wait_seconds) as connection, translated(place, "it cannot be read"):
        connection.execute("BEGIN; SELECT count(*) FROM main.sqlite_schema").fetchall()
        data = connection.serialize("main")
        connection.execute("COMMIT")
    return bytes(data)


def quiesce(place: Path, *, wait_seconds: float) -> None:
    """Move a log into its database and delete it, which SQLite does only if nobody else has the database open.

    Raises `Unavailable` where somebody has.
    """
    connection = open_writing(place, wait_seconds=wait_seconds)
    try:
        with translated(place, "its log cannot be put away"):
            mode = connection.pragma("journal_mode", "delete", schema="main")
    except Unavailable as error:
        raise _in_use(place) from error
    finally:
        connection.close(True)
    if mode != "delete":
        raise _in_use(place)


def _in_use(place: Path) -> Unavailable:
    return Unavailable(
        f"{place} is open in another program, and a file that is put in its place would get that program's log",
        hint="Stop the program, then restore again.",
    )
