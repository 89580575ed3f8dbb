"""Where in many trees of one table a text may be: every chunk they have between them is looked through once.

    sieve = Sieve(reader, search)
    sieve.add(None, trees)                      # oldest first; in portions, each told the tree before it
    sieve.may_hold(span)                        # False is sure, of any span of these trees

Nearly all chunks do not hold what is looked for, and of those nobody need know which rows they are of. So chunks are
taken by name, without keys, and only a span that may hold it is worth the walk to it. Memory grows with what is found,
and with the references of one tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from snapstore.operations.cellsearch import CellSearch
from snapstore.rows import Cells
from snapstore.tree import reference
from snapstore.tree.chunks import decode_run
from snapstore.tree.fresh import fresh
from snapstore.tree.reader import Span, TableTree
from snapstore.tree.reference import Ref

__all__ = ["Sieve"]

_ROWS = 1 << 17
"""Rows whose cells of one column are read in one round: 64 MB at most, as a cell in a chunk is at most 512 bytes."""


class Sieve:
    """The references, of chunks and of nodes above them, beneath which the text may stand; `reader` is of their shape.

    Raises `NotFound` or `Corrupt` for what cannot be read: it may hold the text.
    """

    def __init__(self, reader: TableTree, search: CellSearch) -> None:
        self._reader = reader
        self._search = search
        self._likely: tuple[set[Ref | None], ...] = tuple(set() for _ in range(1 + len(reader.table.columns)))

    def may_hold(self, span: Span) -> bool:
        """Whether the text may be in a cell beneath; False is sure."""
        return any(ref in likely for ref, likely in zip(span.refs, self._likely, strict=True))

    def may_hold_in(self, tree: int, ref: Ref | None) -> bool:
        """The same of one tree: 0 is the key, column i is i + 1."""
        return ref in self._likely[tree]

    def add(self, before: TableTree | None, trees: Sequence[TableTree]) -> None:
        """Look through whatever these trees have and the one before them has not."""
        for tree in self._search.trees:
            found = fresh(before, trees, tree)
            likely = self._likely[tree]
            for leaves in _rounds(found.leaves):
                likely.update(self._chunks(tree, leaves))
            likely.update(self._others(tree, found.leaves))
            for node, below in found.nodes.items():
                if not likely.isdisjoint(below):
                    likely.add(node)

    def _chunks(self, tree: int, leaves: Mapping[Ref, int]) -> Iterator[Ref]:
        """Which of these chunks, each with its rows, may hold it."""
        needle = self._search.needle
        blobs = self._search.fetch.get_many([reference.digest_of(ref) for ref in leaves])
        patterned: dict[Ref, bytes] = {}
        spilling: dict[Ref, bytes] = {}
        for ref, data in zip(leaves, blobs, strict=True):
            if needle.may_stand_in(data):
                if not needle.is_pattern:
                    yield ref
                else:
                    patterned[ref] = data
            elif reference.spills(ref):
                spilling[ref] = data
        what = f"{self._search.table.name}: a column of text"
        for own, values_alone in ((patterned, False), (spilling, True)):
            if own:
                counts = [leaves[ref] for ref in own]
                cells = decode_run(list(own.values()), what, width=0, counts=counts)
                yield from self._exactly(tree, list(own), counts, cells, values_alone)

    def _others(self, tree: int, leaves: Mapping[Ref, int]) -> Iterator[Ref]:
        """Which of these that are no blobs hold it."""
        refs = [ref for ref in leaves if not reference.is_blob(ref) and ref != reference.NULLS]
        if refs:
            # Of a constant one cell is enough, however many rows have it.
            counts = [1 if reference.is_constant(ref) else leaves[ref] for ref in refs]
            empty = (None,) * tree
            spans = [Span(0, rows, None, (*empty, ref)) for ref, rows in zip(refs, counts, strict=True)]
            yield from self._exactly(tree, refs, counts, self._reader.cells(tree, spans), False)

    def _exactly(
        self, tree: int, refs: Sequence[Ref], counts: Sequence[int], cells: Cells, values_alone: bool
    ) -> Iterator[Ref]:
        rows = [hit.row for hit in self._search.hits(tree, cells, values_alone=values_alone)]
        for at in np.unique(np.searchsorted(np.cumsum(counts), rows, side="right")).tolist() if rows else ():
            yield refs[at]


def _rounds(leaves: Mapping[Ref, int]) -> Iterator[dict[Ref, int]]:
    """The chunks among these, so many at a time as have `_ROWS` rows."""
    some: dict[Ref, int] = {}
    rows = 0
    for ref, count in leaves.items():
        if reference.is_blob(ref):
            some[ref] = count
            rows += count
            if rows >= _ROWS:
                yield some
                some, rows = {}, 0
    if some:
        yield some
