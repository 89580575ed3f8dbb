"""Rows as plain values by the names of columns: numbers, texts, lists, and whatever else JSON can say.

    for key, row in rows_of(table, batch, fetch):
        row["heat"]

What JSON has no word for is a text as the engine writes it; vectors are lists of numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from snapstore.keys import decode_equal
from snapstore.rows import Batch, Cells, KeyPart, Table
from snapstore.sources.display import display
from snapstore.tree import Fetch
from snapstore.tree.values import portions

__all__ = ["keys_of", "rows_of"]


def keys_of(parts: Sequence[KeyPart], keys: Cells) -> list[dict[str, Any]]:
    """The columns of each key by name, as values for JSON; none where rows are known by their content."""
    if not any(part.name for part in parts):
        return [{} for _ in range(len(keys))]
    cells = [own.to_list() for own in decode_equal(parts, keys)]
    return [
        {part.name: display(part.type, own[at]) for part, own in zip(parts, cells, strict=True)}
        for at in range(len(keys))
    ]


def rows_of(table: Table, batch: Batch, fetch: Fetch) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The key and all columns (key first) of each row."""
    for some in portions(batch.keys, [(cells, fetch) for cells in batch.columns]):
        for at, key in enumerate(keys_of(table.key, some.keys)):
            row = dict(key)
            for column, cells in zip(table.columns, some.columns, strict=True):
                row[column.name] = display(column.type, cells[at], stride=column.stride)
            yield key, row
