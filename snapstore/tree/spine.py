"""The levels above the chunks: takes leaves in order and makes nodes of them (format.md §4).

    spine = Spine(trees=3, sink=sink)
    spine.extend(leaves)
    height, refs = spine.top()

It does not care whether a leaf was encoded a moment ago or is one that another tree has already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snapstore.digest import Digest, Kind, Naming
from snapstore.tree import Sink, node, reference
from snapstore.tree.cuts import Stretch
from snapstore.tree.reference import Ref

__all__ = ["Leaves", "Spine", "put_root"]

# Frames are filled by group: chunks of one column compress best together; nodes are mostly digests.
_NODE_GROUP = 1 << 20


@dataclass(frozen=True, slots=True)
class Leaves:
    """Consecutive chunks of all trees of a table: rows in each, its last key, and that key's λ.

    `chunks[tree][i]` is a reference and its bytes; no bytes where the chunk is a constant or is stored already.
    """

    counts: list[int]
    lasts: list[bytes]
    ranks: list[int]
    chunks: list[list[tuple[Ref, bytes]]]

    def __len__(self) -> int:
        return len(self.counts)


class Spine:
    """Puts chunks and nodes to the sink as soon as it is known that they are ones."""

    def __init__(self, trees: int, sink: Sink) -> None:
        self._trees = trees
        self._sink = sink
        # The first chunk is held back: alone it may go into the table blob itself.
        self._first: Leaves | None = None
        self._levels: list[_Level] = []

    def extend(self, leaves: Leaves) -> None:
        """The next leaves."""
        if self._first is None and not self._levels:
            self._first, leaves = _split(leaves)
        if not leaves:
            return
        if self._first is not None:
            first, self._first = self._first, None
            self._add(first)
        self._add(leaves)
        self._close(1, final=False)

    def top(self) -> tuple[int, list[Ref]]:
        """The height and the root of each tree, once there is no more: the lowest level with a single member."""
        if self._first is not None:
            refs = []
            for group, ((ref, data),) in enumerate(self._first.chunks):
                small = 0 < len(data) <= reference.INLINE_BYTES
                refs.append(reference.inline(data) if small else ref)
                if data and not small:
                    self._put(Kind.CHUNK, group, [(ref, data)])
            return 0, refs
        if not self._levels:
            return 0, [reference.NULLS] * self._trees
        level = 1
        while True:
            self._close(level, final=True)
            above = self._level(level + 1)
            if len(above.counts) == 1 and above.closed == 0:
                return level, [own[0] for own in above.refs]
            level += 1

    def _add(self, leaves: Leaves) -> None:
        for group, chunks in enumerate(leaves.chunks):
            self._put(Kind.CHUNK, group, chunks)
        refs = [[ref for ref, _ in chunks] for chunks in leaves.chunks]
        self._level(1).extend(leaves.counts, leaves.lasts, leaves.ranks, refs)

    def _put(self, kind: Kind, group: int, blobs: Sequence[tuple[Ref, bytes]]) -> None:
        """Those of them that have bytes."""
        names = [reference.digest_of(ref) for ref, data in blobs if data]
        if names:
            self._sink.put(kind, names, [data for _, data in blobs if data], group=group)

    def _level(self, level: int) -> _Level:
        while len(self._levels) < level:
            self._levels.append(_Level(self._trees))
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
        blobs: list[tuple[Ref, bytes]] = []
        for end in ends:
            counts = children.counts[start:end]
            refs = []
            for tree, own in enumerate(children.refs):
                separators = children.separators[start:end] if tree == 0 else None
                ref, data = _node(level, counts, own[start:end], separators, self._sink.naming)
                blobs.append((ref, data))
                refs.append([ref])
            above.extend([sum(counts)], [children.separators[end - 1]], [children.ranks[end - 1]], refs)
            start = end
        children.drop(start)
        self._put(Kind.NODE, _NODE_GROUP + level, blobs)
        if not final:
            self._close(level + 1, final=False)


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


def _split(leaves: Leaves) -> tuple[Leaves, Leaves]:
    """The first leaf and the others."""
    first, rest = slice(0, 1), slice(1, None)
    return (
        Leaves(leaves.counts[first], leaves.lasts[first], leaves.ranks[first], [one[first] for one in leaves.chunks]),
        Leaves(leaves.counts[rest], leaves.lasts[rest], leaves.ranks[rest], [one[rest] for one in leaves.chunks]),
    )


def _node(
    level: int, counts: list[int], refs: list[Ref], separators: list[bytes] | None, naming: Naming
) -> tuple[Ref, bytes]:
    """A node's reference and bytes, or the constant that all its children are."""
    first = refs[0]
    if separators is None and reference.is_constant(first) and all(ref == first for ref in refs):
        return first, b""
    data = node.encode_node(level, counts, refs, separators)
    return reference.blob(naming.digest(data), spills=any(map(reference.spills, refs))), data


def put_root(sink: Sink, schema: bytes, rows: int, height: int, refs: Sequence[Ref]) -> Digest:
    """Put the schema and the table blob; the table's root."""
    digest = sink.naming.digest
    schema_digest = digest(schema)
    sink.put(Kind.SCHEMA, [schema_digest], [schema], group=_NODE_GROUP)
    data = node.encode_root(node.Root(rows, height, schema_digest, tuple(refs)))
    name = digest(data)
    sink.put(Kind.TABLE, [name], [data], group=_NODE_GROUP)
    return name
