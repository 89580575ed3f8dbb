"""Cells and keys for people, whatever engine they come from.

    display(column.type, cell, stride=column.stride)
    parse_key(table, "17")

A type says whose it is: those of SQLite begin with `sqlite.`, those of file trees with `file.`, all others are
PostgreSQL's.
"""

from __future__ import annotations

from typing import Any

from snapstore.errors import Corrupt
from snapstore.rows import KeyPart, Table
from snapstore.sources.files import display as files
from snapstore.sources.postgres import display as postgres
from snapstore.sources.postgres import keytext
from snapstore.sources.postgres.display import shorten
from snapstore.sources.sqlite import display as sqlite

__all__ = ["display", "parse_key", "shorten"]


def display(column_type: str, cell: bytes | None, *, stride: int = 1) -> Any:
    """A value JSON can hold, None for NULL; `{"hex": …}` for what is not of its type, or of one not known here."""
    if cell is not None and files.is_ours(column_type):
        return files.display(column_type, cell)
    if cell is None or not sqlite.is_ours(column_type):
        return postgres.display(column_type, cell, stride=stride)
    try:
        return sqlite.display(column_type, cell, stride=stride)
    except (ValueError, Corrupt):
        return {"hex": cell.hex()}


def parse_key(table: Table, text: str) -> bytes:
    """The key of the row that the text names. Raises `Invalid` saying what the key looks like."""
    return keytext.parse_key(table, text, cell_of=_cell)


def _cell(table: Table, part: KeyPart, word: str) -> bytes:
    if files.is_ours(part.type):
        return files.cell_of(word)
    of_engine = sqlite.cell_of if sqlite.is_ours(part.type) else keytext.postgres_cell
    return of_engine(table, part, word)
