"""Which blobs are needed: a walk from roots that reads every inner blob once, in bounded memory.

    marks = Marks(store)
    marks.add(needed_by(snapshot))
    marks.is_live(rows)                 # rows of digests, shape (n, 32)

Sets are sorted arrays of numbers, not of Python objects: 8 bytes for each live blob and 32 for each one that was walked
through. It does not know what is done with what is not live.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snapstore.blobs.pack import digests_of, rows_of
from snapstore.blobs.segment import prefixes
from snapstore.blobs.store import BlobStore
from snapstore.digest import DIGEST_BYTES, Digest, Kind
from snapstore.errors import Corrupt, NotFound
from snapstore.operations.capture import Progress, silent
from snapstore.repository import Snapshot
from snapstore.tree.walk import Child, children

__all__ = ["DigestSet", "Marks", "needed_by"]

_BATCH = 4096
_LOT = 1 << 13  # inner blobs looked up at once, or more
_FLUSH = 1 << 16
_PARTS = 256  # of the live ones, by the first byte

# An inner blob that is to be read; as `Child`.
_INNER = np.dtype([("digest", "u1", (DIGEST_BYTES,)), ("kind", "u1"), ("level", "u1"), ("is_key", "?")])


class DigestSet:
    """An exact set of digests: sorted runs, merged so that there are few. Arrays of shape (n, 32) go in."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def __len__(self) -> int:
        return sum(len(run.keys) for run in self._runs)

    def contains(self, rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which of these are in it, shape (n,)."""
        found = np.zeros(len(rows), np.bool_)
        wanted = prefixes(rows)
        for run in self._runs:
            asked = np.flatnonzero(~found)
            at = np.searchsorted(run.keys, wanted[asked])
            while len(asked):
                near = at < len(run.keys)
                asked, at = asked[near], at[near]
                near = run.keys[at] == wanted[asked]
                asked, at = asked[near], at[near]
                same = (run.rests[at] == rows[asked, 8:]).all(axis=1)
                found[asked[same]] = True
                asked, at = asked[~same], at[~same] + 1  # another digest with the same first bytes
        return found

    def add(self, rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Put these in; True for the first of each that was not there, shape (n,)."""
        fresh = ~self.contains(rows)
        _, firsts = np.unique(np.ascontiguousarray(rows).view("V32").reshape(-1), return_index=True)
        is_first = np.zeros(len(rows), np.bool_)
        is_first[firsts] = True
        fresh &= is_first
        if fresh.any():
            keys = prefixes(rows[fresh])
            order = np.argsort(keys, kind="stable")
            self._runs.append(_Run(keys[order], rows[fresh][order, 8:]))
        while len(self._runs) > 1 and len(self._runs[-2].keys) < 2 * len(self._runs[-1].keys):
            last, before = self._runs.pop(), self._runs.pop()
            self._runs.append(before.merged(last))
        return fresh


class _Run(NamedTuple):
    """Digests in order of their first eight bytes: those as `keys`, shape (n,), and the `rests`, shape (n, 24)."""

    keys: NDArray[np.uint64]
    rests: NDArray[np.uint8]

    def merged(self, other: _Run) -> _Run:
        """Both as one."""
        theirs = np.searchsorted(self.keys, other.keys, "right") + np.arange(len(other.keys))
        own = np.ones(len(self.keys) + len(other.keys), np.bool_)
        own[theirs] = False
        keys, rests = np.empty(len(own), np.uint64), np.empty((len(own), self.rests.shape[1]), np.uint8)
        keys[own], keys[theirs] = self.keys, other.keys
        rests[own], rests[theirs] = self.rests, other.rests
        return _Run(keys, rests)


class Marks:
    """The live blobs of a store, by the first eight bytes of their digests: a dead one may pass for live, never the
    other way round. What was walked through is remembered whole: a node taken for another would lose its children.
    """

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._walked = DigestSet()
        self._live = [np.empty(0, np.uint64)] * _PARTS
        self._waiting: list[NDArray[np.uint64]] = []
        self._count = 0

    def add(self, roots: Sequence[Child], progress: Progress = silent) -> None:
        """Mark these and all beneath them: best those of many snapshots at once, as each lot has its price.

        Raises `NotFound` or `Corrupt` for whatever cannot be read; then these marks are of no use any more.
        """
        self._walk(roots, self._walked, progress, is_strict=True)

    def add_pending(self, digests: Sequence[Digest]) -> None:
        """Mark what a pending names, as far as it is there: its parent may have been removed before it began.

        What lies beneath a missing blob cannot be reached by it either. Nothing is remembered as walked: the blob may
        be written again, and then be read beneath another root. Raises `Corrupt` for what is there and damaged.
        """
        # A schema may be named as well as a root: it is read, and names no further blobs.
        self._walk([Child(Kind.TABLE, name) for name in digests], DigestSet(), silent, is_strict=False)

    def is_live(self, rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which of these digests are needed, shape (n,)."""
        self._settle()
        wanted = prefixes(rows)
        order = np.argsort(wanted)
        found = np.zeros(len(rows), np.bool_)
        for live, first, end in self._parts(wanted[order]):
            if len(live):
                asked = wanted[order[first:end]]
                found[order[first:end]] = live[np.minimum(np.searchsorted(live, asked), len(live) - 1)] == asked
        return found

    @property
    def count(self) -> int:
        """How many blobs are live."""
        self._settle()
        return sum(map(len, self._live))

    def _walk(self, roots: Sequence[Child], walked: DigestSet, progress: Progress, *, is_strict: bool) -> None:
        waiting = [self._fresh(roots, walked)]
        while waiting:
            lot = waiting.pop()
            if not len(lot):
                continue
            # Each lot may go through all of the index: so few that this is read some dozen times, whatever its size.
            size = max(_LOT, self._store.entry_count // 128)
            waiting.append(lot[:-size])
            below: list[NDArray[np.void]] = []
            found: list[Child] = []
            for beneath in self._beneath(lot[-size:], is_strict=is_strict):
                found += beneath
                if len(found) >= _BATCH:
                    below.append(self._fresh(found, walked))
                    found = []
                    progress("reading trees", len(walked), None)
            waiting.append(np.concatenate([*below, self._fresh(found, walked)]))

    def _beneath(self, lot: NDArray[np.void], *, is_strict: bool) -> Iterator[Iterable[Child]]:
        """What each of these inner blobs names, in the order in which they are read."""
        digests = digests_of(lot["digest"])
        fields = list(zip(*(lot[name].tolist() for name in ("kind", "level", "is_key")), strict=True))
        if is_strict:
            for number, data in self._store.get_each(digests):
                kind, level, is_key = fields[number]
                yield children(Child(Kind(kind), digests[number], level, is_key), data)
        else:
            for digest, (kind, level, is_key) in zip(digests, fields, strict=True):
                yield self._children_there(Child(Kind(kind), digest, level, is_key))

    def _children_there(self, child: Child) -> list[Child]:
        try:
            data = self._store.get(child.digest)
        except NotFound:
            return []
        try:
            return list(children(child, data))
        except Corrupt:
            if child.kind is not Kind.TABLE:
                raise
            return []

    def _fresh(self, found: Sequence[Child], walked: DigestSet) -> NDArray[np.void]:
        """Note all as live; give those that must be read and were not."""
        self._note(found)
        inner = [child for child in found if not child.leaf]
        fresh = np.empty(len(inner), _INNER)
        if not inner:
            return fresh
        fresh["digest"] = rows_of([child.digest for child in inner])
        for name in ("kind", "level", "is_key"):
            fresh[name] = [getattr(child, name) for child in inner]
        is_new = walked.add(fresh["digest"])
        if walked is not self._walked:
            is_new &= ~self._walked.contains(fresh["digest"])
        return fresh[is_new]

    def _note(self, found: Sequence[Child]) -> None:
        if found:
            self._waiting.append(prefixes(rows_of([child.digest for child in found])))
            self._count += len(found)
            if self._count > max(_FLUSH, sum(map(len, self._live)) // 8):
                self._settle()

    def _settle(self) -> None:
        if self._waiting:
            fresh = np.concatenate(self._waiting)
            self._waiting.clear()
            self._count = 0
            fresh.sort()
            # Part by part, and by comparing neighbours: the whole merged at once would need room for copies of it.
            for part, (live, first, end) in enumerate(self._parts(fresh)):
                if end > first:
                    merged = np.concatenate([live, fresh[first:end]])
                    merged.sort(kind="stable")
                    is_first = np.ones(len(merged), np.bool_)
                    np.not_equal(merged[1:], merged[:-1], out=is_first[1:])
                    self._live[part] = merged[is_first]

    def _parts(self, keys: NDArray[np.uint64]) -> Iterator[tuple[NDArray[np.uint64], int, int]]:
        """Each part of the live keys, and the stretch of these keys, which ascend, that it may hold."""
        starts = np.arange(_PARTS, dtype=np.uint64) << np.uint64(56)
        bounds = [*np.searchsorted(keys, starts).tolist(), len(keys)]
        yield from zip(self._live, bounds, bounds[1:], strict=False)


def needed_by(snapshot: Snapshot) -> list[Child]:
    """The blobs that a committed snapshot names itself."""
    named: list[Child] = []
    for source in snapshot.sources:
        if source.objects is not None:
            named.append(Child(Kind.SCHEMA, source.objects, leaf=True))
    for table in snapshot.every_table():
        named.append(Child(Kind.SCHEMA, table.schema, leaf=True))
        named += [Child(Kind.TABLE, root) for root in (table.root, table.hints) if root is not None]
    return named
