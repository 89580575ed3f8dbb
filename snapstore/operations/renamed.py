"""The trees of a table built anew in a repository that names blobs otherwise, or cuts chunks elsewhere.

    table = rename_table(entry, source.blobs, writer, target.cut_key, Before(earlier, its_copy, target.blobs))

Rows are streamed from the one to the other. Where an earlier snapshot of the table has a copy there, only cells that
changed since are: the difference is what a source's stamps are to a take (`snapstore.tree.incremental`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snapstore.digest import Digest, Kind
from snapstore.errors import Corrupt, NotFound
from snapstore.operations.capture import Progress
from snapstore.repository import SnapshotTable
from snapstore.rows import Batch, Cells, Table
from snapstore.tree import Fetch, Sink
from snapstore.tree.builder import TreeBuilder
from snapstore.tree.diff import common_columns, diff
from snapstore.tree.hints import HintedTree, open_hints, shape_of
from snapstore.tree.incremental import Rebuilt, rebuild
from snapstore.tree.reader import TableTree
from snapstore.tree.rename import renamed, renamed_cells

__all__ = ["Before", "rename_blob", "rename_table"]

_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Before:
    """An earlier state of a table in the source, and its copy, which `fetch` reads."""

    entry: SnapshotTable
    copy: SnapshotTable
    fetch: Fetch


@dataclass(frozen=True, slots=True)
class _Held:
    """A table's trees, with its hints' behind them where there are any."""

    tree: TableTree
    hinted: HintedTree | None

    @classmethod
    def open(cls, entry: SnapshotTable, fetch: Fetch) -> _Held:
        assert entry.root is not None
        tree = TableTree.open(entry.root, fetch)
        shape = None if entry.hints is None else shape_of(entry.hints, fetch)
        return cls(tree, None if entry.hints is None or shape is None else open_hints(tree, entry.hints, shape))

    @property
    def whole(self) -> TableTree:
        return self.tree if self.hinted is None else self.hinted.tree

    @property
    def shape(self) -> Table | None:
        return None if self.hinted is None else self.hinted.shape


def rename_blob(name: Digest, kind: Kind, fetch: Fetch, sink: Sink) -> Digest:
    """A blob that names no others, put to the sink under the name it has there."""
    data = fetch.get_many([name])
    names = [sink.naming.digest(data[0])]
    sink.put(kind, names, data)
    return names[0]


def rename_table(
    entry: SnapshotTable, fetch: Fetch, sink: Sink, cut_key: bytes, before: Before | None, progress: Progress
) -> SnapshotTable:
    """The same table where the sink puts it. Raises `NotFound` and `Corrupt` for what `fetch` does not give."""
    schema = rename_blob(entry.schema, Kind.SCHEMA, fetch, sink)
    if entry.root is None:
        return dataclasses.replace(entry, schema=schema)
    if before is not None and (before.entry.root, before.entry.hints) == (entry.root, entry.hints):
        same = before.copy
        if (same.hints is None) == (entry.hints is None) and same.schema == schema:
            return dataclasses.replace(entry, schema=schema, root=same.root, hints=same.hints)
    held = _Held.open(entry, fetch)
    if held.tree.count != entry.rows:
        raise Corrupt(f"{entry.name}: the manifest says {entry.rows} rows, the table has {held.tree.count}")
    rebuilt = None if before is None else _from(before, held, schema, fetch, sink, cut_key)
    if rebuilt is not None:
        return dataclasses.replace(entry, schema=schema, root=rebuilt.root, hints=rebuilt.hints)
    builder = TreeBuilder(held.tree.table, cut_key, sink, held.shape)
    for batch in held.whole.rows():
        builder.add(renamed(held.whole.table, batch, fetch, sink))
        progress(entry.name, builder.rows, entry.rows)
    root = builder.finish()
    if builder.rows != entry.rows:
        raise Corrupt(f"{entry.name}: {builder.rows} rows were read, and the table has {entry.rows}")
    return dataclasses.replace(entry, schema=schema, root=root, hints=builder.hints)


def _from(before: Before, held: _Held, schema: Digest, fetch: Fetch, sink: Sink, cut_key: bytes) -> Rebuilt | None:
    """The table made from the copy of an earlier one; None where that does not do, and all rows must be read."""
    if before.entry.root in (None, held.tree.root) or before.copy.root is None or before.copy.schema != schema:
        return None
    try:
        earlier, copy = _Held.open(before.entry, fetch), _Held.open(before.copy, before.fetch)
    except (NotFound, Corrupt):  # what was before need not be there any more
        return None
    if not (earlier.shape == held.shape == copy.shape):
        return None
    try:
        moved = _moved(earlier.whole, held.whole)
    except (NotFound, Corrupt):
        return None

    def stamps() -> Generator[tuple[Cells, NDArray[np.bool_]], None, None]:
        for spans in held.tree.leaves([]):
            keys = held.tree.keys(spans)
            yield keys, np.fromiter((key in moved for key in keys.to_list()), np.bool_, len(keys))

    def rows(*, is_much: bool) -> Generator[Batch, None, None]:
        keys = sorted(moved)
        for at in range(0, len(keys), _ROWS):
            yield _mixed(keys[at : at + _ROWS], moved, held.whole, copy.whole, fetch, sink)

    with closing(stamps()) as given:
        return rebuild(copy.tree, cut_key, sink, given, rows, hints=copy.hinted)


def _moved(before: TableTree, after: TableTree) -> dict[bytes, bytes]:
    """The keys of rows that were added or changed, each with a byte for every column, not 0 where the cell is new."""
    columns = len(after.table.columns)
    if common_columns(before, after) != [(at, at) for at in range(columns)]:
        raise Corrupt(f"{after.table.name}: its columns have changed")
    moved: dict[bytes, bytes] = {}
    for changes in diff(before, after):
        moved.update(dict.fromkeys((key or b"" for key in changes.added.keys.to_list()), b"\1" * columns))
        differs = changes.changed.differs.astype(np.uint8)
        moved.update(
            (key or b"", row.tobytes()) for key, row in zip(changes.changed.keys.to_list(), differs, strict=True)
        )
    return moved


def _mixed(
    keys: Sequence[bytes], moved: Mapping[bytes, bytes], now: TableTree, copy: TableTree, fetch: Fetch, sink: Sink
) -> Batch:
    """These rows as they are now: cells that did not change from the copy, so that none of them is read."""
    rows = now.lookup(keys)
    known = [key for key in keys if not all(moved[key])]
    there = copy.lookup(known)
    if len(rows) != len(keys) or len(there) != len(known):
        raise Corrupt(f"{now.table.name}: rows are missing that its trees name")
    places = {key: at for at, key in enumerate(known)}
    columns = []
    for at, column in enumerate(now.table.columns):
        is_new = np.fromiter((moved[key][at] for key in keys), np.bool_, len(keys))
        fresh = renamed_cells(rows.columns[at].take(np.flatnonzero(is_new)), fetch, sink, stride=column.stride)
        order = np.empty(len(keys), np.int64)
        order[is_new] = np.arange(len(fresh))
        old = (keys[row] for row in np.flatnonzero(~is_new).tolist())
        order[~is_new] = [len(fresh) + places[key] for key in old]
        columns.append(Cells.concat([fresh, there.columns[at]]).take(order))
    return Batch(rows.keys, tuple(columns))
