"""The index: finds blobs by digest in all segments at once, in batches, within bounded memory (format.md §7).

    index = Index(backend, seal)
    index.refresh()
    places = index.find(rows)            # rows of shape (n, 32)
    places.found, places.pack, places.offset

Small segments are held whole, merged into one sorted table; of a large one only the blocks that a batch touches are
read, since digests are spread evenly and a digest's place can be computed. An entry counts only if its pack is listed;
condemned packs serve readers when nothing else does, writers never. It does not know what blobs hold.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from snapstore.backends import Backend, Entry
from snapstore.blobs.pack import PACKS
from snapstore.blobs.segment import (
    BLOCK_ENTRIES,
    COUNTS_BYTES,
    ENTRY,
    FRAME,
    INDEX,
    MAX_BLOB_BYTES,
    Layout,
    Segment,
    check_entries,
    decode,
    join,
    layout,
    open_entries,
    prefixes,
    read_frames,
)
from snapstore.errors import NotFound, Unavailable
from snapstore.seal import PLAIN, Seal

__all__ = ["CONDEMNED", "Index", "Places"]

CONDEMNED = "condemned/"

_READ_BLOCKS = 32  # blocks in one range read: 5.5 MiB
_TRIES = 5


class _State(IntEnum):
    GONE = 0
    CONDEMNED = 1
    GOOD = 2


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where n blobs are; every array has shape (n,), and means nothing where `found` is False.

    `pack` is a number in `packs` (names); `offset` and `stored` the frame's bytes in the pack, `plain` its plain
    length; `place` and `length` the blob's bytes in the plain frame; `kind` as in `snapstore.digest.Kind`.
    """

    packs: Sequence[str]
    found: NDArray[np.bool_]
    pack: NDArray[np.int64]
    offset: NDArray[np.int64]
    stored: NDArray[np.int64]
    plain: NDArray[np.int64]
    place: NDArray[np.int64]
    length: NDArray[np.int64]
    kind: NDArray[np.uint8]


class Index:
    """All segments of one store. Safe to use from several threads.

    `held_bytes` bounds the segments kept in memory, `block_bytes` the blocks kept of the others.
    """

    def __init__(
        self, backend: Backend, seal: Seal = PLAIN, *, held_bytes: int = 64 << 20, block_bytes: int = 16 << 20
    ) -> None:
        self._backend = backend
        self._seal = seal
        self._held_bytes = held_bytes
        self._lock = threading.RLock()
        self._packs: list[str] = []  # every pack ever heard of; numbers are stable
        self._numbers: dict[str, int] = {}
        self._states = np.zeros(0, np.uint8)
        self._blocks = _Blocks(backend, seal, block_bytes)
        self._large: dict[str, _Large] = {}
        self._forget()

    def refresh(self) -> None:
        """Look again at what the store holds. Raises `Corrupt` for a damaged segment.

        In this order: tombstones, packs, segments. A pack that is listed after no tombstone was seen was not yet
        swept when the listing began (DESIGN §7).
        """
        with self._lock:
            for _ in range(_TRIES):
                condemned = {entry.name.rpartition("/")[2] for entry in self._backend.list(CONDEMNED)}
                listed = {entry.name.rpartition("/")[2] for entry in self._backend.list(PACKS)}
                try:
                    self._load(list(self._backend.list(INDEX)))
                except NotFound:
                    continue  # merged into another segment since it was listed; that one is there by now
                self._mark(listed, condemned)
                return
        raise Unavailable(
            f"the index in {self._backend.location} changes faster than it can be read",
            hint="Try again when garbage collection has ended.",
        )

    def adopt(self, name: str, segment: Segment, size_bytes: int) -> None:
        """Count a segment this process has just written, and its packs, without reading anything."""
        with self._lock:
            if self._size + size_bytes <= self._held_bytes:
                self._hold({name: size_bytes}, [segment])
            else:
                self._large[name] = _Large.open(self._backend, Entry(INDEX + name, size_bytes, 0.0), self._seal)
                self._large[name].packs = self._number(segment.packs)
            for number in self._number(segment.packs):
                self._states[number] = _State.GOOD

    def find(self, digests: NDArray[np.uint8], *, condemned: bool = True) -> Places:
        """Where these blobs are; `digests` of shape (n, 32), in any order, with duplicates or not.

        Prefers packs that are not condemned, and leaves condemned ones out altogether unless asked for.
        """
        count = len(digests)
        keys = prefixes(digests)
        least = _State.CONDEMNED if condemned else _State.GOOD
        best = np.zeros(count, np.uint8)
        fields = np.zeros(count, [("pack", "i8"), *((name, "i8") for name in _FIELDS), ("kind", "u1")])
        with self._lock:
            parts: list[_Table | _Large] = [*([self._table] if len(self._table.keys) else []), *self._large.values()]
            for part in parts:
                open_ = np.flatnonzero(best < _State.GOOD)
                if not len(open_):
                    break
                states = self._states[part.packs] if len(part.packs) else np.zeros(0, np.uint8)
                hits, entries = part.find(keys[open_], digests[open_], states, self._blocks)
                state = states[part.frames["pack"][entries["frame"]]] if len(hits) else np.zeros(0, np.uint8)
                better = (state >= least) & (state > best[open_[hits]])
                hits, entries = open_[hits[better]], entries[better]
                best[hits] = state[better]
                _fill(fields, hits, entries, part)
            packs = self._packs
        return Places(packs, best > 0, *(fields[name] for name in ("pack", *_FIELDS, "kind")))

    def forget_blocks(self) -> None:
        """Keep none of the blocks read so far of large segments."""
        with self._lock:
            for name in self._large:
                self._blocks.forget(name)

    @property
    def segments(self) -> int:
        """How many segments there were when this was last refreshed."""
        return len(self._held) + len(self._large)

    def _forget(self) -> None:
        self._held: set[str] = set()
        self._size = 0
        self._table = _Table.of(Segment((), np.zeros(0, FRAME), np.zeros(0, ENTRY)), np.zeros(0, np.int64))

    def _load(self, listed: list[Entry]) -> None:
        names = {entry.name.removeprefix(INDEX): entry for entry in listed}
        if not self._held <= names.keys():
            self._forget()  # gc merged some; entries would pile up twice
        for name in self._large.keys() - names.keys():
            del self._large[name]
            self._blocks.forget(name)
        fresh = [name for name in names if name not in self._held and name not in self._large]
        fresh.sort(key=lambda name: names[name].size_bytes)
        sizes: dict[str, int] = {}
        segments = []
        for name in fresh:
            size = names[name].size_bytes
            if self._size + sum(sizes.values()) + size <= self._held_bytes:
                segments.append(decode(name, self._backend.get(INDEX + name).data, self._seal))
                sizes[name] = size
            else:
                self._large[name] = _Large.open(self._backend, names[name], self._seal)
        if segments:
            self._hold(sizes, segments)

    def _hold(self, sizes: dict[str, int], segments: list[Segment]) -> None:
        merged = join([self._table.segment, *segments], unique=False)
        self._table = _Table.of(merged, self._number(merged.packs))
        self._held.update(sizes)
        self._size += sum(sizes.values())

    def _mark(self, listed: set[str], condemned: set[str]) -> None:
        for large in self._large.values():
            large.packs = self._number(large.names)
        self._states = np.array(
            [
                _State.GONE if name not in listed else _State.CONDEMNED if name in condemned else _State.GOOD
                for name in self._packs
            ],
            np.uint8,
        )

    def _number(self, names: Sequence[str]) -> NDArray[np.int64]:
        for name in names:
            if name not in self._numbers:
                self._numbers[name] = len(self._packs)
                self._packs.append(name)
        grown = np.zeros(len(self._packs), np.uint8)
        grown[: len(self._states)] = self._states
        self._states = grown
        return np.array([self._numbers[name] for name in names], np.int64)


_FIELDS = ("offset", "stored", "plain", "place", "length")


def _fill(fields: NDArray[np.void], hits: NDArray[np.int64], entries: NDArray[np.void], part: _Table | _Large) -> None:
    frames = part.frames[entries["frame"]]
    fields["pack"][hits] = part.packs[frames["pack"]] if len(hits) else 0
    for name in ("offset", "stored", "plain"):
        fields[name][hits] = frames[name]
    fields["place"][hits] = entries["place"]
    fields["length"][hits] = entries["size"] & MAX_BLOB_BYTES
    fields["kind"][hits] = entries["size"] >> 28


@dataclass(slots=True, eq=False)
class _Table:
    """Small segments as one: entries sorted by the first eight bytes, `keys`; a digest stands once for each pack."""

    segment: Segment
    keys: NDArray[np.uint64]
    packs: NDArray[np.int64]

    @classmethod
    def of(cls, segment: Segment, packs: NDArray[np.int64]) -> _Table:
        return cls(segment, prefixes(segment.entries["digest"]), packs)

    @property
    def frames(self) -> NDArray[np.void]:
        return self.segment.frames

    def find(
        self, keys: NDArray[np.uint64], digests: NDArray[np.uint8], states: NDArray[np.uint8], blocks: _Blocks
    ) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """Which of the digests have an entry, and their best entries."""
        entries = self.segment.entries
        best = np.full(len(keys), -1)
        at = np.searchsorted(self.keys, keys)
        active = np.arange(len(keys))
        while len(active):
            active = active[at[active] < len(self.keys)]
            active = active[self.keys[at[active]] == keys[active]]
            spots = at[active]
            same = _equal(entries["digest"][spots], digests[active])
            state = states[self.frames["pack"][entries["frame"][spots]]]
            better = same & ((best[active] < 0) | (state == _State.GOOD))
            better &= state > _State.GONE
            best[active[better]] = spots[better]
            active = active[~(same & (state == _State.GOOD))]
            at[active] += 1  # next of the same eight bytes: another pack, or another digest altogether
        hits = np.flatnonzero(best >= 0)
        return hits, entries[best[hits]]


@dataclass(slots=True, eq=False)
class _Large:
    """A segment of which only pack names and frames are held; entries are read in blocks."""

    name: str
    names: tuple[str, ...]
    frames: NDArray[np.void]
    head: bytes
    layout: Layout
    packs: NDArray[np.int64]

    @classmethod
    def open(cls, backend: Backend, entry: Entry, seal: Seal) -> _Large:
        head = backend.get_range(entry.name, 0, min(COUNTS_BYTES, entry.size_bytes)).ljust(COUNTS_BYTES, b"\0")
        held = layout(head, entry.size_bytes, entry.name, seal)
        rest = backend.get_range(entry.name, COUNTS_BYTES, held.start - COUNTS_BYTES)
        names, table = read_frames(rest, head, held, entry.name, seal)
        return cls(entry.name.removeprefix(INDEX), names, table, head, held, np.zeros(0, np.int64))

    def find(
        self, keys: NDArray[np.uint64], digests: NDArray[np.uint8], states: NDArray[np.uint8], blocks: _Blocks
    ) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """As `_Table.find`. Each digest starts at the block where an even spread puts it, and moves to neighbours."""
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


class _Blocks:
    """The blocks of large segments used last, within a number of bytes."""

    def __init__(self, backend: Backend, seal: Seal, limit_bytes: int) -> None:
        self._backend = backend
        self._seal = seal
        self._limit = max(1, limit_bytes // (BLOCK_ENTRIES * ENTRY.itemsize))
        self._held: OrderedDict[tuple[str, int], NDArray[np.void]] = OrderedDict()

    def read(self, segment: _Large, numbers: list[int]) -> Iterator[NDArray[np.void]]:
        """These blocks, ascending numbers; neighbours come in one range read, and few are in memory at a time."""
        for at in range(0, len(numbers), _READ_BLOCKS):
            wanted = numbers[at : at + _READ_BLOCKS]
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

    def _fetch(self, segment: _Large, number: int, blocks: int) -> Iterator[NDArray[np.void]]:
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
        same = _equal(entries["digest"][at[active]], digests[active])
        match[active[same]] = at[active[same]]
        active = active[~same]
        at[active] += 1
    return match


def _equal(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.bool_]:
    equal: NDArray[np.bool_] = (left == right).all(axis=1)
    return equal
