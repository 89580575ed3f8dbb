"""Reads a view into trees: the one way rows enter a store, for take, for `live`, and before a restore.

captured = capture(view, writer, cut_key)
captured.tables[0].root
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from snapstore.digest import Digest, Kind, digest
from snapstore.repository import SnapshotTable
from snapstore.rows import Batch, Table
from snapstore.sources import Selection, View
from snapstore.tree import Sink
from snapstore.tree.builder import TreeBuilder
from snapstore.tree.node import encode_objects, encode_schema

__all__ = ["Captured", "Progress", "capture", "silent"]


class Progress(Protocol):
    """Told how far work has come; `total` is None where that is not known."""

    def __call__(self, what: str, done: int, total: int | None, /) -> None:
        """So many rows of this table."""


def silent(what: str, done: int, total: int | None, /) -> None:
    """A progress nobody watches."""


@dataclass(frozen=True, slots=True)
class Captured:
    """What a view held: its tables, the blob of its other objects, and the bytes of cells that were read."""

    tables: tuple[SnapshotTable, ...]
    objects: Digest
    bytes_read: int
    position: Mapping[str, Any]
    missing: tuple[str, ...]


def capture(view: View, sink: Sink, cut_key: bytes, selection: Selection, *, progress: Progress = silent) -> Captured:
    """Put every row the view gives to the sink, table by table, in bounded memory."""
    objects = encode_objects(view.definition)
    sink.put(Kind.SCHEMA, [digest(objects)], [objects])
    tables, bytes_read = [], 0
    for table in view.tables:
        captured, size = _table(view, table, sink, cut_key, selection, progress)
        tables.append(captured)
        bytes_read += size
    return Captured(tuple(tables), digest(objects), bytes_read, dict(view.position), tuple(view.missing))


def _table(
    view: View, table: Table, sink: Sink, cut_key: bytes, selection: Selection, progress: Progress
) -> tuple[SnapshotTable, int]:
    left_out = tuple(table.definition.get("left_out", ()))
    where = selection.where.get(table.name)
    schema = encode_schema(table)
    if not selection.rows:
        sink.put(Kind.SCHEMA, [digest(schema)], [schema])
        return SnapshotTable(table.name, 0, None, digest(schema), where, left_out, reading="schema only"), 0
    builder, size = TreeBuilder(table, cut_key, sink), 0
    for batch in view.read(table):
        builder.add(batch)
        size += _bytes(batch)
        progress(table.name, builder.rows, None)
    root = builder.finish()
    captured = SnapshotTable(table.name, builder.rows, root, digest(schema), where, left_out, reading="read in full")
    return captured, size


def _bytes(batch: Batch) -> int:
    return len(batch.keys.data) + sum(len(cells.data) for cells in batch.columns)
