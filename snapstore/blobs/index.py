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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from snapstore.backends import Backend, Entry
from snapstore.blobs.large import Blocks, Large, equal
from snapstore.blobs.pack import PACKS
from snapstore.blobs.segment import BLOCK_ENTRIES, ENTRY, FRAME, INDEX, MAX_BLOB_BYTES, Segment, decode, join, prefixes
from snapstore.blobs.tally import Part, Tally, tally
from snapstore.errors import NotFound, Unavailable
from snapstore.seal import PLAIN, Seal

__all__ = ["CONDEMNED", "Index", "Places"]

CONDEMNED = "condemned/"

_TRIES = 5

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


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


def _steady(
    look: Callable[Concatenate[Index, Arguments], Result],
) -> Callable[Concatenate[Index, Arguments], Result]:
    """One look at the index, under its lock; anew where a segment that is not held has been merged into another.

    Nobody must hear of that as `NotFound`: it would be taken for the pack that is asked about.
    """

    @wraps(look)
    def wrapped(index: Index, /, *args: Arguments.args, **named: Arguments.kwargs) -> Result:
        with index._lock:
            for _ in range(_TRIES):
                try:
                    return look(index, *args, **named)
                except NotFound:
                    index.refresh()
        raise index._restless()

    return wrapped


class Index:
    """All segments of one store. Safe to use from several threads.

    `held_bytes` bounds the segments kept in memory, `block_bytes` the blocks kept of the others. `lost` are the packs
    that segments name and that were neither listed nor condemned when this was last refreshed.
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
        self.lost: frozenset[str] = frozenset()
        self._blocks = Blocks(backend, seal, block_bytes)
        self._large: dict[str, Large] = {}
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
        raise self._restless()

    def adopt(self, name: str, segment: Segment, size_bytes: int) -> None:
        """Count a segment this process has just written, and its packs, without reading anything."""
        with self._lock:
            if self._size + size_bytes <= self._held_bytes:
                self._hold({name: size_bytes}, [segment])
            else:
                self._large[name] = Large.open(self._backend, Entry(INDEX + name, size_bytes, 0.0), self._seal)
                self._large[name].packs = self._number(segment.packs)
            for number in self._number(segment.packs):
                self._states[number] = _State.GOOD

    @_steady
    def contains(self, digests: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which of these blobs (shape (n, 32)) are in a pack that is not condemned, shape (n,)."""
        best = np.zeros(len(digests), np.uint8)
        with self._lock:
            for _ in self._better(digests, best):
                pass
        found: NDArray[np.bool_] = best == _State.GOOD
        return found

    @_steady
    def find(self, digests: NDArray[np.uint8]) -> Places:
        """Where these blobs are; `digests` of shape (n, 32), in any order, with duplicates or not.

        Prefers packs that are not condemned.
        """
        count = len(digests)
        best = np.zeros(count, np.uint8)
        fields = np.zeros(count, [("pack", "i8"), *((name, "i8") for name in _FIELDS), ("kind", "u1")])
        with self._lock:
            for part, hits, entries in self._better(digests, best):
                _fill(fields, hits, entries, part)
            packs = self._packs
        return Places(packs, best > 0, *(fields[name] for name in ("pack", *_FIELDS, "kind")))

    @_steady
    def copies(self, digest: NDArray[np.uint8]) -> Places:
        """Every place of one blob (shape (1, 32)) in a pack that is there, condemned ones last."""
        key = prefixes(digest)
        with self._lock:
            found: list[tuple[int, NDArray[np.void], _Table | Large]] = []
            parts: list[_Table | Large] = [self._table, *self._large.values()]
            for part in parts:
                for entries in part.all(key, digest, self._blocks):
                    number = int(part.packs[part.frames["pack"][entries["frame"][0]]])
                    if self._states[number] > _State.GONE:
                        found.append((int(self._states[number]), entries, part))
            found.sort(key=lambda one: -one[0])
            fields = np.zeros(len(found), [("pack", "i8"), *((name, "i8") for name in _FIELDS), ("kind", "u1")])
            for at, (_, entries, part) in enumerate(found):
                _fill(fields, np.array([at]), entries, part)
            packs = self._packs
        is_there = np.ones(len(found), np.bool_)
        return Places(packs, is_there, *(fields[name] for name in ("pack", *_FIELDS, "kind")))

    @_steady
    def tally(self, is_live: Callable[[NDArray[np.uint8]], NDArray[np.bool_]]) -> dict[str, Tally]:
        """How much is needed of each pack that is there, by name: of a digest the best copy counts, as `find` has it.

        `is_live` answers for rows of digests, shape (n, 32).
        """
        with self._lock:
            parts: list[tuple[Part, Iterator[NDArray[np.void]]]] = [(self._table, self._table.pieces())]
            parts += [(large, self._blocks.every(large, among=len(self._large))) for large in self._large.values()]
            return tally(parts, self.entries, self._states, self._packs, is_live)

    def forget_blocks(self) -> None:
        """Keep none of the blocks read so far of large segments."""
        with self._lock:
            for name in self._large:
                self._blocks.forget(name)

    @property
    def segments(self) -> int:
        """How many segments there were when this was last refreshed."""
        return len(self._held) + len(self._large)

    @property
    def entries(self) -> int:
        """How many entries there are in these segments."""
        return len(self._table.keys) + sum(large.layout.entries for large in self._large.values())

    def _better(
        self, digests: NDArray[np.uint8], best: NDArray[np.uint8]
    ) -> Iterator[tuple[_Table | Large, NDArray[np.int64], NDArray[np.void]]]:
        """Entries in packs of a better state than `best` says, which says it then; the last of a digest is the best."""
        parts: list[_Table | Large] = [*([self._table] if len(self._table.keys) else []), *self._large.values()]
        keys = prefixes(digests if parts else digests[:0])
        for part in parts:
            open_ = np.flatnonzero(best < _State.GOOD)
            if not len(open_):
                return
            states = self._states[part.packs] if len(part.packs) else np.zeros(0, np.uint8)
            hits, entries = part.find(keys[open_], digests[open_], states, self._blocks)
            state = states[part.frames["pack"][entries["frame"]]] if len(hits) else np.zeros(0, np.uint8)
            better = state > best[open_[hits]]
            hits, entries = open_[hits[better]], entries[better]
            best[hits] = state[better]
            yield part, hits, entries

    def _restless(self) -> Unavailable:
        return Unavailable(
            f"the index in {self._backend.location} changes faster than it can be read",
            hint="Try again when garbage collection has ended.",
        )

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
                self._large[name] = Large.open(self._backend, names[name], self._seal)
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
        named = {*self._table.segment.packs, *(name for large in self._large.values() for name in large.names)}
        self.lost = frozenset(named - listed - condemned)
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


def _fill(fields: NDArray[np.void], hits: NDArray[np.int64], entries: NDArray[np.void], part: _Table | Large) -> None:
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

    def pieces(self) -> Iterator[NDArray[np.void]]:
        """All entries in order, some at a time."""
        entries = self.segment.entries
        for at in range(0, len(entries), BLOCK_ENTRIES):
            yield entries[at : at + BLOCK_ENTRIES]

    def find(
        self, keys: NDArray[np.uint64], digests: NDArray[np.uint8], states: NDArray[np.uint8], blocks: Blocks
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
            same = equal(entries["digest"][spots], digests[active])
            state = states[self.frames["pack"][entries["frame"][spots]]]
            better = same & ((best[active] < 0) | (state == _State.GOOD))
            better &= state > _State.GONE
            best[active[better]] = spots[better]
            active = active[~(same & (state == _State.GOOD))]
            at[active] += 1  # next of the same eight bytes: another pack, or another digest altogether
        hits = np.flatnonzero(best >= 0)
        return hits, entries[best[hits]]

    def all(self, key: NDArray[np.uint64], digest: NDArray[np.uint8], blocks: Blocks) -> Iterator[NDArray[np.void]]:
        """The entries of one digest, each by itself."""
        first, end = np.searchsorted(self.keys, key[0], "left"), np.searchsorted(self.keys, key[0], "right")
        entries = self.segment.entries[first:end]
        for at in np.flatnonzero((entries["digest"] == digest).all(axis=1)).tolist():
            yield entries[at : at + 1]
