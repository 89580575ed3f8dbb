"""The blobs of one repository: found by digest, read in batches, every one checked before it is given.

    store = BlobStore(backend, seal)
    with store.writer(snapshot_id) as writer:
        writer.put(Kind.CHUNK, [store.naming.digest(data)], [data])
    assert store.get(store.naming.digest(data)) == data

A store may stand on a `base`, which is read and deduplicated against and never written. It does not know which
snapshot needs a blob: garbage collection is told (`snapstore.blobs.sweep`), and damage is looked for elsewhere
(`snapstore.blobs.check`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from snapstore.backends import Backend, Entry
from snapstore.backends.caching import CachingBackend
from snapstore.blobs.fetch import FrameReader, FrameRef
from snapstore.blobs.index import CONDEMNED, Index, Places
from snapstore.blobs.pack import PACKS, Directory, fresh_name, object_name, open_frame, read_directory, rows_of
from snapstore.blobs.segment import INDEX, Segment
from snapstore.blobs.segment import decode as decode_segment
from snapstore.blobs.segment import encode as encode_segment
from snapstore.blobs.tally import Tally
from snapstore.blobs.writer import BlobWriter
from snapstore.digest import Buffer, Digest, Kind, Naming
from snapstore.errors import Corrupt, NotFound
from snapstore.seal import PLAIN, Seal

__all__ = ["BlobStore", "PackEntry"]

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

_LEAN_BYTES = 4 << 20
_FEW = 256  # blobs that are looked for again at once


@dataclass(frozen=True, slots=True)
class PackEntry:
    """A listed pack: 32 hex digits, size, time by the store's own clock, and whether there is a tombstone for it."""

    name: str
    size_bytes: int
    modified: float
    condemned: bool


class BlobStore:
    """Blobs in a backend. Safe to use from several threads.

    Everything it writes is closed by `seal`, which a store on a base has in common with it; `relied` says which rows of
    digests a writer need not write as the base has them, without it all that the base has. `cached` is the same
    backend through a cache: index, directories and trees are read and written through it, values are not. `cache_bytes`
    bounds the decoded frames that are kept in memory, `index_bytes` the index entries.
    """

    def __init__(
        self,
        backend: Backend,
        seal: Seal = PLAIN,
        *,
        base: BlobStore | None = None,
        relied: Callable[[NDArray[np.uint8]], NDArray[np.bool_]] | None = None,
        cached: CachingBackend | None = None,
        cache_bytes: int = 64 << 20,
        index_bytes: int = 64 << 20,
    ) -> None:
        self.backend = backend
        self.base = base
        self._relied = base._known if relied is None and base is not None else relied
        self.seal: Seal = base.seal if base is not None else seal
        self._cache = cached
        self._cached: Backend = cached if cached is not None else backend
        self._index = Index(self._cached, self.seal, held_bytes=index_bytes, block_bytes=min(16 << 20, index_bytes))
        self._frames = FrameReader(self._cached, backend, self.seal, cache_bytes)
        self._fresh = False
        self._lock = threading.Lock()

    def lean(self) -> BlobStore:
        """The same store, keeping little in memory: for who reads much of it, in lots, and little of that again."""
        return BlobStore(
            self.backend,
            self.seal,
            base=self.base,
            relied=self._relied,
            cached=self._cache,
            cache_bytes=_LEAN_BYTES,
            index_bytes=_LEAN_BYTES,
        )

    @property
    def naming(self) -> Naming:
        """How the blobs here are named."""
        return self.seal.naming

    def get(self, name: Digest) -> bytes:
        """One blob; as `get_many`."""
        return self.get_many([name])[0]

    def get_many(self, digests: Sequence[Digest]) -> list[bytes]:
        """The blobs with these digests, in this order; in any order, with duplicates or not.

        Each frame is read and decoded once, neighbours in one request. Where bytes do not match, the copies of the blob
        in other packs are tried. Raises `NotFound` naming a blob that no pack holds, and `Corrupt` naming blob and pack
        where no copy is whole; both after one more look at the index.
        """
        return self._again(partial(self._get_many, digests))

    def _get_many(self, digests: Sequence[Digest]) -> list[bytes]:
        out: list[bytes | None] = [None] * len(digests)
        if not digests:
            return []
        self._look()
        rows = rows_of(digests)
        try:
            missing = self._fill(rows, np.arange(len(rows)), digests, out)
        except (NotFound, Corrupt) as error:  # a pack went since the index was read: what it held is elsewhere by now
            _log.debug("looking again: %s", error)
            missing = np.flatnonzero([blob is None for blob in out])
        if len(missing):
            self._index.refresh()
            missing = self._fill(rows, missing, digests, out)
        if len(missing):
            names = [digests[at] for at in missing.tolist()]
            if self.base is None:
                raise NotFound(
                    f"the blob {names[0].hex()} is in no pack of {self.backend.location}"
                    + (f" ({len(names)} blobs are missing)" if len(names) > 1 else ""),
                    hint="A pack or an index segment is lost or damaged: `snap verify` says which.",
                )
            for at, blob in zip(missing.tolist(), self.base.get_many(names), strict=True):
                out[at] = blob
        return [blob for blob in out if blob is not None]

    def get_each(self, digests: Sequence[Digest]) -> Iterator[tuple[int, bytes]]:
        """The blobs with these digests, each with its number among them, and few in memory at a time.

        They come as they lie in the store; else as `get_many`. The more at once the better: what is read of the index
        and decoded of a pack serves all of them.
        """
        self._look()
        left = np.ones(len(digests), np.bool_)
        try:
            for numbers, blobs in self._stored(rows_of(digests), np.arange(len(digests)), digests):
                left[numbers] = False
                yield from zip(numbers.tolist(), blobs, strict=True)
        except (NotFound, Corrupt) as error:
            _log.debug("looking again: %s", error)
        rest = np.flatnonzero(left)
        for start in range(0, len(rest), _FEW):
            again = rest[start : start + _FEW].tolist()
            yield from zip(again, self.get_many([digests[number] for number in again]), strict=True)

    def contains_many(self, digests: Sequence[Digest]) -> NDArray[np.bool_]:
        """Which of these blobs a writer may rely on, shape (n,): here or in the base, in a pack not condemned."""
        if not digests:
            return np.zeros(0, np.bool_)
        self._look()
        return self._known(rows_of(digests))

    def locate(self, digests: Sequence[Digest]) -> Places:
        """Where these blobs are in this store, without its base; condemned packs serve if nothing else does."""
        self._look()
        return self._index.find(rows_of(digests))

    def tally(self, is_live: Callable[[NDArray[np.uint8]], NDArray[np.bool_]]) -> dict[str, Tally]:
        """How much of each pack of this store is needed, by its name: what the index says, read through once.

        `is_live` answers for rows of digests, shape (n, 32).
        """
        self._look()
        return self._again(partial(self._index.tally, is_live))

    def refresh(self) -> None:
        """Look again at tombstones, packs and index, here and in the base."""
        if self.base is not None:
            self.base.refresh()
        self._again(self._index.refresh)
        self._fresh = True

    def writer(self, snapshot_id: bytes, *, verify: bool = True, anew: bool = False) -> BlobWriter:
        """A writer for the take with this id (16 bytes); its pending snapshot must be there already.

        Looks at the store again first, so nothing is deduplicated against a pack condemned before now. With `verify`
        every frame is decoded and every blob re-hashed before it is written. With `anew` blobs are written though they
        are stored, beside copies that are damaged.
        """
        self.refresh()
        return BlobWriter(
            self._cached,
            self.backend,
            self.seal,
            snapshot_id,
            known=_nothing if anew else self._known,
            adopt=self._index.adopt,
            verify=verify,
        )

    def packs(self) -> list[PackEntry]:
        """The packs of this store as listed now, without its base, in order of name."""
        condemned = {entry.name.rpartition("/")[2] for entry in self.backend.list(CONDEMNED)}
        return [
            PackEntry(name, entry.size_bytes, entry.modified, name in condemned)
            for entry in self._cached.list(PACKS)
            if entry.name == object_name(name := entry.name.rpartition("/")[2])
        ]

    @property
    def lost_packs(self) -> frozenset[str]:
        """Packs that the index names and that were not there when this last looked; of garbage, maybe."""
        return self._index.lost

    @property
    def segment_count(self) -> int:
        """How many index segments there were when this last looked, and those written since."""
        return self._index.segments

    @property
    def entry_count(self) -> int:
        """How many entries the index had then: as many as there are blobs, and more where some lie in two packs."""
        return self._index.entries

    def segments(self) -> list[Entry]:
        """The index segments of this store as listed now, without its base."""
        return list(self._cached.list(INDEX))

    def directory(self, pack: PackEntry) -> Directory:
        """The directory of a pack. Raises `Corrupt` naming it, `NotFound`, and `Unsupported` for a newer version."""
        return self._again(partial(read_directory, self._cached, pack.name, pack.size_bytes, self.seal))

    def open_frame(self, pack: str, offset: int, stored: Buffer) -> Buffer:
        """The frame that is stored at this byte of the pack. Raises `Corrupt`, naming the pack."""
        return open_frame(pack, offset, stored, self.seal)

    def segment(self, name: str) -> Segment:
        """An index segment, by its name without `index/`. Raises as `directory`."""
        return self._again(lambda: decode_segment(name, self._cached.get(INDEX + name).data, self.seal))

    def put_segment(self, segment: Segment) -> None:
        """Write one more index segment; it is durable after this."""
        name = fresh_name()
        self._cached.put(INDEX + name, encode_segment(segment, name, self.seal))

    def _again(self, call: Callable[[], Result]) -> Result:
        """The result; what is damaged on this machine alone is fetched once more."""
        try:
            return call()
        except Corrupt:
            if self._cache is None or not self._cache.distrust():
                raise
            self._frames.forget()
            self._index.forget_blocks()
            return call()

    def _look(self) -> None:
        with self._lock:
            if not self._fresh:
                self.refresh()

    def _known(self, rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
        found = self._index.contains(rows)
        if self._relied is not None and not found.all():
            found[~found] = self._relied(rows[~found])
        return found

    def _fill(
        self, rows: NDArray[np.uint8], wanted: NDArray[np.int64], digests: Sequence[Digest], out: list[bytes | None]
    ) -> NDArray[np.int64]:
        """As `_read`, with any whole copy where the first is damaged."""
        try:
            return self._read(rows, wanted, digests, out)
        except Corrupt as error:
            _log.debug("looking for other copies: %s", error)
            return self._each(rows, digests, out)

    def _each(self, rows: NDArray[np.uint8], digests: Sequence[Digest], out: list[bytes | None]) -> NDArray[np.int64]:
        """Fill what is still missing in `out` blob by blob, from whichever copy is whole; gives what is not here."""
        absent = []
        for at in range(len(out)):
            if out[at] is None:
                out[at] = self._whole(rows[at : at + 1], digests[at])
                if out[at] is None:
                    absent.append(at)
        return np.array(absent, np.int64)

    def _whole(self, row: NDArray[np.uint8], name: Digest) -> bytes | None:
        """The first whole copy of a blob; None if there is none at all. Raises `Corrupt` if all are damaged."""
        places, damage = self._index.copies(row), None
        for at in range(len(places.found)):
            pack = places.packs[int(places.pack[at])]
            is_value = int(places.kind[at]) == Kind.VALUE
            ref = FrameRef(pack, int(places.offset[at]), int(places.stored[at]), int(places.plain[at]), is_value)
            try:
                [frame] = self._frames.read([ref], _whole_frame)
            except (Corrupt, NotFound) as error:
                damage = damage or (error if isinstance(error, Corrupt) else None)
                continue
            blob = frame[int(places.place[at]) : int(places.place[at] + places.length[at])]
            if self.naming.digest(blob) == name:
                return blob
            damage = damage or _damaged(name, pack)
        if damage is not None:
            raise damage
        return None

    def _read(
        self, rows: NDArray[np.uint8], wanted: NDArray[np.int64], digests: Sequence[Digest], out: list[bytes | None]
    ) -> NDArray[np.int64]:
        """Fill `out` at the positions `wanted`, and say which of them are not here."""
        left = np.zeros(len(rows), np.bool_)
        left[wanted] = True
        for numbers, blobs in self._stored(rows, wanted, digests):
            left[numbers] = False
            for number, blob in zip(numbers.tolist(), blobs, strict=True):
                out[number] = blob
        return np.flatnonzero(left)

    def _stored(
        self, rows: NDArray[np.uint8], wanted: NDArray[np.int64], digests: Sequence[Digest]
    ) -> Iterator[tuple[NDArray[np.int64], list[bytes]]]:
        """Those of the positions `wanted` whose blobs are here, and these, frame by frame as they lie in the packs."""
        places = self._index.find(rows[wanted])
        here = np.flatnonzero(places.found)
        order = here[np.lexsort((places.place[here], places.offset[here], places.pack[here]))]
        is_first = np.ones(len(order), np.bool_)
        pack, offset = places.pack[order], places.offset[order]
        is_first[1:] = (pack[1:] != pack[:-1]) | (offset[1:] != offset[:-1])
        heads = order[is_first]
        bounds = [*np.flatnonzero(is_first).tolist(), len(order)]
        columns = (places.pack, places.offset, places.stored, places.plain, places.kind == Kind.VALUE)
        frames = [
            FrameRef(places.packs[pack], *fields)
            for pack, *fields in zip(*(column[heads].tolist() for column in columns), strict=True)
        ]
        starts, at = places.place[order], wanted[order]
        begins, ends = starts.tolist(), (starts + places.length[order]).tolist()
        runs = dict(zip(frames, zip(bounds, bounds[1:], strict=False), strict=True))

        def cut(ref: FrameRef, frame: bytes) -> list[bytes]:
            first, last = runs[ref]
            blobs = [frame[begin:end] for begin, end in zip(begins[first:last], ends[first:last], strict=True)]
            for number, blob in zip(at[first:last].tolist(), blobs, strict=True):
                if self.naming.digest(blob) != digests[number]:
                    raise _damaged(digests[number], ref.pack)
            return blobs

        # Frames come in order of pack and place, as the blobs are.
        for (first, last), blobs in zip(runs.values(), self._frames.read(frames, cut), strict=True):
            yield at[first:last], blobs


def _nothing(rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.zeros(len(rows), np.bool_)


def _whole_frame(ref: FrameRef, frame: bytes) -> bytes:
    return frame


def _damaged(name: Digest, pack: str) -> Corrupt:
    return Corrupt(
        f"the blob {name.hex()} in {object_name(pack)} is damaged",
        hint="`snap verify --read-data` says what else is, and `snap repair` heals it.",
    )
