"""Hints beside a table's trees: by which a cell that moved with its row is known without being read (format.md §10).

    hinted = open_hints(TableTree.open(root, fetch), hints, shape)     # None where they are of something else
    root, hints = put_roots(sink, schema, shape, rows, height, refs)

A table of hints has the rows, the keys and the shape of its own table, and a column for each of whose cells the source
can say by a few bytes which one it is. It lies outside the root: with it gone, cells are read again and nothing else
happens. It says of which root it is, so that it is never held against another. What the bytes mean is for the source.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snapstore.digest import Digest
from snapstore.errors import Corrupt, NotFound
from snapstore.rows import Batch, Table
from snapstore.tree import Fetch, Sink, node, reference
from snapstore.tree.reader import TableTree
from snapstore.tree.reference import Ref
from snapstore.tree.spine import put_root

__all__ = ["HintedTree", "joined", "open_hints", "put_roots", "shape_of"]

_OF = "of"


@dataclass(frozen=True, slots=True)
class HintedTree:
    """A table's trees with those of its hints behind them, as one table; the hints' shape, and their root."""

    tree: TableTree
    shape: Table
    root: Digest

    def noted(self) -> Iterator[Batch]:
        """Every key with its hints, in order of key."""
        count = len(self.tree.table.columns)
        columns = range(count - len(self.shape.columns), count)
        for spans in self.tree.leaves(columns):
            yield Batch(self.tree.keys(spans), tuple(self.tree.cells(at + 1, spans) for at in columns))


def joined(table: Table, shape: Table | None) -> Table:
    """The table with the columns of its hints behind its own."""
    return table if shape is None else dataclasses.replace(table, columns=(*table.columns, *shape.columns))


def open_hints(tree: TableTree, hints: Digest, shape: Table) -> HintedTree | None:
    """The trees with their hints; None where those are gone, damaged, of another root, or mean something else by now.

    Damage is not this one's to report: a hint that cannot be had is worth no more than one that was never kept.
    """
    try:
        beside = TableTree.open(hints, tree.fetch)
    except (Corrupt, NotFound):
        return None
    if beside.table != _bound(shape, tree.root) or (beside.count, beside.height) != (tree.count, tree.height):
        return None
    refs = [ref for span in tree.spans() for ref in span.refs if ref is not None]
    more = [ref for span in beside.spans() for ref in span.refs if ref is not None]
    if refs[:1] != more[:1]:
        return None
    parsed = node.Root(tree.count, tree.height, tree.schema, (*refs, *more[1:]))
    return HintedTree(TableTree(tree.root, joined(tree.table, shape), parsed, tree.fetch), shape, hints)


def shape_of(hints: Digest, fetch: Fetch) -> Table | None:
    """The shape that these hints were made with; None where they are gone or damaged."""
    try:
        table = TableTree.open(hints, fetch).table
    except (Corrupt, NotFound):
        return None
    definition = {name: own for name, own in table.definition.items() if name != _OF}
    return dataclasses.replace(table, definition=definition)


def put_roots(
    sink: Sink, schema: bytes, shape: Table | None, rows: int, height: int, refs: Sequence[Ref]
) -> tuple[Digest, Digest | None]:
    """Put the table blob of these trees, those of hints last, and that of the hints: None where none is worth it."""
    own = len(refs) - (0 if shape is None else len(shape.columns))
    root = put_root(sink, schema, rows, height, refs[:own])
    if shape is None or height == 0 or all(ref == reference.NULLS for ref in refs[own:]):
        return root, None
    return root, put_root(sink, node.encode_schema(_bound(shape, root)), rows, height, [refs[0], *refs[own:]])


def _bound(shape: Table, root: Digest) -> Table:
    return dataclasses.replace(shape, definition={**shape.definition, _OF: bytes(root)})
