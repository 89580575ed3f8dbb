"""Rows named for people, as the server itself names them in its messages: by their key.

    named_row(memories, cells)                  # '(id)=(17)'
    named_row(visits, cells)                    # '(who, day)=(bob, 2026-01-02)'

A row of a table without a key has no name.
"""

from __future__ import annotations

from snapstore import keys
from snapstore.rows import Cells, Table
from snapstore.sources.postgres.display import display, shorten

__all__ = ["named_row"]


def named_row(table: Table, key: Cells) -> str:
    """The row whose key is the only one of these, in one line; empty where rows have none."""
    if table.by_content:
        return ""
    values = [
        shorten(display(part.type, cells[0]))
        for part, cells in zip(table.key, keys.decode_equal(table.key, key), strict=True)
    ]
    return f"({', '.join(part.name for part in table.key)})=({', '.join(values)})"
