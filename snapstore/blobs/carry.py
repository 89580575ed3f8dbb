"""Carries blobs from one store into another that names them alike, frames as they are wherever it wants all of one.

    with target.writer(snapshot_id) as writer:
        carry(source, digests, writer)

Every frame is decoded and every blob hashed before it is handed on, so damage is never carried along under a fresh
name; but what was compressed once is not compressed again. The same reading tells whether copies are whole that
somebody is about to rely on (`unsound`). It does not know what the blobs are for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from snapstore.blobs.fetch import FrameRef, runs_of
from snapstore.blobs.frame import decode
from snapstore.blobs.index import Places
from snapstore.blobs.pack import object_name
from snapstore.blobs.store import BlobStore
from snapstore.blobs.writer import BlobWriter
from snapstore.digest import Digest, Kind
from snapstore.errors import Corrupt, NotFound

__all__ = ["carry", "unsound"]

_THREADS = 4


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is wanted of one frame, in order of place: blobs, where each begins and how long it is, and their kinds."""

    ref: FrameRef
    digests: list[Digest]
    places: list[int]
    lengths: list[int]
    kinds: list[int]

    @property
    def is_whole(self) -> bool:
        """Whether that is all of the frame."""
        ends = [place + length for place, length in zip(self.places, self.lengths, strict=True)]
        return self.places == [0, *ends[:-1]] and ends[-1] == self.ref.plain


def carry(source: BlobStore, digests: Sequence[Digest], writer: BlobWriter) -> int:
    """Put these blobs of `source`, without repeats, to the writer of another store; gives the plain bytes of them.

    Reads neighbours together, some frames ahead. Raises `NotFound` and `Corrupt` for a blob that cannot be had from any
    pack of the source.
    """
    if not digests:
        return 0
    places = source.locate(digests)
    wanted = _frames(digests, places)
    size = int(places.length[places.found].sum())
    left = [digests[at] for at in np.flatnonzero(~places.found).tolist()]
    kinds: dict[Digest, int] = {}
    for one, frame, plain in _read(source, wanted):
        if plain is None:
            left += one.digests
            kinds.update(zip(one.digests, one.kinds, strict=True))
        elif not (one.is_whole and writer.carry(frame, one.kinds, one.digests, one.lengths)):
            _put(one, plain, frame[1], writer)
    for name in left:  # damaged or swept where they were: another copy may serve
        [data] = source.get_many([name])
        writer.put(Kind(kinds.get(name) or _kind(source, name)), [name], [data])
        size += 0 if name in kinds else len(data)
    return size


def unsound(store: BlobStore, digests: Sequence[Digest]) -> set[str]:
    """The packs in which one of these blobs is not whole, or is not, of those that the index prefers for them.

    No other copy is tried: these are the ones that count once others are gone.
    """
    found = _read(store, _frames(digests, store.locate(digests)))
    return {one.ref.pack for one, _, plain in found if plain is None}


def _kind(source: BlobStore, name: Digest) -> int:
    """The kind of a blob that is there, or in what the source stands on."""
    places = source.locate([name])
    if source.base is not None and not places.found[0]:
        return _kind(source.base, name)
    return int(places.kind[0])


def _frames(digests: Sequence[Digest], places: Places) -> list[_Wanted]:
    here = np.flatnonzero(places.found)
    order = here[np.lexsort((places.place[here], places.offset[here], places.pack[here]))]
    frames: list[_Wanted] = []
    columns = (places.pack, places.offset, places.stored, places.plain, places.place, places.length, places.kind)
    for at, pack, *rest in zip(order.tolist(), *(column[order].tolist() for column in columns), strict=True):
        offset, stored, plain, place, length, kind = rest
        ref = FrameRef(places.packs[pack], offset, stored, plain, kind == Kind.VALUE)
        if not frames or frames[-1].ref != ref:
            frames.append(_Wanted(ref, [], [], [], []))
        one = frames[-1]
        one.digests.append(digests[at])
        one.places.append(place)
        one.lengths.append(length)
        one.kinds.append(kind)
    return frames


def _read(source: BlobStore, wanted: Sequence[_Wanted]) -> Iterator[tuple[_Wanted, bytes, bytes | None]]:
    """Each with its frame and plain bytes; None where some of what is wanted is not as it was written, or gone."""
    by_ref = {one.ref: one for one in wanted}
    todo = deque([by_ref[ref] for ref in run] for run in runs_of([one.ref for one in wanted]))
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="snapstore-carry") as pool:
        waiting: deque[Future[list[tuple[_Wanted, bytes, bytes | None]]]] = deque()
        try:
            while todo or waiting:
                while todo and len(waiting) < _THREADS:
                    waiting.append(pool.submit(_load, source, todo.popleft()))
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _load(source: BlobStore, run: Sequence[_Wanted]) -> list[tuple[_Wanted, bytes, bytes | None]]:
    first, last = run[0].ref, run[-1].ref
    where = object_name(first.pack)
    try:
        data = memoryview(source.backend.get_range(where, first.offset, last.offset + last.stored - first.offset))
    except (Corrupt, NotFound):
        return [(one, b"", None) for one in run]
    return [_open(source, one, data[one.ref.offset - first.offset :][: one.ref.stored]) for one in run]


def _open(source: BlobStore, one: _Wanted, stored: memoryview) -> tuple[_Wanted, bytes, bytes | None]:
    try:
        frame = bytes(source.open_frame(one.ref.pack, one.ref.offset, stored))
        plain = decode(frame, object_name(one.ref.pack))
    except Corrupt:
        return one, b"", None
    view = memoryview(plain)
    is_sound = all(
        source.naming.digest(view[place : place + length]) == name
        for name, place, length in zip(one.digests, one.places, one.lengths, strict=True)
    )
    return one, frame, plain if is_sound else None


def _put(one: _Wanted, plain: bytes, stride: int, writer: BlobWriter) -> None:
    view = memoryview(plain)
    for kind in sorted(set(one.kinds)):
        own = [at for at, of in enumerate(one.kinds) if of == kind]
        pieces = [view[one.places[at] : one.places[at] + one.lengths[at]] for at in own]
        writer.put(Kind(kind), [one.digests[at] for at in own], pieces, stride=stride)
