"""Builds a table's trees from its rows in key order, in bounded memory (format.md §4).

    builder = TreeBuilder(table, cut_key, sink)
    for batch in batches:
        builder.add(batch)
    root = builder.finish()

The root depends on the rows and the schema alone: not on how they were batched, nor on what was there before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from snapstore.digest import Digest, Kind, digest
from snapstore.errors import Corrupt, Unsupported
from snapstore.rows import Batch, Cells, Table
from snapstore.tree import Sink, chunk, node, reference, values
from snapstore.tree.cuts import Stretch, weigh
from snapstore.tree.reference import Ref

__all__ = ["TreeBuilder"]

_KEY_BYTES = 65533
# Frames are filled by group: chunks of one column compress best together; nodes are mostly digests.
_NODE_GROUP = 1 << 20


class TreeBuilder:
    """Takes batches in ascending order of key; `finish` puts the last blobs and gives the root."""

    def __init__(self, table: Table, cut_key: bytes, sink: Sink) -> None:
        self._table = table
        self._cut_key = cut_key
        self._sink = sink
        self._rows = 0
        self._carry: Batch | None = None
        self._weights = np.empty(0, np.int64)
        self._stretch = Stretch()
        self._last_key: bytes | None = None
        # The first chunk is held back: alone it may go into the table blob itself.
        self._first: tuple[list[tuple[Ref, bytes]], int, bytes, int] | None = None
        self._levels: list[_Level] = []

    @property
    def rows(self) -> int:
        """Rows added so far."""
        return self._rows

    def add(self, batch: Batch) -> None:
        """The next rows. Raises `Corrupt` if their keys do not ascend, `Unsupported` for a key that is too long."""
        if not len(batch):
            return
        self._check_keys(batch.keys)
        self._rows += len(batch)
        columns = tuple(
            cells if column.width else values.spill(cells, self._sink, stride=column.stride)
            for column, cells in zip(self._table.columns, batch.columns, strict=True)
        )
        whole = Batch(batch.keys, columns)
        weights = weigh(batch.keys, self._cut_key)
        if self._carry is not None and len(self._carry):
            whole = Batch.concat([self._carry, whole])
            weights = np.concatenate([self._weights, weights])
        ends = self._stretch.ends(weights >= 1)
        last = ends[-1] if ends else 0
        if ends:
            self._chunks(whole, ends, weights)
        self._carry, self._weights = whole.slice(last, len(whole)), weights[last:]

    def finish(self) -> Digest:
        """Put what is left; the table's root."""
        if self._carry is not None and len(self._carry):
            self._chunks(self._carry, [len(self._carry)], self._weights)
        schema = node.encode_schema(self._table)
        schema_digest = digest(schema)
        self._sink.put(Kind.SCHEMA, [schema_digest], [schema], group=_NODE_GROUP)
        height, refs = self._top()
        root = node.encode_root(node.Root(self._rows, height, schema_digest, tuple(refs)))
        name = digest(root)
        self._sink.put(Kind.TABLE, [name], [root], group=_NODE_GROUP)
        return name

    def _check_keys(self, keys: Cells) -> None:
        if int(keys.lengths.max()) > _KEY_BYTES:
            raise Unsupported(
                f"{self._table.name}: a key of {int(keys.lengths.max())} bytes; the format holds up to {_KEY_BYTES}"
            )
        if (self._last_key is not None and (keys[0] or b"") <= self._last_key) or not ascends(keys):
            raise Corrupt(f"{self._table.name}: the source gave rows whose keys do not ascend")
        self._last_key = keys[len(keys) - 1]

    def _chunks(self, rows: Batch, ends: list[int], weights: NDArray[np.int64]) -> None:
        """Encode the chunks that end there and hand them to the first level of nodes."""
        starts = [0, *ends[:-1]]
        sizes = [stop - start for start, stop in zip(starts, ends, strict=True)]
        trees = [chunk.encode(rows.keys, starts, ends, is_key=True)]
        trees += [chunk.encode(cells, starts, ends) for cells in rows.columns]
        lasts = [rows.keys[end - 1] or b"" for end in ends]
        ranks = weights[np.asarray(ends) - 1].tolist()
        skip = 0
        if self._first is None and not self._levels:
            self._first = ([tree[0] for tree in trees], sizes[0], lasts[0], ranks[0])
            skip = 1
        if len(sizes) == skip:
            return
        if self._first is not None:
            first, size, last, rank = self._first
            for group, item in enumerate(first):
                self._put_chunks(group, [item])
            self._first = None
            self._level(1).extend([size], [last], [rank], [[ref] for ref, _ in first])
        for group, tree in enumerate(trees):
            self._put_chunks(group, tree[skip:])
        refs = [[ref for ref, _ in tree[skip:]] for tree in trees]
        self._level(1).extend(sizes[skip:], lasts[skip:], ranks[skip:], refs)
        self._close(1, final=False)

    def _put_chunks(self, group: int, encoded: Sequence[tuple[Ref, bytes]]) -> None:
        blobs = [(reference.digest_of(ref), data) for ref, data in encoded if data]
        if blobs:
            self._sink.put(Kind.CHUNK, [name for name, _ in blobs], [data for _, data in blobs], group=group)

    def _level(self, level: int) -> _Level:
        while len(self._levels) < level:
            self._levels.append(_Level(1 + len(self._table.columns)))
        return self._levels[level - 1]

    def _close(self, level: int, *, final: bool) -> None:
        """Make nodes of the children of this level that are complete, and hand them to the next."""
        children = self._level(level)
        if level > 1 and not final and children.closed == 0 and len(children.counts) == 1:
            return  # a single member may turn out to be the root
        ends = children.ends(level, final=final)
        if not ends:
            return
        above = self._level(level + 1)
        start = 0
        blobs: list[tuple[Digest, bytes]] = []
        for end in ends:
            counts = children.counts[start:end]
            refs = []
            for tree, own in enumerate(children.refs):
                ref, data = _node(level, counts, own[start:end], children.separators[start:end] if tree == 0 else None)
                if data:
                    blobs.append((reference.digest_of(ref), data))
                refs.append([ref])
            above.extend([sum(counts)], [children.separators[end - 1]], [children.ranks[end - 1]], refs)
            start = end
        children.drop(start)
        if blobs:
            self._sink.put(
                Kind.NODE, [name for name, _ in blobs], [data for _, data in blobs], group=_NODE_GROUP + level
            )
        if not final:
            self._close(level + 1, final=False)

    def _top(self) -> tuple[int, list[Ref]]:
        """The height and the root of each tree: the lowest level with a single member."""
        if not self._rows:
            return 0, [reference.NULLS] * (1 + len(self._table.columns))
        if self._first is not None:
            refs = []
            for group, (ref, data) in enumerate(self._first[0]):
                small = 0 < len(data) <= reference.INLINE_BYTES
                refs.append(reference.inline(data) if small else ref)
                if data and not small:
                    self._put_chunks(group, [(ref, data)])
            return 0, refs
        level = 1
        while True:
            self._close(level, final=True)
            above = self._level(level + 1)
            if len(above.counts) == 1 and above.closed == 0:
                return level, [own[0] for own in above.refs]
            level += 1


class _Level:
    """The children that wait for their node to end, as columns: one list of references a tree."""

    def __init__(self, trees: int) -> None:
        self.counts: list[int] = []
        self.separators: list[bytes] = []
        self.ranks: list[int] = []
        self.refs: list[list[Ref]] = [[] for _ in range(trees)]
        self.closed = 0
        self._stretch = Stretch()

    def extend(
        self, counts: Sequence[int], separators: Sequence[bytes], ranks: Sequence[int], refs: Sequence[Sequence[Ref]]
    ) -> None:
        self.counts.extend(counts)
        self.separators.extend(separators)
        self.ranks.extend(ranks)
        for own, more in zip(self.refs, refs, strict=True):
            own.extend(more)

    def ends(self, level: int, *, final: bool) -> list[int]:
        """Where nodes of this level end among the children waiting: children cut by the limit have rank 0."""
        ends = self._stretch.ends(np.asarray(self.ranks, np.int64) >= level + 1)
        if final and self.counts and (not ends or ends[-1] < len(self.counts)):
            ends.append(len(self.counts))
        return ends

    def drop(self, count: int) -> None:
        self.closed += count
        del self.counts[:count], self.separators[:count], self.ranks[:count]
        for own in self.refs:
            del own[:count]


def _node(level: int, counts: list[int], refs: list[Ref], separators: list[bytes] | None) -> tuple[Ref, bytes]:
    """A node's reference and bytes, or the constant that all its children are."""
    first = refs[0]
    if separators is None and reference.is_constant(first) and all(ref == first for ref in refs):
        return first, b""
    data = node.encode_node(level, counts, refs, separators)
    return reference.blob(digest(data), spills=any(map(reference.spills, refs))), data


def ascends(keys: Cells) -> bool:
    """Whether each key is greater than the one before, in plain byte order."""
    if keys.width in (1, 2, 4, 8):
        numbers = keys.data.view(f">u{keys.width}")
        return bool((numbers[1:] > numbers[:-1]).all())
    plain = [cell or b"" for cell in keys.to_list()]
    return all(map(bytes.__lt__, plain, plain[1:]))
