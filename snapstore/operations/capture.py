"""Reads a view into trees: the one way rows enter a store, for take, for `live`, and before a restore.

captured = capture(view, writer, cut_key)
captured.tables[0].root
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

from snapstore.digest import Digest, Kind
from snapstore.errors import Corrupt, NotFound
from snapstore.operations.parent import Parent
from snapstore.repository import SnapshotTable
from snapstore.rows import Batch, Table
from snapstore.sources import Dated, Hinting, Noting, Selection, Stamped, View
from snapstore.tree import Fetch, Sink
from snapstore.tree.builder import TreeBuilder
from snapstore.tree.hints import HintedTree, open_hints
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
    name = sink.naming.digest(objects)
    sink.put(Kind.SCHEMA, [name], [objects])
    tables, bytes_read = [], 0
    for table in view.tables:
        captured, size = _Reading(view, table, sink, cut_key, selection, progress).table(parent, fetch)
        tables.append(captured)
        bytes_read += size
    context = dict(view.context()) if isinstance(view, Dated) else {}
    return Captured(tuple(tables), name, bytes_read, dict(view.position), context, tuple(view.missing))


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
        self._schema_digest = sink.naming.digest(self._schema)
        self._bytes = 0

    def table(self, parent: Parent | None, fetch: Fetch | None) -> tuple[SnapshotTable, int]:
        """The table as it is now, and the bytes of cells that were read."""
        if not self._wants_rows:
            self._sink.put(Kind.SCHEMA, [self._schema_digest], [self._schema])
            return self._entry(0, None, "schema only"), 0
        view, table = self._view, self._table
        shape = view.hints(table) if isinstance(view, Hinting) else None
        rebuilt, reason = self._from(parent, fetch, shape)
        if rebuilt is not None:
            reading = f"by stamps: {rebuilt.fetched:,} of {rebuilt.rows:,} rows"
            if rebuilt.kept:
                reading += f" less {rebuilt.kept:,} values"
            return self._entry(rebuilt.rows, rebuilt.root, reading, rebuilt.hints), self._bytes
        builder = TreeBuilder(table, self._cut_key, self._sink, shape)
        for batch in self._counted(_rows(view, table, shape)):
            builder.add(batch)
            self._progress(table.name, builder.rows, None)
        return self._entry(builder.rows, builder.finish(), f"in full: {reason}", builder.hints), self._bytes

    def _from(self, parent: Parent | None, fetch: Fetch | None, shape: Table | None) -> tuple[Rebuilt | None, str]:
        """The trees made from the parent's; or why not."""
        view, table = self._view, self._table
        stamped = view if isinstance(view, Stamped) else None
        noting = view if isinstance(view, Noting) else None
        if parent is None or fetch is None:
            return None, "no earlier snapshot" if parent is None else "asked for"
        if parent.is_damaged:
            return None, "the last snapshot has lost blobs"
        if not isinstance(view, Dated):
            return None, "the source has no stamps"
        entry = parent.table(table.name)
        if entry is None or entry.root is None:
            return None, "the last snapshot does not hold it"
        if entry.schema != self._schema_digest:
            return None, "its shape changed"
        if entry.where != self._where:
            return None, "another condition chooses its rows"
        if parent.lacks_rows_of(table.name):
            return None, "the last snapshot lacks some of its rows"
        since = parent.source.context
        reason = view.doubt(table, since)
        if reason:
            return None, reason
        if stamped is None:
            return Rebuilt(entry.root, entry.rows, 0), ""
        if noting is not None and noting.is_same(table, since):
            return Rebuilt(entry.root, entry.rows, 0, entry.hints), ""
        tree = TableTree.open(entry.root, fetch)
        hinted = None if shape is None or entry.hints is None else open_hints(tree, entry.hints, shape)
        if noting is not None:
            if hinted is None:
                return None, "small, or the last snapshot has no stamps"
            try:
                noting.recall(table, hinted.noted())
                return self._rebuilt(noting, tree, since, hinted), "much of it changed"
            except (Corrupt, NotFound):  # as below
                return None, "the last snapshot cannot be read"
        if hinted is not None:
            # An old value that was not this row's before (keys were changed, say) is not to be had: then all are read.
            for leaves_out in (True, False):
                try:
                    rebuilt = self._rebuilt(stamped, tree, since, hinted, leaves_out=leaves_out)
                except (Corrupt, NotFound):  # of the parent's own trees: then it comes again
                    break
                if rebuilt is not None:
                    return rebuilt, ""
        return self._rebuilt(stamped, tree, since), "small, or much of it changed"

    def _rebuilt(
        self,
        view: Stamped,
        tree: TableTree,
        since: Mapping[str, Any],
        hinted: HintedTree | None = None,
        *,
        leaves_out: bool = False,
    ) -> Rebuilt | None:
        table = self._table

        def read_moved(*, is_much: bool) -> Generator[Batch, None, None]:
            if hinted is not None and isinstance(view, Hinting):
                return self._counted(
                    view.read_hinted(table, hinted.shape, since, leave_out=leaves_out, is_much=is_much)
                )
            return self._counted(view.read_moved(table, since))

        with closing(view.stamps(table, since)) as stamps:
            return rebuild(tree, self._cut_key, self._sink, stamps, read_moved, hints=hinted, leaves_out=leaves_out)

    def _counted(self, batches: Iterator[Batch]) -> Generator[Batch, None, None]:
        for batch in batches:
            self._bytes += len(batch.keys.data) + sum(len(cells.data) for cells in batch.columns)
            yield batch

    def _entry(self, rows: int, root: Digest | None, reading: str, hints: Digest | None = None) -> SnapshotTable:
        left_out = tuple(self._table.definition.get("left_out", ()))
        name, schema = self._table.name, self._schema_digest
        return SnapshotTable(name, rows, root, schema, self._where, left_out, reading=reading, hints=hints)


def _rows(view: View, table: Table, shape: Table | None) -> Iterator[Batch]:
    if shape is not None and isinstance(view, Hinting):
        return view.read_hinted(table, shape)
    return view.read(table)
