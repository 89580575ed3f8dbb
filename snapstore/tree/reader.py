"""Reads a table's trees: shape, rows in key order, rows by key (format.md §4).

    tree = TableTree.open(root, fetch)
    for batch in tree.rows():
        ...

A `Span` is one place in all trees of a table at once: as they have one shape, it is what there is to walk. Large cells
stay spilled until `snapstore.tree.values.resolve` fetches them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice, repeat
from typing import NamedTuple, cast

import numpy as np

from snapstore.digest import Digest
from snapstore.errors import Corrupt
from snapstore.rows import Batch, Cells, Column, Table
from snapstore.tree import Fetch, Sink, chunk, node, reference
from snapstore.tree.chunks import decode_run
from snapstore.tree.reference import Ref
from snapstore.tree.spine import put_root

__all__ = ["Span", "TableTree"]

_NODES, _LEAST_NODES, _CHILDREN = 80, 4, 32
"""Nodes above chunks that are read in one round, of all trees and of each at least, and the children of one on average:
some four thousand rows of a wide table, sixteen thousand of one of four columns. What is paid by the round is not paid
by the row."""


class Span(NamedTuple):
    """The rows beneath one place: `refs` are the key tree's and each column's, None where nobody wants that tree.

    `separator` is the last key beneath, or None where the parent does not say (the root). A tuple, since a year of
    snapshots makes a million of them.
    """

    level: int
    count: int  # type: ignore[assignment]  # of rows: nobody counts what is in the tuple
    separator: bytes | None
    refs: tuple[Ref | None, ...]


class TableTree:
    """The trees of one table under its root."""

    def __init__(self, root: Digest, table: Table, parsed: node.Root, fetch: Fetch) -> None:
        self.root = root
        self.table = table
        self.fetch = fetch
        self._parsed = parsed

    @classmethod
    def open(cls, root: Digest, fetch: Fetch) -> TableTree:
        """Read the table and its schema. Raises `NotFound` or `Corrupt`."""
        parsed = node.decode_root(fetch.get_many([root])[0], f"table {root.hex()}")
        schema = fetch.get_many([parsed.schema])[0]
        table = node.decode_schema(schema, f"schema {parsed.schema.hex()}")
        if len(parsed.refs) != 1 + len(table.columns):
            raise Corrupt(f"table {root.hex()}: {len(parsed.refs) - 1} column trees, {len(table.columns)} columns")
        return cls(root, table, parsed, fetch)

    def without(self, columns: Collection[str], table: Table, sink: Sink) -> Digest:
        """The root of the same rows without these columns' trees: that of `table`, the shape without them."""
        kept = [at for at, column in enumerate(self.table.columns) if column.name not in columns]
        refs = [self._parsed.refs[0], *(self._parsed.refs[at + 1] for at in kept)]
        return put_root(sink, node.encode_schema(table), self._parsed.rows, self._parsed.height, refs)

    def widened(self, columns: Sequence[Column]) -> TableTree:
        """The same rows with these columns behind their own, NULL in every row; nothing is written."""
        table = replace(self.table, columns=(*self.table.columns, *columns))
        parsed = replace(self._parsed, refs=(*self._parsed.refs, *(reference.NULLS for _ in columns)))
        return TableTree(self.root, table, parsed, self.fetch)

    @property
    def count(self) -> int:
        """How many rows the table has."""
        return self._parsed.rows

    @property
    def height(self) -> int:
        """The level of the roots: 0 where the whole table is one chunk."""
        return self._parsed.height

    @property
    def schema(self) -> Digest:
        """The digest of the schema blob."""
        return self._parsed.schema

    def spans(self, columns: Sequence[int] | None = None) -> list[Span]:
        """The whole table as one span, or none if it has no rows; only these columns are wanted."""
        if not self.count:
            return []
        wanted = set(range(len(self.table.columns)) if columns is None else columns)
        refs = tuple(ref if tree == 0 or tree - 1 in wanted else None for tree, ref in enumerate(self._parsed.refs))
        return [Span(self._parsed.height, self.count, None, refs)]

    def expand(self, spans: Sequence[Span]) -> list[list[Span]]:
        """The children of each of these spans, all of level ≥ 1, in one round of reading."""
        wanted = [
            (tree, ref, span.level)
            for span in spans
            for tree, ref in enumerate(span.refs)
            if ref is not None and reference.is_blob(ref)
        ]
        nodes = iter(self.nodes(wanted))
        return [self._children(span, nodes) for span in spans]

    def nodes(self, wanted: Sequence[tuple[int, Ref, int]]) -> list[node.Node]:
        """The nodes of these trees, references and levels, in one round of reading."""
        blobs = self.fetch.get_many([reference.digest_of(ref) for _, ref, _ in wanted])
        return [
            node.decode_node(data, self._name(tree, ref), level=level, is_key=tree == 0)
            for (tree, ref, level), data in zip(wanted, blobs, strict=True)
        ]

    def _children(self, span: Span, found: Iterator[node.Node]) -> list[Span]:
        nodes = [next(found) if ref is not None and reference.is_blob(ref) else None for ref in span.refs]
        key = nodes[0]
        if key is None:
            raise Corrupt(f"{self.table.name}: a node of keys is missing beneath {self.root.hex()}")
        columns: list[Sequence[Ref | None]] = []
        for tree, (ref, parsed) in enumerate(zip(span.refs, nodes, strict=True)):
            if parsed is None:
                columns.append([ref] * len(key.refs))
            elif parsed.counts != key.counts:
                raise Corrupt(f"{self._name(tree, ref)}: its shape is not that of the keys")
            else:
                columns.append(parsed.refs)
        if sum(key.counts) != span.count:
            raise Corrupt(f"{self._name(0, span.refs[0])}: {sum(key.counts)} rows where its parent says {span.count}")
        # Siblings end at different keys, so no node can stand in the place of two (see `decode_node`).
        if span.separator is not None and key.separators[-1] != span.separator:
            raise Corrupt(f"{self._name(0, span.refs[0])}: its last key is not the one its parent says")
        levels, refs = repeat(span.level - 1, len(key.counts)), zip(*columns, strict=True)
        return list(map(Span._make, zip(levels, key.counts, key.separators, refs, strict=True)))

    def keys(self, spans: Sequence[Span]) -> Cells:
        """The keys of these spans of level 0, one after the other."""
        return self.cells(0, spans)

    def cells(self, tree: int, spans: Sequence[Span]) -> Cells:
        """The cells of one tree (0 is the key, column i is tree i + 1) in these spans of level 0, still spilled."""
        return self._trees([tree], spans)[0]

    def batch(self, spans: Sequence[Span]) -> Batch:
        """Whole rows of these spans of level 0, whose columns are all wanted."""
        key, *columns = self._trees(range(1 + len(self.table.columns)), spans)
        return Batch(key, tuple(columns))

    def _trees(self, trees: Sequence[int], spans: Sequence[Span]) -> list[Cells]:
        """The cells of several trees in one round of reading."""
        refs: list[list[Ref]] = []
        for tree in trees:
            own = [span.refs[tree] for span in spans]
            assert None not in own, "a column nobody wanted"
            refs.append(cast("list[Ref]", own))
        wanted = [reference.digest_of(ref) for own in refs for ref in own if reference.is_blob(ref)]
        blobs = iter(self.fetch.get_many(wanted))
        counts = [span.count for span in spans]
        return [self._decode(tree, own, counts, blobs) for tree, own in zip(trees, refs, strict=True)]

    def _decode(self, tree: int, refs: Sequence[Ref], counts: Sequence[int], blobs: Iterator[bytes]) -> Cells:
        """All chunks are decoded together, and the constants between them put where they belong."""
        width = self._width(tree)
        what = f"{self.table.name}: {'keys' if tree == 0 else self.table.columns[tree - 1].name}"
        if all(map(reference.is_blob, refs)):
            if not refs:
                return Cells.of([], width=width)
            return decode_run(list(islice(blobs, len(refs))), what, width=width, counts=counts)
        chunks: list[bytes] = []
        sizes: list[int] = []
        constants: list[tuple[int, Cells]] = []  # each with the rows of chunks before it
        before = 0
        for ref, count in zip(refs, counts, strict=True):
            if reference.is_constant(ref):
                constants.append((before, chunk.decode_constant(ref, count, width, what)))
            else:
                inline = reference.inline_chunk(ref)
                chunks.append(next(blobs) if inline is None else inline)
                sizes.append(count)
                before += count
        cells = decode_run(chunks, what, width=width, counts=sizes) if chunks else Cells.of([], width=width)
        pieces: list[Cells] = []
        done = 0
        for place, constant in constants:
            if place > done:
                pieces.append(cells.slice(done, place))
                done = place
            pieces.append(constant)
        if done < before:
            pieces.append(cells.slice(done, before))
        return Cells.concat(pieces)

    def _width(self, tree: int) -> int:
        return self.table.key_width if tree == 0 else self.table.columns[tree - 1].width

    def _name(self, tree: int, ref: Ref | None) -> str:
        part = "keys" if tree == 0 else self.table.columns[tree - 1].name
        return f"{self.table.name}: {part}: node {reference.digest_of(ref).hex() if ref else '?'}"

    def leaves(
        self, columns: Sequence[int] | None = None, *, where: Callable[[Span], bool] | None = None
    ) -> Iterator[list[Span]]:
        """Every span of level 0 in order of key, in groups of at least about four thousand rows.

        With `where` only those beneath spans, and among them those, of which it says so.
        """
        trees = 1 + len(self.table.columns if columns is None else columns)
        yield from self._leaves(self.spans(columns), max(_LEAST_NODES, _NODES // trees), where)

    def _leaves(self, spans: list[Span], nodes: int, where: Callable[[Span], bool] | None) -> Iterator[list[Span]]:
        if where is not None:
            spans = list(filter(where, spans))
        if spans and spans[0].level == 0:
            step = nodes * _CHILDREN
            for start in range(0, len(spans), step):
                yield spans[start : start + step]
            return
        step = nodes if spans and spans[0].level == 1 else 1
        for start in range(0, len(spans), step):
            children = self.expand(spans[start : start + step])
            yield from self._leaves([child for group in children for child in group], nodes, where)

    def rows(self) -> Iterator[Batch]:
        """Every row in order of key, cells still spilled."""
        for spans in self.leaves():
            yield self.batch(spans)

    def lookup(self, keys: Sequence[bytes], columns: Sequence[int] | None = None) -> Batch:
        """The rows with these keys, ascending and without repeats; a key that is not there is left out.

        The batch has these columns, all of them by default.
        """
        wanted = range(len(self.table.columns)) if columns is None else columns
        groups = [(span, list(keys)) for span in self.spans(wanted)] if keys else []
        while groups and groups[0][0].level:
            below: list[tuple[Span, list[bytes]]] = []
            for children, (_, own) in zip(self.expand([span for span, _ in groups]), groups, strict=True):
                ends = [child.separator or b"" for child in children]
                start = 0
                while start < len(own) and (at := bisect_left(ends, own[start])) < len(ends):
                    stop = bisect_right(own, ends[at], start)
                    below.append((children[at], own[start:stop]))
                    start = stop
            groups = below
        if not groups:
            empty = self.empty()
            return Batch(empty.keys, tuple(empty.columns[at] for at in wanted))
        spans = [span for span, _ in groups]
        found_keys, *cells = self._trees([0, *(at + 1 for at in wanted)], spans)
        batch = Batch(found_keys, tuple(cells))
        there = batch.keys.to_list()
        asked = [key for _, own in groups for key in own]
        if there == asked:
            return batch
        place = {key: at for at, key in enumerate(there)}
        found = [place[key] for key in asked if key in place]
        return batch.take(np.asarray(found, np.int64))

    def empty(self) -> Batch:
        """No rows, of the table's shape."""
        return Batch(
            Cells.of([], width=self.table.key_width),
            tuple(Cells.of([], width=column.width) for column in self.table.columns),
        )
