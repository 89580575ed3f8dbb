"""A text in all snapshots: each version of a cell that holds it, once, with the first and last snapshot of it.

    for found in find(repository, chains(repository.snapshots()), Needle("Zanzibar")):
        found.key, found.column, found.first, found.last

Of each table the first snapshot is read, and of every later one what differs from its neighbour: columns of text alone,
large values too, keys only where something was found. Chunks are looked through first, by name, and places are asked
for only of those that hold it (`snapstore.operations.sieve`). Memory grows with what is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from snapstore.operations.capture import Progress, silent
from snapstore.operations.cellsearch import CellHit, CellSearch, Values
from snapstore.operations.chain import Chain, Step
from snapstore.operations.needle import Needle
from snapstore.operations.sieve import Sieve
from snapstore.repository import Repository, Snapshot
from snapstore.rows import Cells, Column, KeyPart, Table
from snapstore.sources.display import holds_text
from snapstore.tree import Fetch
from snapstore.tree.diff import Pair, differing_leaves
from snapstore.tree.reader import Span, TableTree
from snapstore.tree.reference import Ref
from snapstore.tree.series import one_shape, open_all

__all__ = ["Found", "find"]

_SPANS = 1024
"""Spans that are searched in one round."""
_STEPS = 8
"""Snapshots whose chunks are looked through together: few enough that what was read is still at hand for a closer look,
enough that packs are read in parallel."""


@dataclass(frozen=True, slots=True)
class Found:
    """One version of a cell that holds the text. `column` is a stored column, or a part of the key.

    `first` and `last` are the oldest and newest snapshot that hold it, `held` how many do: fewer than lie between
    them, if it went away and came back. `cell` is one cell, a large one still to be fetched.
    """

    chain: Chain
    table: Table
    key: bytes
    column: Column | KeyPart
    cell: Cells
    first: Snapshot
    last: Snapshot
    held: int


def find(
    repository: Repository, through: Iterable[Chain], needle: Needle, *, progress: Progress = silent
) -> Iterator[Found]:
    """Every version that holds it, table by table, in order of key and then of time.

    Raises `NotFound` or `Corrupt` for what cannot be read: it may hold the text.
    """
    for chain in through:
        searched = _Search(repository.blobs, needle)
        for _, own in groupby(_opened(chain, repository.blobs), key=lambda one: one[1] and one[1].table.key):
            searched.run(list(own), progress, chain.name)
        yield from sorted(searched.found(chain), key=lambda one: (one.key, one.first.time, one.column.name))


def _opened(chain: Chain, fetch: Fetch) -> list[tuple[Step, TableTree | None]]:
    roots = [step.table.root for step in chain.steps if step.table is not None and step.table.root is not None]
    trees = iter(open_all(roots, fetch) if roots else [])
    return [(step, None if step.table is None else next(trees)) for step in chain.steps]


Hit = tuple[bytes, int, bytes, int]
"""The row's key, the number of the column in the shape of its run (-1 - i for part i of the key), the cell's bytes as
they are held, how it is spilled."""


@dataclass(slots=True)
class _Version:
    """A version of a cell, and the snapshots that were seen to hold it; `since` while one does."""

    table: Table
    column: Column | KeyPart
    hit: Hit
    first: Snapshot
    last: Snapshot
    held: int = 0
    since: int | None = None


class _Search:
    """One table through time: runs of snapshots in which it has one key, each going on where the last one ended."""

    def __init__(self, fetch: Fetch, needle: Needle) -> None:
        self._fetch = fetch
        self._values = Values(fetch, needle)
        self._needle = needle
        self._versions: dict[tuple[str, Hit], _Version] = {}
        self._step = 0
        self._open: dict[Hit, _Version] = {}
        self._last: Snapshot | None = None

    def found(self, chain: Chain) -> Iterator[Found]:
        """What was found in all the runs."""
        self._close(list(self._open))
        for one in self._versions.values():
            key, _, cell, spilled = one.hit
            width = one.column.width if isinstance(one.column, Column) else 0
            cells = Cells.constant(cell, 1, width=width, spilled=spilled)
            yield Found(chain, one.table, key, one.column, cells, one.first, one.last, one.held)

    def run(self, steps: Sequence[tuple[Step, TableTree | None]], progress: Progress, name: str) -> None:
        """Snapshots in which the table has one key, or none in which it is there."""
        self._close(list(self._open))
        if steps[0][1] is None:
            self._step += len(steps)
            return
        trees = one_shape([tree for _, tree in steps if tree is not None], _is_text)
        run = _Run(trees[0], self._fetch, self._needle, self._values)
        before: TableTree | None = None
        for at, ((step, tree), shaped) in enumerate(zip(steps, trees, strict=True)):
            assert tree is not None
            if at % _STEPS == 0:
                run.sieve.add(before, trees[at : at + _STEPS])
            for pairs in _pairs(before, shaped, run.sieve.may_hold):
                gone, come = run.search(pairs)
                self._close([hit for hit in gone if hit not in come])
                self._start([hit for hit in come if hit not in self._open], step.snapshot, tree.table, run)
            before, self._last = shaped, step.snapshot
            self._step += 1
            progress(f"searching {name}", self._step, None)

    def _start(self, hits: Sequence[Hit], snapshot: Snapshot, table: Table, run: _Run) -> None:
        for hit in hits:
            column = run.column(hit)
            version = self._versions.get((column.name, hit))
            if version is None:
                version = _Version(table, column, hit, snapshot, snapshot)
                self._versions[column.name, hit] = version
            version.since = self._step
            self._open[hit] = version

    def _close(self, hits: Iterable[Hit]) -> None:
        """The snapshot before this step was the last one that holds these."""
        for hit in hits:
            version = self._open.pop(hit)
            assert version.since is not None
            assert self._last is not None
            version.held += self._step - version.since
            version.last, version.since = self._last, None


def _pairs(before: TableTree | None, after: TableTree, where: Callable[[Span], bool]) -> Iterator[list[Pair]]:
    """What differs; of the first tree everything."""
    if before is not None:
        yield from differing_leaves(before, after, at_once=_SPANS, where=where)
        return
    for spans in after.leaves(where=where):
        yield [Pair([], spans, aligned=False)]


def _is_text(column: Column) -> bool:
    return holds_text(column.type, width=column.width, stride=column.stride)


Place = tuple[Ref | None, Ref, int, int]
"""The key's reference, a column's, the number of its tree, and the rows: what the hits there depend on."""


class _Run:
    """Spans of trees of one shape, searched where they are new; what was found in a span is remembered."""

    def __init__(self, reader: TableTree, fetch: Fetch, needle: Needle, values: Values) -> None:
        self._reader = reader
        self._search = CellSearch(reader.table, fetch, needle, values)
        self.sieve = Sieve(reader, self._search)
        self._hits: dict[Place, tuple[Hit, ...]] = {}
        self._refs: set[Ref | None] = set()  # of the columns in them

    def column(self, hit: Hit) -> Column | KeyPart:
        """The column, or the part of the key, that the hit is in."""
        table = self._reader.table
        return table.columns[hit[1]] if hit[1] >= 0 else table.key[-1 - hit[1]]

    def search(self, pairs: Sequence[Pair]) -> tuple[set[Hit], set[Hit]]:
        """What stood on one side of these pairs, and what stands on the other."""
        gone = self._known([span for pair in pairs for span in pair.before])
        spans = [span for pair in pairs for span in pair.after]
        for start in range(0, len(spans), _SPANS):
            self._look(spans[start : start + _SPANS])
        return gone, self._known(spans)

    def _known(self, spans: Sequence[Span]) -> set[Hit]:
        found: set[Hit] = set()
        for span in spans if self._hits else ():
            for tree in self._search.trees:
                ref = span.refs[tree]
                if ref in self._refs:
                    assert ref is not None
                    found.update(self._hits.get((span.refs[0], ref, tree, span.count), ()))
        return found

    def _look(self, spans: Sequence[Span]) -> None:
        """Search these spans, where they may hold it and were not searched yet."""
        for tree in self._search.trees:
            wanted = []
            for span in spans:
                ref = span.refs[tree]
                if ref is None or not self.sieve.may_hold_in(tree, ref):
                    continue
                if ref not in self._refs or (span.refs[0], ref, tree, span.count) not in self._hits:
                    wanted.append(span)
            if wanted:
                self._look_into(tree, wanted)

    def _look_into(self, tree: int, spans: Sequence[Span]) -> None:
        """Cell by cell."""
        ends = np.cumsum([span.count for span in spans])
        found: dict[int, list[CellHit]] = {}
        for hit in self._search.hits(tree, self._reader.cells(tree, spans)):
            found.setdefault(int(np.searchsorted(ends, hit.row, side="right")), []).append(hit)
        for place, hits in found.items():
            span = spans[place]
            ref = span.refs[tree]
            assert ref is not None
            keys = self._reader.keys([span])
            first = int(ends[place]) - span.count
            self._refs.add(ref)
            self._hits[span.refs[0], ref, tree, span.count] = tuple(
                (keys[hit.row - first] or b"", hit.number, hit.cell, hit.spilled) for hit in hits
            )
