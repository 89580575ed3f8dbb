"""What garbage collection and repair do to packs and index: copy, purge, merge, rebuild.

    copy_live(store, condemned, live, snapshot_id)
    purge(store, condemned)                            # once the packs are deleted

`live` answers for rows of digests, shape (n, 32), which of them some snapshot needs; it may say yes too often, never
too seldom. What is live is decided from the directories of packs, so a blob that two packs hold is live in both. When
to do any of this beside running takes is the repository's affair (DESIGN §7), tombstones too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from snapstore.backends import Entry
from snapstore.blobs.check import frames_of
from snapstore.blobs.frame import decode
from snapstore.blobs.pack import Directory, fresh_name, object_name
from snapstore.blobs.segment import INDEX, Segment, build, join, layers, without
from snapstore.blobs.store import BlobStore
from snapstore.blobs.writer import BlobWriter, Written
from snapstore.digest import DIGEST_BYTES, Buffer, Digest, Kind
from snapstore.errors import Corrupt, Invalid, NotFound, Unavailable, Unsupported

__all__ = ["Live", "copy_live", "fold", "indexed_blobs", "indexed_packs", "merge", "purge", "rebuild_index"]

Live = Callable[[NDArray[np.uint8]], NDArray[np.bool_]]

_SEGMENT_BLOBS = 200_000
_SMALL_BYTES = 1 << 20
_MERGED_BYTES = 16 << 20
_MANY, _FOLDED = 12, 3
_LOOKS = 10


def copy_live(store: BlobStore, names: Collection[str], live: Live, snapshot_id: bytes) -> Written:
    """Copy what is live in these condemned packs into new ones, and index it; everything is durable after.

    Every blob is re-hashed before it is copied, so damage is not carried on under a fresh name: raises `Corrupt`,
    naming blob and pack. What another pack that is not condemned holds is not copied. Raises `Invalid` for a pack
    without tombstone, and a store that stands on a base. After `Unavailable` and `NotFound` the packs that were written
    are in the index: in a full store they would take the room of the next try, and serve nobody.
    """
    _refuse_base(store)
    packs = {pack.name: pack for pack in store.packs() if pack.name in names}
    for pack in packs.values():
        if not pack.condemned:
            # Its own index entries would count as another copy, and nothing would be copied.
            raise Invalid(f"{object_name(pack.name)} is not condemned")
    writer = store.writer(snapshot_id)
    try:
        with writer:
            for pack in packs.values():
                _copy(store, store.directory(pack), live, writer)
    except (NotFound, Unavailable):
        with suppress(Unavailable):  # a full store may have room for this
            writer.salvage()
        raise
    return writer.close()


def indexed_packs(store: BlobStore) -> set[str]:
    """The packs that some index segment names; those not listed are stale and may be purged."""
    return {name for _, segment in _segments(store) for name in segment.packs}


def indexed_blobs(store: BlobStore, pack: str) -> NDArray[np.uint8]:
    """The digests that the index says are in this pack, shape (n, 32): what is known of one whose directory is damaged.

    Raises `Corrupt` for a damaged segment. Where one goes meanwhile, what it said is in another by now: looks again,
    since whoever asks may delete a pack of which nothing needed is said to be in it.
    """
    for _ in range(_LOOKS):
        found = [np.zeros((0, DIGEST_BYTES), np.uint8)]
        try:
            for entry in store.segments():
                segment = store.segment(entry.name.removeprefix(INDEX))
                found.append(np.ascontiguousarray(_only(segment, frozenset([pack])).entries["digest"]))
        except NotFound:
            continue
        return np.concatenate([rows.reshape(-1, DIGEST_BYTES) for rows in found])
    raise Unavailable(
        f"the index in {store.backend.location} changes faster than it can be read", hint="Try again in a while."
    )


def purge(store: BlobStore, gone: Collection[str]) -> int:
    """Take deleted packs out of the index; returns how many segments were replaced or dropped.

    A segment's successor is durable before it is deleted. A segment that names none of the packs is left alone.
    """
    names, replaced = frozenset(gone), 0
    for entry, segment in _segments(store):
        if not names.isdisjoint(segment.packs):
            _replace(store, [entry], [without(segment, names)])
            replaced += 1
    return replaced


def merge(store: BlobStore, *, more_than: int = _MANY) -> int:
    """Merge small segments if there are `more_than` so many; returns how many were replaced.

    Entries of packs that are not listed are dropped, and no others: of two packs that hold a blob another collection
    may delete either, and knows that the other is in the index.
    """
    small = [entry for entry in store.segments() if entry.size_bytes <= _SMALL_BYTES]
    if len(small) <= more_than:
        return 0
    groups: list[list[Entry]] = [[]]
    for entry in small:
        if sum(one.size_bytes for one in groups[-1]) + entry.size_bytes > _MERGED_BYTES:
            groups.append([])
        groups[-1].append(entry)
    replaced = 0
    for group in groups:
        if len(group) < 2:
            continue
        held = list(_segments(store, group))
        # After the segments: a pack is durable before a segment names it, so one that is not listed now is gone.
        there = frozenset(pack.name for pack in store.packs())
        _replace(store, [entry for entry, _ in held], layers([_only(segment, there) for _, segment in held]))
        replaced += len(held)
    return replaced


def fold(store: BlobStore) -> int:
    """Put a few of the smallest segments together if there are many: what each take does, so that they stay few.

    Returns how many were replaced. Costs nothing where there are few, and does nothing where deleting is not allowed
    (that is a collection's affair then). Drops nothing, so it may run beside anything.
    """
    if store.segment_count <= _MANY:
        return 0
    small = [entry for entry in store.segments() if entry.size_bytes <= _SMALL_BYTES]
    if len(small) <= _MANY or not _may_delete(store):
        return 0
    small.sort(key=lambda entry: entry.size_bytes)
    held = list(_segments(store, small[:_FOLDED]))
    _replace(store, [entry for entry, _ in held], layers([segment for _, segment in held]))
    return len(held)


def rebuild_index(store: BlobStore) -> list[str]:
    """Write the index anew from the packs, then delete the old one; returns the packs whose directory is damaged.

    Of those, what old segments say is kept.
    """
    old = store.segments()  # before the packs: whatever these name is listed below, or gone
    damaged: list[str] = []
    directories: list[Directory] = []
    for pack in sorted(store.packs(), key=lambda pack: pack.condemned):
        try:
            directories.append(store.directory(pack))
        except (Corrupt, Unsupported):
            damaged.append(pack.name)
        except NotFound:
            continue
        if sum(len(directory.lengths) for directory in directories) >= _SEGMENT_BLOBS:
            _put(store, build(directories))
            directories = []
    pieces = [build(directories)]
    for entry in old if damaged else ():
        with suppress(Corrupt, Unsupported):
            pieces += [_only(segment, frozenset(damaged)) for _, segment in _segments(store, [entry])]
    _put(store, join(pieces))
    for entry in old:
        with suppress(NotFound):
            store.backend.delete(entry.name)
    return damaged


def _copy(store: BlobStore, directory: Directory, live: Live, writer: BlobWriter) -> None:
    is_live = live(directory.digests)
    wanted = np.bincount(directory.frames, is_live, len(directory.plain)) > 0
    firsts, places, lengths = directory.firsts.tolist(), directory.places.tolist(), directory.lengths.tolist()
    for number, stored in frames_of(store.backend, directory, wanted):
        plain, stride = _opened(store, directory, number, stored)
        blobs: dict[Kind, tuple[list[Digest], list[Buffer]]] = {}
        for at in range(firsts[number], firsts[number + 1]):
            if not is_live[at]:
                continue
            name = Digest(directory.digests[at].tobytes())
            data: Buffer = plain[places[at] : places[at] + lengths[at]]
            if store.naming.digest(data) != name:
                data = store.get(name)  # from another pack, condemned as well; else it says which blob is damaged
            names, pieces = blobs.setdefault(Kind(directory.kinds[at]), ([], []))
            names.append(name)
            pieces.append(data)
        for kind, (names, pieces) in blobs.items():
            writer.put(kind, names, pieces, stride=stride)


def _opened(store: BlobStore, directory: Directory, number: int, stored: memoryview) -> tuple[memoryview, int]:
    """The plain bytes of a frame and its stride; none where it cannot be decoded."""
    try:
        frame = store.open_frame(directory.name, int(directory.offsets[number]), stored)
        return memoryview(decode(frame, object_name(directory.name))), frame[1]
    except Corrupt:
        return memoryview(b""), 1


def _refuse_base(store: BlobStore) -> None:
    if store.base is not None:
        raise Invalid(f"{store.backend.location} stands on another store, whose blobs it must not count as its own")


def _segments(store: BlobStore, entries: Sequence[Entry] | None = None) -> Iterator[tuple[Entry, Segment]]:
    for entry in store.segments() if entries is None else entries:
        with suppress(NotFound):  # replaced by another collection meanwhile
            yield entry, store.segment(entry.name.removeprefix(INDEX))


def _only(segment: Segment, names: frozenset[str]) -> Segment:
    return without(segment, frozenset(segment.packs) - names)


def _may_delete(store: BlobStore) -> bool:
    """Whether these credentials may delete: else what is put together would only come on top."""
    try:
        store.backend.delete(INDEX + fresh_name())
    except NotFound:
        return True
    except Unavailable:
        return False
    return True


def _replace(store: BlobStore, old: Sequence[Entry], segments: Sequence[Segment]) -> None:
    for segment in segments:
        _put(store, segment)
    for entry in old:
        with suppress(NotFound):
            store.backend.delete(entry.name)


def _put(store: BlobStore, segment: Segment) -> None:
    if len(segment.entries):
        store.put_segment(segment)
