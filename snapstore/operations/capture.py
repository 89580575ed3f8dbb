"""Reads a view into trees: the one way rows enter a store, for take, for `live`, and before a restore.

captured = capture(view, writer, cut_key)
captured.tables[0].root
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

from snapstore.digest import Digest, Kind, digest
from snapstore.operations.parent import Parent
from snapstore.repository import SnapshotTable
from snapstore.rows import Batch, Table
from snapstore.sources import Dated, Selection, Stamped, View
from snapstore.tree import Fetch, Sink
from snapstore.tree.builder import TreeBuilder
from snapstore.tree.incremental import Rebuilt, rebuild
from snapstore.tree.node import encode_objects, encode_schema
from snapstore.tree.reader import TableTree

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
    context: Mapping[str, Any]
    missing: tuple[str, ...]


def capture(
    view: View,
    sink: Sink,
    cut_key: bytes,
    selection: Selection,
    *,
    parent: Parent | None = None,
    fetch: Fetch | None = None,
    progress: Progress = silent,
) -> Captured:
    """Put every row the view gives to the sink, table by table, in bounded memory.

    With a `parent`, and `fetch` to give its blobs (the sink's store has them), only rows that may have changed since
    are read, where the view can tell; the roots are the same.
    """
    objects = encode_objects(view.definition)
    sink.put(Kind.SCHEMA, [digest(objects)], [objects])
    tables, bytes_read = [], 0
    for table in view.tables:
        captured, size = _Reading(view, table, sink, cut_key, selection, progress).table(parent, fetch)
        tables.append(captured)
        bytes_read += size
    context = dict(view.context()) if isinstance(view, Dated) else {}
    return Captured(tuple(tables), digest(objects), bytes_read, dict(view.position), context, tuple(view.missing))


class _Reading:
    """One table being read: from its parent where that can be trusted, else in full, and it says why."""

    def __init__(
        self, view: View, table: Table, sink: Sink, cut_key: bytes, selection: Selection, progress: Progress
    ) -> None:
        self._view = view
        self._table = table
        self._sink = sink
        self._cut_key = cut_key
        self._progress = progress
        self._wants_rows = selection.rows
        self._where = selection.where.get(table.name)
        self._schema = encode_schema(table)
        self._bytes = 0

    def table(self, parent: Parent | None, fetch: Fetch | None) -> tuple[SnapshotTable, int]:
        """The table as it is now, and the bytes of cells that were read."""
        if not self._wants_rows:
            self._sink.put(Kind.SCHEMA, [digest(self._schema)], [self._schema])
            return self._entry(0, None, "schema only"), 0
        rebuilt, reason = self._from(parent, fetch)
        if rebuilt is not None:
            reading = f"by stamps: {rebuilt.fetched:,} of {rebuilt.rows:,} rows"
            return self._entry(rebuilt.rows, rebuilt.root, reading), self._bytes
        builder = TreeBuilder(self._table, self._cut_key, self._sink)
        for batch in self._counted(self._view.read(self._table)):
            builder.add(batch)
            self._progress(self._table.name, builder.rows, None)
        return self._entry(builder.rows, builder.finish(), f"in full: {reason}"), self._bytes

    def _from(self, parent: Parent | None, fetch: Fetch | None) -> tuple[Rebuilt | None, str]:
        """The trees made from the parent's; or why not."""
        view, table = self._view, self._table
        stamped = view if isinstance(view, Stamped) else None
        if parent is None or fetch is None:
            return None, "no earlier snapshot" if parent is None else "asked for"
        if not isinstance(view, Dated):
            return None, "the source has no stamps"
        entry = parent.table(table.name)
        if entry is None or entry.root is None:
            return None, "the last snapshot does not hold it"
        if entry.schema != digest(self._schema):
            return None, "its shape changed"
        if entry.where != self._where:
            return None, "another condition chooses its rows"
        since = parent.source.context
        reason = view.doubt(table, since)
        if reason:
            return None, reason
        if stamped is None:
            return Rebuilt(entry.root, entry.rows, 0), ""
        tree = TableTree.open(entry.root, fetch)
        with closing(stamped.stamps(table, since)) as stamps:
            rebuilt = rebuild(
                tree, self._cut_key, self._sink, stamps, lambda: self._counted(stamped.read_moved(table, since))
            )
        return rebuilt, "small, or much of it changed"

    def _counted(self, batches: Iterator[Batch]) -> Generator[Batch, None, None]:
        for batch in batches:
            self._bytes += len(batch.keys.data) + sum(len(cells.data) for cells in batch.columns)
            yield batch

    def _entry(self, rows: int, root: Digest | None, reading: str) -> SnapshotTable:
        left_out = tuple(self._table.definition.get("left_out", ()))
        return SnapshotTable(self._table.name, rows, root, digest(self._schema), self._where, left_out, reading=reading)
