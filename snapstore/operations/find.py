"""A text in all snapshots: each version of a cell that holds it, once, with the first and last snapshot of it.

    for found in find(repository, chains(repository.snapshots()), Needle("Zanzibar")):
        found.key, found.column, found.first, found.last

Of each table the first snapshot is read, and of every later one what differs from its neighbour: columns of text alone,
large values too, keys only where something was found. Memory grows with what is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from snapstore.blobs.pack import rows_of
from snapstore.digest import Digest
from snapstore.keys import decode_equal
from snapstore.operations.capture import Progress, silent
from snapstore.operations.chain import Chain, Step
from snapstore.operations.marks import DigestSet
from snapstore.operations.needle import Needle
from snapstore.repository import Repository, Snapshot
from snapstore.rows import Cells, Column, KeyPart, Table
from snapstore.sources.display import holds_text, texts
from snapstore.tree import Fetch, reference
from snapstore.tree.diff import Pair, differing_leaves
from snapstore.tree.reader import Span, TableTree
from snapstore.tree.reference import Ref
from snapstore.tree.series import one_shape, open_all
from snapstore.tree.values import resolve

__all__ = ["Found", "find"]

_SPANS = 1024
"""Spans that are searched in one round."""
_VALUES = 128
"""Large values that are fetched in one round: 64 KB each at most, and those in parts one by one."""


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
        self._values = _Values(fetch, needle)
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
        for (step, tree), shaped in zip(steps, trees, strict=True):
            assert tree is not None
            for pairs in _pairs(before, shaped):
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


def _pairs(before: TableTree | None, after: TableTree) -> Iterator[list[Pair]]:
    """What differs; of the first tree everything."""
    if before is not None:
        yield from differing_leaves(before, after, at_once=_SPANS)
        return
    for spans in after.leaves():
        yield [Pair([], spans, aligned=False)]


def _is_text(column: Column) -> bool:
    return holds_text(column.type, width=column.width, stride=column.stride)


Place = tuple[Ref | None, Ref, int, int]
"""The key's reference, a column's, the number of its tree, and the rows: what the hits there depend on."""


class _Run:
    """Spans of trees of one shape, searched where they are new; what was found in a span is remembered."""

    def __init__(self, reader: TableTree, fetch: Fetch, needle: Needle, values: _Values) -> None:
        self._reader = reader
        self._fetch = fetch
        self._needle = needle
        self._values = values
        self._hits: dict[Place, tuple[Hit, ...]] = {}
        self._refs: set[Ref | None] = set()  # of the columns in them
        self._parts = [at for at, part in enumerate(reader.table.key) if part.lossless and holds_text(part.type)]
        self._trees = [*([0] if self._parts else []), *range(1, 1 + len(reader.table.columns))]

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
            for tree in self._trees:
                ref = span.refs[tree]
                if ref in self._refs:
                    assert ref is not None
                    found.update(self._hits.get((span.refs[0], ref, tree, span.count), ()))
        return found

    def _look(self, spans: Sequence[Span]) -> None:
        """Search these spans: chunks first, and only where one may hold it the keys and the cells."""
        wanted: dict[int, list[Span]] = {}
        blobs: list[tuple[int, Span, Ref]] = []
        for span in spans:
            for tree in self._trees:
                ref = span.refs[tree]
                if ref is None or ref == reference.NULLS:
                    continue
                if ref in self._refs and (span.refs[0], ref, tree, span.count) in self._hits:
                    continue
                if reference.is_blob(ref) and not reference.spills(ref):
                    blobs.append((tree, span, ref))
                else:
                    wanted.setdefault(tree, []).append(span)
        chunks = self._fetch.get_many([reference.digest_of(ref) for _, _, ref in blobs])
        for (tree, span, _), data in zip(blobs, chunks, strict=True):
            if self._needle.may_stand_in(data):
                wanted.setdefault(tree, []).append(span)
        for tree, own in wanted.items():
            self._look_into(tree, own)

    def _look_into(self, tree: int, spans: Sequence[Span]) -> None:
        """Cell by cell: whatever of these may hold it."""
        cells = self._reader.cells(tree, spans)
        self._values.look(cells, "" if tree == 0 else self._reader.table.columns[tree - 1].type)
        starts = np.cumsum([0, *(span.count for span in spans)]).tolist()
        if tree == 0:
            columns = list(enumerate(decode_equal(self._reader.table.key, cells)))
            told = [(-1 - at, self._reader.table.key[at].type, own) for at, own in columns if at in self._parts]
        else:
            told = [(tree - 1, self._reader.table.columns[tree - 1].type, cells)]
        found: dict[int, list[tuple[int, int, bytes, int]]] = {}
        for number, of_type, own in told:
            for at in self._rows(own, of_type):
                spilled = 0 if own.spilled is None else int(own.spilled[at])
                place = int(np.searchsorted(starts, at, side="right")) - 1
                found.setdefault(place, []).append((at - starts[place], number, own[at] or b"", spilled))
        for place, hits in found.items():
            span = spans[place]
            ref = span.refs[tree]
            assert ref is not None
            keys = self._reader.keys([span])
            self._refs.add(ref)
            self._hits[span.refs[0], ref, tree, span.count] = tuple(
                (keys[row] or b"", number, cell, spilled) for row, number, cell, spilled in hits
            )

    def _rows(self, cells: Cells, of_type: str) -> Iterator[int]:
        """The cells that hold it; the values among them were looked at."""
        is_spilled = np.zeros(len(cells), np.bool_) if cells.spilled is None else cells.spilled > 0
        for at in self._likely(cells, is_spilled):
            cell = cells[at]
            if cell is not None and _holds(self._needle, cell, of_type):
                yield at
        if self._values.found_any:
            for at in np.flatnonzero(is_spilled).tolist():
                if self._values.holds(cells[at] or b"", of_type):
                    yield at

    def _likely(self, cells: Cells, is_spilled: NDArray[np.bool_]) -> list[int]:
        """The cells in which its bytes begin, of those that are here; all of them where nobody can say."""
        data = cells.data.tobytes()
        starts = self._needle.starts(data)
        if starts is None:
            rows: list[int] = np.flatnonzero(~is_spilled).tolist() if self._needle.may_stand_in(data) else []
            return rows
        found = np.unique(np.searchsorted(cells.offsets, starts, side="right") - 1) if starts else np.empty(0, np.int64)
        own: list[int] = found[~is_spilled[found]].tolist()
        return own


class _Values:
    """Large values, each fetched and searched once, whatever rows and snapshots have it."""

    def __init__(self, fetch: Fetch, needle: Needle) -> None:
        self._fetch = fetch
        self._needle = needle
        self._searched: dict[str, DigestSet] = {}
        self._holding: set[tuple[str, bytes]] = set()

    def look(self, cells: Cells, of_type: str) -> None:
        """Search the values among these cells that were not searched yet, as cells of this type."""
        if cells.spilled is None:
            return
        for kind, step in ((1, _VALUES), (2, 1)):
            rows = np.flatnonzero(cells.spilled == kind)
            if not len(rows):
                continue
            names = [Digest(cell or b"") for cell in cells.take(rows).to_list()]
            rows = rows[self._searched.setdefault(of_type, DigestSet()).add(rows_of(names))]
            for start in range(0, len(rows), step):
                some = cells.take(rows[start : start + step])
                for name, value in zip(some.to_list(), resolve(some, self._fetch).to_list(), strict=True):
                    if value is not None and _holds(self._needle, value, of_type):
                        self._holding.add((of_type, name or b""))

    @property
    def found_any(self) -> bool:
        """Whether any value so far holds it."""
        return bool(self._holding)

    def holds(self, name: bytes, of_type: str) -> bool:
        """Whether the value with this digest, which was looked at, holds it."""
        return (of_type, name) in self._holding


def _holds(needle: Needle, cell: bytes, of_type: str) -> bool:
    return needle.may_stand_in(cell) and any(needle.span(text) is not None for text in texts(of_type, cell))
