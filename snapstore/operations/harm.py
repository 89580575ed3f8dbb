"""Which snapshots, tables, columns and rows cannot be read because some blobs cannot be had.

    harm = Harm(store, bad)
    harm.snapshot(snapshot)
    harm.of(digest).rows

Only looked for where there is damage. What is sound is remembered, so subtrees that snapshots share are read once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from snapstore.blobs.store import BlobStore
from snapstore.digest import Digest
from snapstore.errors import Corrupt
from snapstore.operations.check_trees import Blobs, Place, open_table
from snapstore.operations.damage import RowRange
from snapstore.repository import Snapshot, SnapshotTable
from snapstore.rows import Cells, Table
from snapstore.tree import chunk, node, reference, values
from snapstore.tree.reference import Ref

__all__ = ["TOUCHED", "Harm", "Harmed"]

TOUCHED = "touched keys"
"""What stands for the source of the keys that a restore set out to change."""


@dataclass(slots=True)
class Harmed:
    """What one blob harms, in the order in which it was found."""

    snapshots: dict[str, None] = field(default_factory=dict)
    tables: dict[str, None] = field(default_factory=dict)
    rows: dict[RowRange, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Table:
    snapshot: str
    source: str
    name: str
    table: Table | None


class Harm:
    """Looks for these bad blobs (digests with reasons) in one snapshot after the other."""

    def __init__(self, store: BlobStore, bad: dict[Digest, str]) -> None:
        self._blobs = Blobs(store)
        self._blobs.bad.update(bad)
        self._harmed: dict[Digest, Harmed] = {}
        self._sound: set[bytes] = set()
        self._parts: dict[Digest, list[Digest]] = {}

    def of(self, blob: Digest) -> Harmed:
        """What this blob harms."""
        return self._harmed.get(blob, Harmed())

    def snapshot(self, snapshot: Snapshot) -> None:
        """Look for all bad blobs in this snapshot."""
        for source in snapshot.sources:
            if source.objects in self._blobs.bad:
                self._note(source.objects).snapshots[snapshot.id] = None
            for table in source.tables:
                self._table(snapshot.id, source.name, table)
        for table in snapshot.touched:
            self._table(snapshot.id, TOUCHED, table)

    def _note(self, blob: Digest) -> Harmed:
        return self._harmed.setdefault(blob, Harmed())

    def _rows(
        self, blob: Digest, where: _Table, column: int | None, after: bytes | None, upto: bytes | None, count: int
    ) -> None:
        harmed = self._note(blob)
        harmed.snapshots[where.snapshot] = None
        harmed.tables[where.name] = None
        name = None if column is None or where.table is None else where.table.columns[column].name
        key = () if where.table is None else where.table.key
        harmed.rows[RowRange(where.source, where.name, name, key, after, upto, count)] = None

    def _table(self, snapshot_id: str, source: str, entry: SnapshotTable) -> None:
        where = _Table(snapshot_id, source, entry.name, None)
        for blob in (entry.schema, entry.root):
            if blob in self._blobs.bad:
                self._rows(blob, where, None, None, None, entry.rows)
        if entry.root is None or entry.root in self._blobs.bad:
            return
        opened = open_table(self._blobs, entry)
        if opened is None:
            return
        table, root = opened
        if root.rows:
            place = Place(root.height, root.rows, root.refs[0], tuple(enumerate(root.refs[1:])))
            self._place(_Table(snapshot_id, source, entry.name, table), place)

    def _place(self, where: _Table, place: Place) -> set[int | None]:
        """Note what is bad at and beneath a place; gives the trees (None: the keys') in which something is."""
        hit: set[int | None] = set()
        open_: list[tuple[int, Ref]] = []
        key_is_bad = self._is_bad(where, place, None, place.key)
        if key_is_bad:
            hit.add(None)
        for at, ref in place.columns:
            if self._is_bad(where, place, at, ref):
                hit.add(at)
            elif not reference.is_constant(ref) and ref not in self._sound:
                open_.append((at, ref))
        if key_is_bad:
            return hit  # without the keys nothing below can be named; the whole stretch was
        if open_ or place.key not in self._sound:
            hit |= self._below(where, place, open_) if place.level else self._cells(where, place, open_)
        self._sound.update(ref for at, ref in open_ if at not in hit)
        if None not in hit:
            self._sound.add(place.key)
        return hit

    def _is_bad(self, where: _Table, place: Place, at: int | None, ref: Ref) -> bool:
        blobs: list[Digest] = []
        if reference.is_blob(ref):
            blobs = [reference.digest_of(ref)] if reference.digest_of(ref) in self._blobs.bad else []
        elif reference.is_constant(ref) and reference.spills(ref):
            blobs = self._bad_value(*reference.value_digest(ref))
        for blob in blobs:
            self._rows(blob, where, at, place.after, place.upto, place.count)
        return bool(blobs)

    def _bad_value(self, value: Digest, spilled: int) -> list[Digest]:
        """The bad ones among a value, or a parts blob and its parts."""
        if value in self._blobs.bad or spilled == 1:
            return [value] if value in self._blobs.bad else []
        if value not in self._parts:
            [data] = self._blobs.read([value])
            try:
                self._parts[value] = values.part_digests(data or b"", "parts")[0]
            except Corrupt:
                self._parts[value] = []
        return [part for part in self._parts[value] if part in self._blobs.bad]

    def _below(self, where: _Table, place: Place, columns: Sequence[tuple[int, Ref]]) -> set[int | None]:
        names = [reference.digest_of(place.key), *(reference.digest_of(ref) for _, ref in columns)]
        key_data, *rest = self._blobs.read(names)
        try:
            key = node.decode_node(key_data or b"", "node", level=place.level, is_key=True)
            parsed = [
                (at, node.decode_node(data or b"", "node", level=place.level, is_key=False).refs)
                for (at, _), data in zip(columns, rest, strict=True)
            ]
        except Corrupt:  # such a node is bad, and was noted; a second look finds the store changing
            return set()
        hit: set[int | None] = set()
        for child in place.below(key, parsed):
            hit |= self._place(where, child)
        return hit

    def _cells(self, where: _Table, place: Place, columns: Sequence[tuple[int, Ref]]) -> set[int | None]:
        """Rows of one chunk whose values are bad."""
        assert where.table is not None
        hit: set[int | None] = set()
        keys: Cells | None = None
        for at, ref in columns:
            for row, blob in self._bad_cells(where.table, at, ref, place.count):
                if keys is None:
                    keys = self._chunk(place.key, where.table.key_width, place.count)
                upto = place.upto if keys is None else keys[row]
                after = place.after if keys is None or row == 0 else keys[row - 1]
                self._rows(blob, where, at, after, upto, place.count if keys is None else 1)
                hit.add(at)
        return hit

    def _bad_cells(self, table: Table, at: int, ref: Ref, count: int) -> Iterator[tuple[int, Digest]]:
        if reference.is_blob(ref) and not reference.spills(ref):
            return
        cells = self._chunk(ref, table.columns[at].width, count)
        if cells is None or cells.spilled is None:
            return
        for row in np.flatnonzero(cells.spilled).tolist():
            for blob in self._bad_value(Digest(cells[row] or b""), int(cells.spilled[row])):
                yield row, blob

    def _chunk(self, ref: Ref, width: int, count: int) -> Cells | None:
        data = reference.inline_chunk(ref)
        if data is None:
            [data] = self._blobs.read([reference.digest_of(ref)])
        try:
            return chunk.decode([data or b""], "chunk", width=width, counts=[count])
        except Corrupt:
            return None
