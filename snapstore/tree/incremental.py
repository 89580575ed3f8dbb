"""Builds a table's new trees from its last ones, reading only rows that may have changed (DESIGN: take).

    rebuilt = rebuild(parent, cut_key, sink, stamps, read_moved)
    rebuilt.root, rebuilt.fetched

Every live key comes by, with a flag that says whether its row may have changed since the parent. Keys alone decide
where chunks end, so the live chunks are known before any row is read: one with the same keys as a chunk of the parent,
and no flag among them, is that chunk. The others take flagged rows from the source and the rest from the parent. Where
hints are kept beside the parent (`snapstore.tree.hints`), the source may leave out cells it knows to be old: one that
is NULL beside a hint is the parent's, if the parent has that very hint for it. The root is the one that a full build
gives; flags that say too much only cost time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from snapstore.digest import Digest, Naming
from snapstore.errors import Corrupt
from snapstore.rows import Batch, Cells, Table
from snapstore.tree import Sink, chunk, node, reference
from snapstore.tree.builder import LeafCutter, encode_leaves, last_keys, spill_columns
from snapstore.tree.hints import HintedTree, put_roots
from snapstore.tree.reader import Span, TableTree
from snapstore.tree.reference import Ref
from snapstore.tree.spine import Leaves, Spine

__all__ = ["Rebuilt", "rebuild"]

_GROUP = 512
"""Chunks that are handed to the levels above at once."""

_BLOCK = 1024
"""Changed chunks that are read in one round."""

_WORTH_ROWS = 20_000
_WORTH_SHARE = 0.25
"""Above both of these many rows that moved, reading all of them is as cheap."""

_HELD_BYTES = 256 << 20
"""Above these many bytes of keys in changed chunks, all rows are read instead: it needs no more memory."""


class ReadMoved(Protocol):
    """Gives the rows that moved."""

    def __call__(self, *, is_much: bool) -> Generator[Batch, None, None]:
        """In order of key."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The new root, how many rows the table has, how many of them were read again, and the root of the hints.

    `kept` counts cells of those rows that were not sent, since the parent has them.
    """

    root: Digest
    rows: int
    fetched: int
    hints: Digest | None = None
    kept: int = 0


@dataclass(slots=True)
class _Survey:
    """The live chunks, by their keys: `dirty` has the numbers of those that must be made anew, `waiting` their keys
    and flags, in order, some chunks at a time.
    """

    naming: Naming
    counts: list[int] = field(default_factory=list)
    lasts: list[bytes] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    dirty: set[int] = field(default_factory=set)
    waiting: deque[tuple[int, Cells, NDArray[np.bool_]]] = field(default_factory=deque)
    rows: int = 0
    moved: int = 0
    held_bytes: int = 0


def rebuild(
    parent: TableTree,
    cut_key: bytes,
    sink: Sink,
    stamps: Iterable[tuple[Cells, NDArray[np.bool_]]],
    read_moved: ReadMoved,
    *,
    hints: HintedTree | None = None,
    leaves_out: bool = False,
) -> Rebuilt | None:
    """The tree of the live rows, of the parent's schema; None where a full read is as cheap or there is too little.

    `stamps` gives every live key in ascending order with its flag; it is read to its end before `read_moved` is called,
    which gives the flagged rows in the same order, with `hints` their columns too; `is_much` tells it that they are a
    large share of all. Raises `Corrupt` where it does not.
    `leaves_out` says that it leaves out old cells, so that many rows are cheap as well; None then also where one of
    them is not to be had from the parent.
    """
    if parent.height == 0:
        return None
    limit = max(_WORTH_ROWS, int(parent.count * _WORTH_SHARE))
    survey = _survey(parent, cut_key, sink.naming, stamps, None if leaves_out else limit)
    if survey is None or len(survey.counts) < 2:
        return None
    if not survey.dirty and survey.rows == parent.count:
        return Rebuilt(parent.root, survey.rows, 0, None if hints is None else hints.root)
    tree, shape = (parent, None) if hints is None else (hints.tree, hints.shape)
    with closing(read_moved(is_much=survey.moved > survey.rows * _WORTH_SHARE)) as batches:
        try:
            return _Weaver(tree, shape, sink, survey, _MovedRows(batches, tree, shape, sink)).weave()
        except _UnknownRowError:
            return None


def _survey(
    parent: TableTree,
    cut_key: bytes,
    naming: Naming,
    stamps: Iterable[tuple[Cells, NDArray[np.bool_]]],
    limit: int | None,
) -> _Survey | None:
    """Cut the live keys into chunks and hold them against the parent's; None once more rows have moved, or too
    many keys would be held.
    """
    survey, cutter, known = _Survey(naming), LeafCutter(parent.table.name, cut_key), _KnownChunks(parent)
    for keys, flags in stamps:
        survey.moved += int(flags.sum())
        if limit is not None and survey.moved > limit:
            return None
        # The flag rides along as a column, so that it is cut where its key is.
        rides = Cells.fixed(flags.astype(np.uint8).reshape(-1, 1))
        _add(survey, known, *cutter.add(Batch(keys, (rides,))))
        if survey.held_bytes > _HELD_BYTES:
            return None
    _add(survey, known, *cutter.finish())
    survey.rows = cutter.rows
    return survey


def _add(survey: _Survey, known: _KnownChunks, rows: Batch | None, ends: list[int], ranks: list[int]) -> None:
    if rows is None or not ends:
        return
    starts = [0, *ends[:-1]]
    flags = rows.columns[0].data.astype(np.bool_)
    moved = np.logical_or.reduceat(flags[: ends[-1]], np.asarray(starts, np.int64)).tolist()
    encoded = chunk.encode(rows.keys, starts, ends, survey.naming, is_key=True)
    lasts = last_keys(rows.keys, ends)
    dirty = [
        is_moved or not known.has(last, ref) for is_moved, last, (ref, _) in zip(moved, lasts, encoded, strict=True)
    ]
    counts = np.subtract(ends, starts)
    if any(dirty):
        # Taken into memory of their own, so that a batch is not kept for one chunk of it.
        own = np.flatnonzero(np.repeat(dirty, counts))
        keys = rows.keys.take(own)
        survey.waiting.append((sum(dirty), keys, flags[own]))
        survey.held_bytes += keys.data.nbytes + keys.offsets.nbytes
        survey.dirty.update(len(survey.counts) + at for at, is_dirty in enumerate(dirty) if is_dirty)
    survey.counts += counts.tolist()
    survey.lasts += lasts
    survey.ranks += ranks


class _KnownChunks:
    """The parent's key chunks, asked for in ascending order of their last key."""

    def __init__(self, parent: TableTree) -> None:
        self._chunks = _key_chunks(parent)
        self._next = next(self._chunks, None)

    def has(self, last: bytes, ref: Ref) -> bool:
        """Whether the parent has just this chunk of keys."""
        while self._next is not None and self._next[0] < last:
            self._next = next(self._chunks, None)
        return self._next is not None and self._next == (last, ref)


def _key_chunks(parent: TableTree) -> Iterator[tuple[bytes, Ref]]:
    """The last key and the reference of every chunk of keys, in order."""
    for span in parent.spans([]):
        assert span.refs[0] is not None
        yield from _beneath(parent, span.level, [span.refs[0]])


def _beneath(parent: TableTree, level: int, refs: Sequence[Ref]) -> Iterator[tuple[bytes, Ref]]:
    """Those beneath these nodes of keys, siblings: read in one round, as a round to the store may be dear."""
    names = [reference.digest_of(ref) for ref in refs]
    for name, data in zip(names, parent.fetch.get_many(names), strict=True):
        parsed = node.decode_node(data, f"{parent.table.name}: keys: node {name.hex()}", level=level, is_key=True)
        if level == 1:
            yield from zip(parsed.separators, parsed.refs, strict=True)
        else:
            yield from _beneath(parent, level - 1, parsed.refs)


class _Weaver:
    """Puts the new trees together: chunks of the parent, and chunks made anew, in order."""

    def __init__(self, parent: TableTree, shape: Table | None, sink: Sink, survey: _Survey, moved: _MovedRows) -> None:
        self._parent = parent
        self._shape = shape
        self._sink = sink
        self._survey = survey
        self._moved = moved
        self._spine = Spine(1 + len(parent.table.columns), sink)
        self._ready = parent.empty()

    def weave(self) -> Rebuilt:
        """Every chunk in order; then the root."""
        survey, kept = self._survey, self._kept()
        total = len(survey.counts)
        for start in range(0, total, _GROUP):
            self._spine.extend(self._leaves(start, min(start + _GROUP, total), kept))
        self._moved.end()
        schema = self._parent.fetch.get_many([self._parent.schema])[0]
        root, hints = put_roots(self._sink, schema, self._shape, survey.rows, *self._spine.top())
        return Rebuilt(root, survey.rows, survey.moved, hints, self._moved.kept)

    def _kept(self) -> Iterator[Span]:
        """The parent's chunks that the live table still has, in order."""
        lasts = (last for at, last in enumerate(self._survey.lasts) if at not in self._survey.dirty)
        wanted = next(lasts, None)
        for spans in self._parent.leaves():
            for span in spans:
                if span.separator == wanted:
                    yield span
                    wanted = next(lasts, None)

    def _leaves(self, start: int, end: int, kept: Iterator[Span]) -> Leaves:
        """These chunks: the parent's by reference, since the store has them, and the others made anew, all at once."""
        survey = self._survey
        dirty = [at for at in range(start, end) if at in survey.dirty]
        places = {at: place for place, at in enumerate(dirty)}
        anew = self._anew(dirty).chunks if dirty else []
        spans = [None if at in places else next(kept) for at in range(start, end)]
        chunks = [
            [
                anew[tree][places[at]] if span is None else (span.refs[tree] or reference.NULLS, b"")
                for at, span in enumerate(spans, start)
            ]
            for tree in range(1 + len(self._parent.table.columns))
        ]
        return Leaves(survey.counts[start:end], survey.lasts[start:end], survey.ranks[start:end], chunks)

    def _anew(self, dirty: Sequence[int]) -> Leaves:
        """Chunks some of whose rows were read again."""
        ends = np.cumsum([self._survey.counts[at] for at in dirty]).tolist()
        while len(self._ready) < ends[-1]:
            self._ready = Batch.concat([self._ready, self._next()] if len(self._ready) else [self._next()])
        rows, self._ready = self._ready.slice(0, ends[-1]), self._ready.slice(ends[-1], len(self._ready))
        return encode_leaves(rows, ends, [self._survey.ranks[at] for at in dirty], self._survey.naming)

    def _next(self) -> Batch:
        """The rows of the next changed chunks: one round to the store, and the next rows that moved."""
        waiting = self._survey.waiting
        block = [waiting.popleft()]
        while waiting and sum(chunks for chunks, _, _ in block) < _BLOCK:
            block.append(waiting.popleft())
        keys = Cells.concat([keys for _, keys, _ in block])
        flags = np.concatenate([flags for _, _, flags in block])
        if flags.all():
            return self._moved.take(keys)
        still = keys.take(np.flatnonzero(~flags))
        known = self._parent.lookup([key or b"" for key in still.to_list()])
        if len(known) != len(still):
            raise _UnknownRowError
        if len(known) == len(keys):
            return known
        moved = self._moved.take(keys.take(np.flatnonzero(flags)))
        order = np.empty(len(keys), np.int64)
        order[~flags] = np.arange(len(known))
        order[flags] = np.arange(len(known), len(keys))
        return Batch.concat([known, moved]).take(order)


class _UnknownRowError(Exception):
    """A row or cell that is not new, and that the parent does not have: there is no telling where it comes from."""


class _MovedRows:
    """The rows that moved, in order, large cells spilled; `kept` counts the cells that were the parent's."""

    def __init__(self, batches: Iterator[Batch], parent: TableTree, shape: Table | None, sink: Sink) -> None:
        self._batches = batches
        self._parent = parent
        self._sink = sink
        self._waiting = parent.empty()
        table, hinted = parent.table, () if shape is None else shape.columns
        own = len(table.columns) - len(hinted)
        # Where a hinted column is, and where its hints are.
        self._pairs = [(table.column(column.name), own + at) for at, column in enumerate(hinted)]
        self.kept = 0

    def take(self, keys: Cells) -> Batch:
        """The rows with these keys, which are the next ones. Raises `Corrupt` where they are not."""
        pieces = [self._waiting] if len(self._waiting) else []
        while sum(map(len, pieces)) < len(keys) and (batch := next(self._batches, None)) is not None:
            pieces.append(Batch(batch.keys, spill_columns(self._parent.table, batch, self._sink)))
        rows = Batch.concat(pieces or [self._waiting])
        count = min(len(keys), len(rows))
        taken, self._waiting = rows.slice(0, count), rows.slice(count, len(rows))
        if not taken.keys.equals(keys):
            raise Corrupt(f"{self._parent.table.name}: the source gave other rows than those it had named")
        return self._completed(taken)

    def _completed(self, moved: Batch) -> Batch:
        """With the parent's cells where the source left them out. Raises `_UnknownRowError` where hints differ."""
        absent = [_is_null(moved.columns[own]) & ~_is_null(moved.columns[hint]) for own, hint in self._pairs]
        columns = list(moved.columns)
        for (own, hint), here in zip(self._pairs, absent, strict=True):
            rows = np.flatnonzero(here)
            if not len(rows):
                continue
            asked = moved.take(rows)
            known = self._parent.lookup([key or b"" for key in asked.keys.to_list()], [own, hint])
            if len(known) != len(rows) or not known.columns[1].equals(asked.columns[hint]):
                raise _UnknownRowError
            if _is_null(known.columns[0]).any():
                raise _UnknownRowError  # NULL has no hint: this one is not of these trees
            self.kept += len(rows)
            if len(rows) == len(moved):
                columns[own] = known.columns[0]
                continue
            order = np.arange(len(moved))
            order[rows] = len(moved) + np.arange(len(rows))
            columns[own] = Cells.concat([columns[own], known.columns[0]]).take(order)
        return Batch(moved.keys, tuple(columns))

    def end(self) -> None:
        """Raises `Corrupt` if there are more."""
        if len(self._waiting) or next(self._batches, None) is not None:
            raise Corrupt(f"{self._parent.table.name}: the source gave more rows than it had named")


def _is_null(cells: Cells) -> NDArray[np.bool_]:
    return np.zeros(len(cells), np.bool_) if cells.valid is None else ~cells.valid
