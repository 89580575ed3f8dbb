"""Index segments: where blobs are, sorted by digest, written once (format.md §7).

    segment = build([directory])
    backend.put("index/0a1b…", encode(segment))
    assert (decode("0a1b…", data).entries == segment.entries).all()

A segment is a fact about packs, which never change, so an entry stays true as long as its pack is there. This module
does not know which packs those are.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from snapstore.blobs.frame import MAX_PLAIN_BYTES
from snapstore.blobs.pack import HEADER_BYTES, Directory, check_magic
from snapstore.digest import DIGEST_BYTES, Buffer
from snapstore.errors import Corrupt

__all__ = ["ENTRY", "FRAME", "INDEX", "Segment", "build", "decode", "encode", "join", "prefixes", "without"]

INDEX = "index/"
MAX_BLOB_BYTES = (1 << 28) - 1
COUNTS_BYTES = 24  # magic and the three counts

# As on disk: the digest, the frame's number in this segment, the place in its plain bytes, kind << 28 | length.
ENTRY = np.dtype([("digest", "u1", (DIGEST_BYTES,)), ("frame", "<u4"), ("place", "<u4"), ("size", "<u4")])
# In memory only; on disk each field is an array of its own.
FRAME = np.dtype([("pack", "<u4"), ("offset", "<u8"), ("stored", "<u4"), ("plain", "<u4")])

_MAGIC = b"SNAPI\x00\x01\x00"
_COUNTS = struct.Struct("<IIQ")


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """`packs` are names; `frames` of dtype `FRAME`; `entries` of dtype `ENTRY`, ascending and unique by digest."""

    packs: tuple[str, ...]
    frames: NDArray[np.void]
    entries: NDArray[np.void]


def build(directories: Sequence[Directory]) -> Segment:
    """The entries of these packs; a digest in several of them gets the first."""
    pieces = []
    for directory in directories:
        frames = np.zeros(len(directory.offsets), FRAME)
        frames["offset"], frames["stored"], frames["plain"] = directory.offsets, directory.stored, directory.plain
        entries = np.zeros(len(directory.lengths), ENTRY)
        entries["digest"], entries["frame"], entries["place"] = directory.digests, directory.frames, directory.places
        entries["size"] = directory.kinds.astype(np.uint32) << 28 | directory.lengths.astype(np.uint32)
        pieces.append(Segment((directory.name,), frames, entries))
    return join(pieces)


def join(segments: Sequence[Segment], *, unique: bool = True) -> Segment:
    """One segment for many. A digest in several of them keeps the first entry, or all of them if not `unique`."""
    packs: dict[str, int] = {}
    frames, entries, count = [np.zeros(0, FRAME)], [np.zeros(0, ENTRY)], 0
    for segment in segments:
        numbers = np.array([packs.setdefault(name, len(packs)) for name in segment.packs], np.uint32)
        these, those = segment.frames.copy(), segment.entries.copy()
        these["pack"] = numbers[these["pack"]] if len(these) else 0
        those["frame"] += np.uint32(count)
        count += len(these)
        frames.append(these)
        entries.append(those)
    return Segment(tuple(packs), np.concatenate(frames), _sorted(np.concatenate(entries), unique))


def without(segment: Segment, gone: frozenset[str]) -> Segment:
    """The same without the entries, frames and names of these packs."""
    kept = np.array([name not in gone for name in segment.packs], np.bool_)
    frames = kept[segment.frames["pack"]] if len(kept) else np.zeros(0, np.bool_)
    entries = segment.entries[frames[segment.entries["frame"]]] if len(frames) else segment.entries[:0]
    entries = entries.copy()
    entries["frame"] = (np.cumsum(frames) - 1)[entries["frame"]]
    rest = segment.frames[frames].copy()
    rest["pack"] = (np.cumsum(kept) - 1)[rest["pack"]]
    return Segment(tuple(name for name in segment.packs if name not in gone), rest, entries)


def encode(segment: Segment) -> list[Buffer]:
    """The segment's bytes, in parts to be joined."""
    frames = segment.frames
    parts: list[Buffer] = [
        _MAGIC + _COUNTS.pack(len(segment.packs), len(frames), len(segment.entries)),
        bytes.fromhex("".join(segment.packs)),
        *(np.ascontiguousarray(frames[field]).tobytes() for field in ("pack", "offset", "stored", "plain")),
        segment.entries.tobytes(),
    ]
    hasher = blake3()
    for part in parts:
        hasher.update(part)
    return [*parts, hasher.digest()]


def decode(name: str, data: bytes) -> Segment:
    """A segment from its bytes. Raises `Corrupt` naming it for any damage, `Unsupported` for a newer version."""
    where = INDEX + name
    check_magic(data, _MAGIC, where)
    if len(data) < COUNTS_BYTES + DIGEST_BYTES:
        raise Corrupt(f"{where} is cut short", hint=REBUILD_HINT)
    if blake3(memoryview(data)[:-DIGEST_BYTES]).digest() != data[-DIGEST_BYTES:]:
        raise Corrupt(f"{where} is damaged: its checksum does not match", hint=REBUILD_HINT)
    packs, frames, blobs, start = layout(data[:COUNTS_BYTES], len(data), where)
    names, table = read_frames(data[COUNTS_BYTES:start], packs, frames, where)
    entries = np.frombuffer(data, ENTRY, blobs, start)
    check_entries(entries, table, where)
    return Segment(names, table, entries)


def layout(head: Buffer, size: int, where: str) -> tuple[int, int, int, int]:
    """How many packs, frames and entries, and where entries begin, from the first `COUNTS_BYTES` of `size` bytes."""
    check_magic(head, _MAGIC, where)
    packs, frames, blobs = _COUNTS.unpack_from(head, 8)
    start = COUNTS_BYTES + packs * 16 + frames * FRAME.itemsize
    if start + blobs * ENTRY.itemsize + DIGEST_BYTES != size:
        raise Corrupt(f"{where} is damaged: {size} bytes do not fit its counts", hint=REBUILD_HINT)
    return packs, frames, blobs, start


def read_frames(data: bytes, packs: int, frames: int, where: str) -> tuple[tuple[str, ...], NDArray[np.void]]:
    """Pack names and frame table from the bytes between the counts and the entries."""
    names = tuple(data[at : at + 16].hex() for at in range(0, packs * 16, 16))
    table, at = np.zeros(frames, FRAME), packs * 16
    for field, kind in (("pack", "<u4"), ("offset", "<u8"), ("stored", "<u4"), ("plain", "<u4")):
        table[field] = np.frombuffer(data, kind, frames, at)
        at += frames * np.dtype(kind).itemsize
    if frames and (
        table["pack"].max() >= packs or table["offset"].min() < HEADER_BYTES or table["plain"].max() > MAX_PLAIN_BYTES
    ):
        raise Corrupt(f"{where} is damaged: a frame lies nowhere", hint=REBUILD_HINT)
    return names, table


def check_entries(entries: NDArray[np.void], frames: NDArray[np.void], where: str) -> None:
    """Raises `Corrupt` if an entry lies outside its frame."""
    if not len(entries):
        return
    if not len(frames) or entries["frame"].max() >= len(frames):
        raise Corrupt(f"{where} is damaged: an entry names no frame", hint=REBUILD_HINT)
    ends = entries["place"].astype(np.int64) + (entries["size"] & MAX_BLOB_BYTES)
    if (ends > frames["plain"][entries["frame"]]).any():
        raise Corrupt(f"{where} is damaged: a blob lies outside its frame", hint=REBUILD_HINT)


def prefixes(digests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The first eight bytes of each digest (shape (n, 32)) as numbers of the same order: shape (n,)."""
    return np.ascontiguousarray(digests[:, :8]).view(">u8").reshape(-1).astype(np.uint64)


def _sorted(entries: NDArray[np.void], unique: bool) -> NDArray[np.void]:
    keys = prefixes(entries["digest"])
    entries = entries[np.argsort(keys, kind="stable")]
    keys = prefixes(entries["digest"])
    if not unique or not (keys[1:] == keys[:-1]).any():
        return entries
    words = np.ascontiguousarray(entries["digest"]).view(">u8").astype(np.uint64)
    order = np.lexsort(tuple(words[:, word] for word in (3, 2, 1, 0)))
    entries, words = entries[order], words[order]
    first = np.ones(len(entries), np.bool_)
    first[1:] = (words[1:] != words[:-1]).any(axis=1)
    return entries[first]


REBUILD_HINT = "Rebuild the index from the packs; they say all that it says."
