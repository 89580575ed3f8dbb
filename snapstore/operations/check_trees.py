"""Whether the trees of snapshots are whole: every blob there, every node readable, all trees of a table of one shape.

    check = TreeCheck(store, read_chunks=False)
    check.snapshot(snapshot)
    check.bad            # digest -> what is wrong with that blob

What snapshots share is looked at once. A blob that is bad is noted, and the search goes on beside it. Which rows it
harms is another question (`snapstore.operations.harm`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snapstore.blobs.pack import rows_of
from snapstore.blobs.store import BlobStore
from snapstore.digest import Digest, digest
from snapstore.errors import Corrupt, NotFound
from snapstore.operations.marks import DigestSet, needed_by
from snapstore.operations.state import read_objects
from snapstore.repository import Snapshot, SnapshotTable
from snapstore.rows import Cells, Table
from snapstore.tree import chunk, node, reference
from snapstore.tree.builder import ascends
from snapstore.tree.reference import Ref
from snapstore.tree.walk import Child, children

__all__ = ["Blobs", "Place", "TreeCheck", "open_table"]

_BATCH = 256
_LEAVES = 20_000


class Blobs:
    """Reads blobs of which some cannot be had: those are noted in `bad` with the reason, and given as None."""

    def __init__(self, store: BlobStore) -> None:
        self.store = store
        self.bad: dict[Digest, str] = {}

    def read(self, digests: Sequence[Digest]) -> list[bytes | None]:
        """These blobs, in order."""
        sound = [name for name in digests if name not in self.bad]
        found = dict(zip(sound, self._read(sound), strict=True))
        return [found.get(name) for name in digests]

    def _read(self, digests: Sequence[Digest]) -> list[bytes | None]:
        if not digests:
            return []
        try:
            return list(self.store.get_many(digests))
        except (Corrupt, NotFound) as error:
            if len(digests) == 1:
                self.bad[digests[0]] = error.message
                return [None]
        half = len(digests) // 2
        return self._read(digests[:half]) + self._read(digests[half:])


@dataclass(frozen=True, slots=True)
class Place:
    """The same stretch of rows in the key tree and some columns' trees of a table: keys k with after < k ≤ upto."""

    level: int
    count: int
    key: Ref
    columns: tuple[tuple[int, Ref], ...]
    after: bytes | None = None
    upto: bytes | None = None

    def refs(self) -> Iterator[tuple[int | None, Ref]]:
        """The reference of the key tree (None), then of each column."""
        yield None, self.key
        yield from self.columns

    def below(self, key: node.Node, columns: Sequence[tuple[int, Sequence[Ref]]]) -> list[Place]:
        """The children, whose references in the columns are these."""
        ends = [*key.separators[:-1], key.separators[-1] if self.upto is None else self.upto]
        starts = [self.after, *key.separators[:-1]]
        return [
            Place(self.level - 1, count, ref, tuple((at, refs[child]) for at, refs in columns), after, upto)
            for child, (count, ref, after, upto) in enumerate(zip(key.counts, key.refs, starts, ends, strict=True))
        ]


def open_table(blobs: Blobs, entry: SnapshotTable) -> tuple[Table, node.Root] | None:
    """The shape and root blob of a table, or None where they cannot be had or do not fit each other."""
    assert entry.root is not None
    [data] = blobs.read([entry.root])
    if data is None:
        return None
    try:
        root = node.decode_root(data, f"table {entry.root.hex()}")
        [schema] = blobs.read([root.schema])
        if schema is None:
            return None
        table = node.decode_schema(schema, f"schema {root.schema.hex()}")
        if len(root.refs) != 1 + len(table.columns):
            raise Corrupt(f"table {entry.root.hex()}: {len(root.refs) - 1} trees for {len(table.columns)} columns")
    except Corrupt as error:
        blobs.bad[entry.root] = error.message
        return None
    return table, root


class TreeCheck:
    """Looks at snapshots one after the other. With `read_chunks` every chunk is decoded as well, not only nodes.

    `unindexed` are digests that the store gives though its index does not have them; how many of them are needed is
    counted by pack in the attribute of that name.
    """

    def __init__(self, store: BlobStore, *, read_chunks: bool, unindexed: DigestSet) -> None:
        self._blobs = Blobs(store)
        self._store = store
        self._read_chunks = read_chunks
        self._needed = DigestSet()
        self._walked = DigestSet()
        self._alike = DigestSet()
        self._leaves: list[Digest] = []
        self._unindexed = unindexed
        self.unindexed: dict[str, int] = {}

    @property
    def bad(self) -> dict[Digest, str]:
        """The blobs that cannot be had or read, with the reason."""
        return self._blobs.bad

    def needs(self, rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which of these digests, shape (n, 32), the snapshots need that were looked at so far; shape (n,)."""
        return self._needed.contains(rows)

    @property
    def blobs(self) -> int:
        """How many different blobs were needed so far."""
        return len(self._needed)

    def snapshot(self, snapshot: Snapshot) -> list[str]:
        """Look at all that this snapshot needs and that was not looked at; gives what its manifest says wrongly."""
        self._references(needed_by(snapshot))
        said = []
        for source in snapshot.sources:
            if source.objects is not None and source.objects not in self.bad:
                try:
                    read_objects(self._store, source.objects)
                except (Corrupt, NotFound) as error:
                    self.bad[source.objects] = error.message
            for table in source.tables:
                said += [f"{source.name}: {table.name}: {words}" for words in self._table(table)]
        for table in snapshot.touched:
            said += [f"touched keys of {table.name}: {words}" for words in self._table(table)]
        return said

    def finish(self) -> None:
        """Look for the blobs that need not be read and were not looked for yet."""
        if not self._leaves:
            return
        places = self._store.locate(self._leaves)
        for at in np.flatnonzero(~places.found).tolist():
            where = self._store.backend.location
            self.bad.setdefault(self._leaves[at], f"the blob {self._leaves[at].hex()} is in no pack of {where}")
        for at in np.flatnonzero(self._unindexed.contains(rows_of(self._leaves)) & places.found).tolist():
            pack = places.packs[int(places.pack[at])]
            self.unindexed[pack] = self.unindexed.get(pack, 0) + 1
        self._leaves.clear()

    def _references(self, roots: Sequence[Child]) -> None:
        """Everything there, and what must be read to know what else is needed, read."""
        stack = self._fresh(roots)
        while stack:
            batch, stack = stack[-_BATCH:], stack[:-_BATCH]
            below: list[Child] = []
            for child, data in zip(batch, self._blobs.read([child.digest for child in batch]), strict=True):
                if data is None:
                    continue
                try:
                    below += children(child, data)
                except Corrupt as error:
                    self.bad[child.digest] = error.message
            stack += self._fresh(below)

    def _fresh(self, found: Sequence[Child]) -> list[Child]:
        if not found:
            return []
        is_new = self._needed.add(rows_of([child.digest for child in found])).tolist()
        self._leaves += [child.digest for child, new in zip(found, is_new, strict=True) if new]
        if len(self._leaves) > _LEAVES:
            self.finish()
        inner = [child for child in found if not child.leaf]
        if not inner:
            return []
        is_new = self._walked.add(rows_of([child.digest for child in inner])).tolist()
        return [child for child, new in zip(inner, is_new, strict=True) if new]

    def _table(self, entry: SnapshotTable) -> Iterator[str]:
        """What the manifest says of a table and is not so. Notes what is wrong within its trees."""
        [schema] = self._blobs.read([entry.schema])
        if schema is not None:
            try:
                node.decode_schema(schema, f"schema {entry.schema.hex()}")
            except Corrupt as error:
                self.bad[entry.schema] = error.message
        if entry.root is None:
            return
        opened = open_table(self._blobs, entry)
        if opened is None:
            return
        table, root = opened
        if root.rows != entry.rows:
            yield f"the manifest says {entry.rows} rows, the table has {root.rows}"
        if root.schema != entry.schema:
            yield "the manifest names another schema than the table"
        if not root.rows or not self._alike.add(rows_of([entry.root])).any():
            return
        stack = self._unknown(table, [Place(root.height, root.rows, root.refs[0], tuple(enumerate(root.refs[1:])))])
        while stack:
            batch, stack = stack[-_BATCH:], stack[:-_BATCH]
            stack += self._unknown(table, self._compare(table, entry.root, batch))

    def _unknown(self, table: Table, places: Sequence[Place]) -> list[Place]:
        """Those of these places, and of their columns, that were not compared with the same keys before."""
        pairs = [digest(_pair(table, place, at, ref)) for place in places for at, ref in place.refs()]
        is_new = iter(self._alike.add(rows_of(pairs)).tolist() if pairs else ())
        fresh = []
        for place in places:
            key_is_new = next(is_new)
            columns = tuple(column for column in place.columns if next(is_new))
            if key_is_new or columns:
                fresh.append(Place(place.level, place.count, place.key, columns, place.after, place.upto))
        return fresh

    def _compare(self, table: Table, root: Digest, places: Sequence[Place]) -> list[Place]:
        """Decode these places and hold their trees against each other; gives the places below."""
        wanted = [reference.digest_of(ref) for place in places for _, ref in place.refs() if reference.is_blob(ref)]
        read = iter(self._blobs.read(wanted))
        below: list[Place] = []
        for place in places:
            own = {at: next(read) for at, ref in place.refs() if reference.is_blob(ref)}
            key: node.Node | None = None
            columns: list[tuple[int, Sequence[Ref]]] = []
            for at, ref in place.refs():
                if reference.is_blob(ref) and own[at] is None:
                    continue
                name = reference.digest_of(ref) if reference.is_blob(ref) else root
                try:
                    if not place.level or reference.is_constant(ref):
                        _check_cells(table, place, at, ref, own.get(at))
                        refs: Sequence[Ref] = []
                    else:
                        parsed = _check_node(place, at, ref, own[at] or b"", key)
                        key, refs = (parsed, []) if at is None else (key, parsed.refs)
                except Corrupt as error:
                    self.bad.setdefault(name, error.message)
                    continue
                if at is not None and refs:
                    columns.append((at, refs))
            # A constant is the same all the way down, so it was looked at once and for all.
            if key is not None:
                below += place.below(key, columns)
        return [place for place in below if place.level or self._read_chunks]


def _pair(table: Table, place: Place, at: int | None, ref: Ref) -> bytes:
    """What decides whether a reference is right where it is, so that it is looked at once."""
    if at is not None:
        return b"%d/%b/%b" % (table.columns[at].width, place.key, ref)
    return b"key/%d/%d/%r/%r/%b" % (table.key_width, place.count, place.after, place.upto, ref)


def _what(table: Table, at: int | None, ref: Ref) -> str:
    part = "keys" if at is None else table.columns[at].name
    where = f"blob {reference.digest_of(ref).hex()}" if reference.is_blob(ref) else "a constant or inline chunk"
    return f"{table.name}: {part}: {where}"


def _check_node(place: Place, at: int | None, ref: Ref, data: bytes, key: node.Node | None) -> node.Node:
    what = f"node {reference.digest_of(ref).hex()}"
    parsed = node.decode_node(data, what, level=place.level, is_key=at is None)
    if any(map(reference.spills, parsed.refs)) != reference.spills(ref):
        raise Corrupt(f"{what}: its parent says wrongly whether large cells are beneath it")
    if at is not None:
        if key is not None and parsed.counts != key.counts:
            raise Corrupt(f"{what}: its shape is not that of the keys")
        return parsed
    if sum(parsed.counts) != place.count:
        raise Corrupt(f"{what}: {sum(parsed.counts)} rows where its parent says {place.count}")
    ends = [*([] if place.after is None else [place.after]), *parsed.separators]
    if any(a >= b for a, b in zip(ends, ends[1:], strict=False)) or place.upto not in (None, ends[-1]):
        raise Corrupt(f"{what}: its separators do not ascend to that of its parent")
    return parsed


def _check_cells(table: Table, place: Place, at: int | None, ref: Ref, data: bytes | None) -> None:
    what = _what(table, at, ref)
    width = table.key_width if at is None else table.columns[at].width
    if reference.is_constant(ref):
        chunk.decode_constant(ref, 1, width, what)
        return
    held = reference.inline_chunk(ref) if data is None else data
    cells = chunk.decode([held or b""], what, width=width, counts=[place.count])
    if reference.is_blob(ref) and (cells.spilled is not None) != reference.spills(ref):
        raise Corrupt(f"{what}: its parent says wrongly whether large cells are in it")
    if at is None:
        _check_keys(place, cells, what)


def _check_keys(place: Place, keys: Cells, what: str) -> None:
    first, last = keys[0] or b"", keys[len(keys) - 1]
    if not ascends(keys) or (place.after is not None and first <= place.after):
        raise Corrupt(f"{what}: its keys do not ascend")
    if place.upto is not None and last != place.upto:
        raise Corrupt(f"{what}: its last key is not the separator above it")
