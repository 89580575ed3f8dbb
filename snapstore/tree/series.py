"""Trees of one table in order of time, read together: what two of them share is read and decoded once.

    trees = one_shape(open_all(roots, fetch))
    rows = rows_with_key(trees, key)                    # one row in all of them, a round of reading a level
    for pairs in differing_leaves(trees[0], trees[1]):  # what one has that its neighbour has not
        ...

Neighbours differ in little, so a year of snapshots costs little more than what changed in it. It does not know which
snapshots the trees are of, or what the rows mean.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np

from snapstore.digest import Digest
from snapstore.errors import Corrupt
from snapstore.rows import Cells, Column, Table
from snapstore.tree import Fetch, node, reference
from snapstore.tree.reader import Span, TableTree
from snapstore.tree.reference import Ref

__all__ = ["one_shape", "open_all", "rows_with_key"]

_CHILDREN = 1 << 17
"""Children of all nodes that are kept decoded, once as nodes and once as spans: some 80 MB, enough for both sides of a
table of a million rows."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class _Kept(Generic[Key, Value]):
    """What was used last, within a sum of sizes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._size = 0

    def get(self, key: Key) -> Value | None:
        found = self._held.get(key)
        if found is None:
            return None
        self._held.move_to_end(key)
        return found[0]

    def keep(self, key: Key, value: Value, size: int) -> None:
        if key not in self._held:
            self._held[key] = (value, size)
            self._size += size
        while self._size > self._limit:
            self._size -= self._held.popitem(last=False)[1][1]


_Place = tuple[bool, int, Ref]
"""What a node depends on: whether it is of keys, its level, and how it is named."""


class _Nodes:
    """What the trees of a series have read: nodes by what they depend on, and children of spans by their shape."""

    def __init__(self) -> None:
        self.nodes: _Kept[_Place, node.Node] = _Kept(_CHILDREN)
        self.children: _Kept[Span, list[Span]] = _Kept(_CHILDREN)


class _Sharing(TableTree):
    """A tree whose nodes are held together with those of its neighbours."""

    def __init__(self, root: Digest, table: Table, parsed: node.Root, fetch: Fetch, held: _Nodes) -> None:
        super().__init__(root, table, parsed, fetch)
        self._held = held

    def expand(self, spans: Sequence[Span]) -> list[list[Span]]:
        """As of any tree, reading no node that a neighbour has read."""
        found: dict[Span, list[Span]] = {}
        for span in spans:
            held = self._held.children.get(span)
            if held is not None:
                found[span] = held
        fresh = list(dict.fromkeys(span for span in spans if span not in found))
        for span, children in zip(fresh, super().expand(fresh), strict=True):
            found[span] = children
            self._held.children.keep(span, children, len(children))
        return [found[span] for span in spans]

    def nodes(self, wanted: Sequence[tuple[int, Ref, int]]) -> list[node.Node]:
        places = [(tree == 0, level, ref) for tree, ref, level in wanted]
        found: dict[_Place, node.Node] = {}
        missing: dict[_Place, tuple[int, Ref, int]] = {}
        for place, one in zip(places, wanted, strict=True):
            held = self._held.nodes.get(place)
            if held is None:
                missing.setdefault(place, one)
            else:
                found[place] = held
        for place, own in zip(missing, super().nodes(list(missing.values())), strict=True):
            found[place] = own
            self._held.nodes.keep(place, own, len(own.refs))
        return [found[place] for place in places]

    def shaped(self, table: Table) -> _Sharing:
        """The same rows with the columns of `table`: of a column that is not here every cell is NULL."""
        own = dict(zip(self.table.columns, self._parsed.refs[1:], strict=True))
        refs = (self._parsed.refs[0], *(own.get(column, reference.NULLS) for column in table.columns))
        return _Sharing(self.root, table, replace(self._parsed, refs=refs), self.fetch, self._held)


def open_all(roots: Sequence[Digest], fetch: Fetch) -> list[TableTree]:
    """The trees under these roots, opened in two rounds of reading. Raises `NotFound` or `Corrupt`."""
    names = list(dict.fromkeys(roots))
    parsed = {
        name: node.decode_root(data, f"table {name.hex()}")
        for name, data in zip(names, fetch.get_many(names), strict=True)
    }
    schemas = list(dict.fromkeys(one.schema for one in parsed.values()))
    tables = {
        name: node.decode_schema(data, f"schema {name.hex()}")
        for name, data in zip(schemas, fetch.get_many(schemas), strict=True)
    }
    for name, one in parsed.items():
        if len(one.refs) != 1 + len(tables[one.schema].columns):
            columns = len(tables[one.schema].columns)
            raise Corrupt(f"table {name.hex()}: {len(one.refs) - 1} column trees, {columns} columns")
    held = _Nodes()
    trees = {name: _Sharing(name, tables[one.schema], one, fetch, held) for name, one in parsed.items()}
    return [trees[root] for root in roots]


def one_shape(trees: Sequence[TableTree], wants: Callable[[Column], bool] = lambda column: True) -> list[TableTree]:
    """The same rows under one list of columns: all that some tree of `open_all` has and `wants` wants.

    A column that a tree does not have is NULL in every row of it. Columns of one name and different types are
    different columns. All trees must have one key.
    """
    assert len({tree.table.key for tree in trees}) <= 1, "rows of different keys"
    columns = tuple(dict.fromkeys(column for tree in trees for column in tree.table.columns if wants(column)))
    shapes: dict[int, TableTree] = {}
    for tree in trees:
        assert isinstance(tree, _Sharing), "a tree that was not opened with others"
        if id(tree) not in shapes:
            shapes[id(tree)] = tree.shaped(replace(tree.table, columns=columns))
    return [shapes[id(tree)] for tree in trees]


Row = tuple[Cells, ...]
"""The cells of one row, each on its own, still spilled: equal cells of equal columns are one object."""


def rows_with_key(trees: Sequence[TableTree], key: bytes) -> list[Row | None]:
    """The row with this key in each of these trees, which have one shape; None where there is none.

    Reads each blob on the way once, and all of a level in one round.
    """
    leaves = _leaves_at(trees, key)
    spans = list(dict.fromkeys(span for span in leaves if span is not None))
    if not spans:
        return [None] * len(trees)
    reader = trees[0]
    keys = _cells_by_ref(reader, 0, spans)
    places = {ref: _place(cells, key) for ref, cells in keys.items()}
    holding = [span for span in spans if places[_named(span, 0)] is not None]
    columns = []
    for at in range(1, 1 + len(reader.table.columns)):
        known: dict[tuple[bytes | None, int], Cells] = {}
        found: dict[tuple[Ref, int, int], Cells] = {}
        for name, cells in _cells_by_ref(reader, at, holding).items():
            for place in {places[_named(span, 0)] for span in holding if _named(span, at) == name}:
                assert place is not None
                cell = cells.slice(place, place + 1)
                spilled = 0 if cell.spilled is None else int(cell.spilled[0])
                found[*name, place] = known.setdefault((cell[0], spilled), cell)
        columns.append(found)
    rows: dict[Span, Row] = {}
    for span in holding:
        place = places[_named(span, 0)]
        assert place is not None
        rows[span] = tuple(found[*_named(span, at), place] for at, found in enumerate(columns, 1))
    return [None if span is None else rows.get(span) for span in leaves]


def _leaves_at(trees: Sequence[TableTree], key: bytes) -> list[Span | None]:
    """The span of level 0 in each tree that would hold the key."""
    at: list[Span | None] = [next(iter(tree.spans()), None) for tree in trees]
    for level in range(max((span.level for span in at if span is not None), default=0), 0, -1):
        spans = list(dict.fromkeys(span for span in at if span is not None and span.level == level))
        below = {span: _child(found, key) for span, found in zip(spans, trees[0].expand(spans), strict=True)}
        at = [below[span] if span is not None and span.level == level else span for span in at]
    return at


def _child(children: Sequence[Span], key: bytes) -> Span | None:
    at = bisect_left([child.separator or b"" for child in children], key)
    return children[at] if at < len(children) else None


def _named(span: Span, tree: int) -> tuple[Ref, int]:
    """What is the same wherever the cells of one tree in a span are: a constant is, with its number of rows."""
    ref = span.refs[tree]
    assert ref is not None, "a column nobody wanted"
    return ref, span.count


def _cells_by_ref(reader: TableTree, tree: int, spans: Iterable[Span]) -> dict[tuple[Ref, int], Cells]:
    """The cells of one tree in these spans of level 0, each chunk read once."""
    one_each = {_named(span, tree): span for span in spans}
    if not one_each:
        return {}
    cells = reader.cells(tree, list(one_each.values()))
    ends = np.cumsum([0, *(count for _, count in one_each)]).tolist()
    return {name: cells.slice(a, b) for name, (a, b) in zip(one_each, pairwise(ends), strict=True)}


def _place(keys: Cells, key: bytes) -> int | None:
    found = keys.to_list()
    at = bisect_left(found, key)  # type: ignore[type-var]  # keys are never NULL
    return at if at < len(found) and found[at] == key else None
