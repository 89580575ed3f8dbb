"""The trees of a snapshot carried into a repository that names blobs alike: what is not there already, as it is.

    carried = carry_trees(source.blobs, target.blobs, needed_by(snapshot), needed_by(earlier), writer, progress)

What the earlier snapshot has need not be looked at: both are walked together, and equal nodes are passed over. It must
be protected in the target, since only a committed snapshot promises that a node's children are there; a node that just
lies there, after a crash perhaps, promises nothing. What is passed over is not read, in neither: whether the target's
is damaged, a verification of the target says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from snapstore.blobs.carry import carry
from snapstore.blobs.pack import rows_of
from snapstore.blobs.store import BlobStore
from snapstore.blobs.writer import BlobWriter
from snapstore.digest import Digest, Kind
from snapstore.errors import Corrupt, NotFound
from snapstore.operations.capture import Progress
from snapstore.operations.marks import DigestSet
from snapstore.tree.walk import Child, children

__all__ = ["carry_trees", "digests_beneath"]

_BATCH = 256
_CARRIED, _TOLD = 100_000, 1000
_ROOTS = 1 << 20  # above every node


def carry_trees(
    source: BlobStore,
    target: BlobStore,
    roots: Sequence[Child],
    earlier: Sequence[Child],
    writer: BlobWriter,
    progress: Progress,
) -> int:
    """Put all beneath `roots` that is not beneath `earlier`, and not in the target, to its writer; gives plain bytes.

    `earlier` is in the target. Raises `NotFound` and `Corrupt` for what the source does not give.
    """
    walk = _Walk(source, target)
    size = 0
    waiting: list[Digest] = []

    def flush() -> int:
        missing = np.flatnonzero(~target.contains_many(waiting)).tolist()
        carried = carry(source, [waiting[at] for at in missing], writer)
        waiting.clear()
        return carried

    for done, name in enumerate(walk.fresh(roots, earlier), 1):
        waiting.append(name)
        if len(waiting) >= _CARRIED:
            size += flush()
        if done % _TOLD == 0:
            progress("blobs", done, None)
    return size + flush()


def digests_beneath(store: BlobStore, roots: Sequence[Child]) -> Iterator[list[Digest]]:
    """Every blob beneath these roots, once each, some at a time; all but the leaves are read."""
    walk = _Walk(store, store).fresh(roots, ())
    while batch := list(islice(walk, _TOLD)):
        yield batch


class _Walk:
    def __init__(self, source: BlobStore, target: BlobStore) -> None:
        self._source, self._target = source, target
        self._seen = DigestSet()

    def fresh(self, roots: Sequence[Child], earlier: Sequence[Child]) -> Iterator[Digest]:
        """Every blob beneath these roots and not known to be beneath the earlier ones, once each."""
        mine, theirs = _by_rank(roots), _by_rank(earlier)
        while mine:
            rank = max(mine)
            if not theirs:  # nothing to be held against
                yield from self._below(mine.pop(rank), (), mine)
                continue
            while (higher := max(theirs, default=rank)) > rank:
                _merge(theirs, self._inner(theirs.pop(higher)))
            here, known = mine.pop(rank), theirs.pop(rank, [])
            names = {child.digest for child in here}
            _merge(theirs, self._inner([child for child in known if child.digest not in names]))
            passed = {child.digest for child in known}
            # What hangs on the lowest nodes is many: it is looked at as it comes, and does not wait.
            chunks = {child.digest for child in theirs.get(0, ())} if rank == 1 else None
            yield from self._below([child for child in here if child.digest not in passed], chunks, mine)

    def _below(
        self, own: Sequence[Child], chunks: Collection[Digest] | None, mine: dict[int, list[Child]]
    ) -> Iterator[Digest]:
        """These, and the leaves beneath them; other children are noted in `mine`, or where it is said which chunks are
        known, looked at at once.
        """
        for at in range(0, len(own), _BATCH):
            fresh = self._unseen(own[at : at + _BATCH])
            yield from (child.digest for child in fresh)
            inner = [child for child in fresh if not child.leaf]
            blobs = self._source.get_many([child.digest for child in inner])
            found = [one for child, data in zip(inner, blobs, strict=True) for one in children(child, data)]
            yield from (child.digest for child in self._unseen([child for child in found if child.leaf]))
            below = [child for child in found if not child.leaf]
            if chunks is None:
                _merge(mine, below)
            else:
                yield from self._below([child for child in below if child.digest not in chunks], (), mine)

    def _unseen(self, found: Sequence[Child]) -> list[Child]:
        if not found:
            return []
        is_new = self._seen.add(rows_of([child.digest for child in found])).tolist()
        return [child for child, new in zip(found, is_new, strict=True) if new]

    def _inner(self, own: Sequence[Child]) -> list[Child]:
        """The inner blobs beneath earlier ones; what cannot be read there passes for not there."""
        found: list[Child] = []
        for at in range(0, len(own), _BATCH):
            inner = [child for child in own[at : at + _BATCH] if not child.leaf]
            try:
                blobs = self._target.get_many([child.digest for child in inner])
                found += [one for child, data in zip(inner, blobs, strict=True) for one in children(child, data)]
            except (Corrupt, NotFound):
                continue
        return [child for child in found if not child.leaf]


def _rank(child: Child) -> int:
    """Parents before children."""
    return {Kind.TABLE: _ROOTS, Kind.NODE: child.level, Kind.PARTS: -1}.get(child.kind, 0)


def _by_rank(found: Iterable[Child]) -> dict[int, list[Child]]:
    ranked: dict[int, list[Child]] = {}
    _merge(ranked, found)
    return ranked


def _merge(into: dict[int, list[Child]], found: Iterable[Child]) -> None:
    for child in found:
        into.setdefault(_rank(child), []).append(child)
