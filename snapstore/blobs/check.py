"""Looks for damage: every byte of every pack and segment, frame by frame, in bounded memory.

    for damage in check(store):
        print(damage.object, damage.blob, damage.problem)

Every stored byte is under a hash, so a single flipped bit is found. Damage is reported, not raised, and the search goes
on. Which snapshots a damaged blob belongs to is for those who know snapshots.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from snapstore.backends import Backend
from snapstore.blobs.frame import decode
from snapstore.blobs.pack import Directory, digests_of, object_name
from snapstore.blobs.segment import INDEX, MAX_BLOB_BYTES
from snapstore.blobs.store import BlobStore, PackEntry
from snapstore.digest import Digest
from snapstore.errors import Corrupt, NotFound, Unsupported

__all__ = ["Damage", "check", "check_pack", "frames_of"]

_RUN_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Damage:
    """`object` is the damaged object's name; `blob` the blob that cannot be had from it, None if it is not one."""

    object: str
    blob: Digest | None
    problem: str


def check(store: BlobStore) -> Iterator[Damage]:
    """All damage in the packs and index segments of a store, without its base, as it is found.

    An object that is deleted meanwhile is passed over: garbage collection may run beside this.
    """
    for segment in store.segments():
        yield from _check_segment(store, segment.name.removeprefix(INDEX))
    for pack in store.packs():
        yield from check_pack(store, pack)


def _check_segment(store: BlobStore, name: str) -> Iterator[Damage]:
    """Whether an index segment is as it was written."""
    try:
        store.segment(name)
    except (Corrupt, Unsupported) as error:
        yield Damage(INDEX + name, None, error.message)
    except NotFound:
        return


def check_pack(store: BlobStore, pack: PackEntry) -> Iterator[Damage]:
    """What is damaged in one pack. With a damaged directory its blobs are looked up in the index instead."""
    where = object_name(pack.name)
    try:
        directory = store.directory(pack)
    except NotFound:
        return
    except (Corrupt, Unsupported) as error:
        yield Damage(where, None, error.message)
        yield from _check_indexed(store, pack.name)
        return
    at = 0
    firsts, names, lengths = directory.firsts.tolist(), digests_of(directory.digests), directory.lengths.tolist()
    try:
        for at, frame in frames_of(store.backend, directory):
            blobs = list(zip(names[firsts[at] : firsts[at + 1]], lengths[firsts[at] : firsts[at + 1]], strict=True))
            found = list(_check_frame(store, directory.name, int(directory.offsets[at]), frame, blobs))
            if not found and blake3(frame).digest() != directory.hashes[at].tobytes():
                # Every blob is whole, but some bit that decoding passes over is not.
                found = [Damage(where, None, f"the frame at byte {directory.offsets[at]} is not as it was written")]
            yield from found
    except NotFound:
        return
    except Corrupt as error:
        yield Damage(where, None, error.message)


def frames_of(
    backend: Backend, directory: Directory, wanted: NDArray[np.bool_] | None = None
) -> Iterator[tuple[int, memoryview]]:
    """The numbers and stored bytes of a pack's frames, read some megabytes at a time; `wanted`, shape (f,), picks."""
    numbers = np.arange(len(directory.offsets)) if wanted is None else np.flatnonzero(wanted)
    offsets, ends = directory.offsets.tolist(), (directory.offsets + directory.stored).tolist()
    todo = numbers.tolist()
    while todo:
        run = 1
        while run < len(todo) and todo[run] == todo[0] + run and ends[todo[run]] - offsets[todo[0]] <= _RUN_BYTES:
            run += 1
        start = offsets[todo[0]]
        data = memoryview(backend.get_range(object_name(directory.name), start, ends[todo[run - 1]] - start))
        for number in todo[:run]:
            yield number, data[offsets[number] - start : ends[number] - start]
        del todo[:run]


def _check_frame(
    store: BlobStore, pack: str, offset: int, stored: memoryview, blobs: list[tuple[Digest, int]]
) -> Iterator[Damage]:
    where = object_name(pack)
    try:
        plain = memoryview(decode(store.open_frame(pack, offset, stored), where))
    except Corrupt as error:
        yield from (Damage(where, name, error.message) for name, _ in blobs)
        return
    at = 0
    for name, length in blobs:
        if store.naming.digest(plain[at : at + length]) != name:
            yield Damage(where, name, "its bytes do not match its digest")
        at += length


def _check_indexed(store: BlobStore, name: str) -> Iterator[Damage]:
    """The blobs that the index says are in this pack, of which some cannot be read."""
    where, seen = object_name(name), set[Digest]()
    for listed in store.segments():
        try:
            segment = store.segment(listed.name.removeprefix(INDEX))
        except (Corrupt, Unsupported, NotFound):
            continue
        if name not in segment.packs:
            continue
        frames = segment.frames[segment.entries["frame"]]
        entries = segment.entries[frames["pack"] == segment.packs.index(name)]
        entries = entries[np.lexsort((entries["place"], entries["frame"]))]
        numbers, firsts = np.unique(entries["frame"], return_index=True)
        for number, group in zip(numbers.tolist(), np.split(entries, firsts[1:]), strict=True):
            offset, stored = int(segment.frames["offset"][number]), int(segment.frames["stored"][number])
            plain, problem = b"", ""
            try:
                plain = decode(store.open_frame(name, offset, store.backend.get_range(where, offset, stored)), where)
            except (Corrupt, NotFound) as error:
                problem = error.message
            for blob, entry in zip(digests_of(group["digest"]), group, strict=True):
                end = int(entry["place"]) + (int(entry["size"]) & MAX_BLOB_BYTES)
                if blob not in seen and store.naming.digest(plain[int(entry["place"]) : end]) != blob:
                    yield Damage(where, blob, problem or "its bytes do not match its digest")
                seen.add(blob)
