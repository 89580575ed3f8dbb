"""Index segments that are too large to be held: only the blocks that a batch of digests touches are read.

    large = Large.open(backend, entry, seal)
    hits, entries = large.find(keys, digests, states, Blocks(backend, seal, 16 << 20))

Digests are spread evenly, so the block of one can be computed. It does not know which packs are there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snapstore.backends import Backend, Entry
from snapstore.blobs.segment import (
    BLOCK_ENTRIES,
    COUNTS_BYTES,
    ENTRY,
    INDEX,
    Layout,
    check_entries,
    layout,
    open_entries,
    prefixes,
    read_frames,
)
from snapstore.seal import Seal

__all__ = ["Blocks", "Large", "equal"]

_READ_BLOCKS = 32  # blocks in one range read: 5.5 MiB
_SCANNED_BLOCKS = 24  # blocks of all segments together that are held while these are read side by side: 4 MiB


@dataclass(slots=True, eq=False)
class Large:
    """A segment of which only pack names and frames are held; entries are read in blocks."""

    name: str
    names: tuple[str, ...]
    frames: NDArray[np.void]
    head: bytes
    layout: Layout
    packs: NDArray[np.int64]

    @classmethod
    def open(cls, backend: Backend, entry: Entry, seal: Seal) -> Large:
        """Read its names and frames. Raises `Corrupt` naming it."""
        head = backend.get_range(entry.name, 0, min(COUNTS_BYTES, entry.size_bytes)).ljust(COUNTS_BYTES, b"\0")
        held = layout(head, entry.size_bytes, entry.name, seal)
        rest = backend.get_range(entry.name, COUNTS_BYTES, held.start - COUNTS_BYTES)
        names, table = read_frames(rest, head, held, entry.name, seal)
        return cls(entry.name.removeprefix(INDEX), names, table, head, held, np.zeros(0, np.int64))

    def find(
        self, keys: NDArray[np.uint64], digests: NDArray[np.uint8], states: NDArray[np.uint8], blocks: Blocks
    ) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """Which of the digests have an entry, and these entries.

        Each digest starts at the block where an even spread puts it, and moves to neighbours.
        """
        count = self.layout.entries
        last = self.layout.blocks - 1
        found = np.zeros(len(keys), np.bool_)
        entries = np.zeros(len(keys), ENTRY)
        at = np.minimum((keys / 2.0**64 * count).astype(np.int64) // BLOCK_ENTRIES, last)
        low, high = np.zeros(len(keys), np.int64), np.full(len(keys), last)
        active = np.arange(len(keys) if count else 0)
        while len(active):
            active = active[np.argsort(at[active], kind="stable")]
            numbers, firsts = np.unique(at[active], return_index=True)
            for block, group in zip(blocks.read(self, numbers.tolist()), np.split(active, firsts[1:]), strict=True):
                wanted, held = keys[group], prefixes(block["digest"])
                match = _search(block, held, wanted, digests[group])
                found[group] = match >= 0
                entries[group[match >= 0]] = block[match[match >= 0]]
                # Equal first bytes may go on in the neighbour; with neither smaller nor larger the search is over.
                down, up = wanted <= held[0], wanted >= held[-1]
                high[group] = np.where(down, at[group] - 1, np.where(up, high[group], -1))
                low[group] = np.where(up & ~down, at[group] + 1, low[group])
                at[group] += np.where(down, -1, 1)
            active = active[~found[active] & (low[active] <= at[active]) & (at[active] <= high[active])]
        hits = np.flatnonzero(found)
        check_entries(entries[hits], self.frames, INDEX + self.name)
        return hits, entries[hits]

    def all(self, key: NDArray[np.uint64], digest: NDArray[np.uint8], blocks: Blocks) -> Iterator[NDArray[np.void]]:
        """The entries of one digest: there is one at most."""
        hits, entries = self.find(key, digest, np.zeros(0, np.uint8), blocks)
        if len(hits):
            yield entries


class Blocks:
    """The blocks of large segments used last, within a number of bytes."""

    def __init__(self, backend: Backend, seal: Seal, limit_bytes: int) -> None:
        self._backend = backend
        self._seal = seal
        self._limit = max(1, limit_bytes // (BLOCK_ENTRIES * ENTRY.itemsize))
        self._together = min(_READ_BLOCKS, max(1, self._limit // 2))
        self._held: OrderedDict[tuple[str, int], NDArray[np.void]] = OrderedDict()

    def read(self, segment: Large, numbers: list[int]) -> Iterator[NDArray[np.void]]:
        """These blocks, ascending numbers; neighbours come in one range read, and few are in memory at a time."""
        for at in range(0, len(numbers), self._together):
            wanted = numbers[at : at + self._together]
            found = {number: self._held.get((segment.name, number)) for number in wanted}
            missing = [number for number, block in found.items() if block is None]
            while missing:
                run = 1
                while run < len(missing) and missing[run] == missing[0] + run:
                    run += 1
                found.update(zip(missing[:run], self._fetch(segment, missing[0], run), strict=True))
                del missing[:run]
            for number, block in found.items():
                assert block is not None
                self._held[segment.name, number] = block
                self._held.move_to_end((segment.name, number))
                yield block
            while len(self._held) > self._limit:
                self._held.popitem(last=False)

    def every(self, segment: Large, *, among: int) -> Iterator[NDArray[np.void]]:
        """All entries of a segment in order, some at a time, one `among` so many read so; none is kept.

        Raises `Corrupt`.
        """
        step = max(1, min(_READ_BLOCKS, _SCANNED_BLOCKS // among))
        for first in range(0, segment.layout.blocks, step):
            for entries in self._fetch(segment, first, min(step, segment.layout.blocks - first)):
                check_entries(entries, segment.frames, INDEX + segment.name)
                yield entries

    def _fetch(self, segment: Large, number: int, blocks: int) -> Iterator[NDArray[np.void]]:
        where = INDEX + segment.name
        stored = self._backend.get_range(where, *segment.layout.span(number, blocks))
        entries = open_entries(stored, number, segment.head, where, self._seal)
        for at in range(0, len(entries), BLOCK_ENTRIES):
            yield entries[at : at + BLOCK_ENTRIES].copy()  # kept on its own, not with its neighbours

    def forget(self, name: str) -> None:
        """Drop the blocks of a segment that is gone."""
        for key in [key for key in self._held if key[0] == name]:
            del self._held[key]


def _search(
    entries: NDArray[np.void], held: NDArray[np.uint64], keys: NDArray[np.uint64], digests: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """The position of each digest among sorted entries, or -1."""
    match = np.full(len(keys), -1)
    at = np.searchsorted(held, keys)
    active = np.arange(len(keys))
    while len(active):
        active = active[at[active] < len(held)]
        active = active[held[at[active]] == keys[active]]
        same = equal(entries["digest"][at[active]], digests[active])
        match[active[same]] = at[active[same]]
        active = active[~same]
        at[active] += 1
    return match


def equal(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which rows of digests are the same, shape (n,)."""
    same: NDArray[np.bool_] = (left == right).all(axis=1)
    return same
