"""Index segments: where blobs are, sorted by digest, written once (format.md §7).

    segment = build([directory])
    backend.put("index/0a1b…", encode(segment, "0a1b…", seal))
    assert (decode("0a1b…", data, seal).entries == segment.entries).all()

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
from snapstore.blobs.pack import HEADER_BYTES, Directory
from snapstore.digest import DIGEST_BYTES, Buffer
from snapstore.errors import Corrupt
from snapstore.seal import PLAIN, Seal, check_magic, magic

__all__ = [
    "BLOCK_ENTRIES", "ENTRY", "FRAME", "INDEX", "Layout", "Segment",
    "build", "decode", "encode", "join", "layers", "open_entries", "prefixes", "without",
]  # fmt: skip

INDEX = "index/"
MAX_BLOB_BYTES = (1 << 28) - 1
COUNTS_BYTES = 24  # magic and the three counts
BLOCK_ENTRIES = 4096  # a block of entries is read, and sealed, in one piece

# As on disk: the digest, the frame's number in this segment, the place in its plain bytes, kind << 28 | length.
ENTRY = np.dtype([("digest", "u1", (DIGEST_BYTES,)), ("frame", "<u4"), ("place", "<u4"), ("size", "<u4")])
# In memory only; on disk each field is an array of its own.
FRAME = np.dtype([("pack", "<u4"), ("offset", "<u8"), ("stored", "<u4"), ("plain", "<u4")])

_LETTER = "I"
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
    frames, count, at = [np.zeros(0, FRAME)], 0, 0
    keys = [np.zeros(0, np.uint64), *(prefixes(segment.entries["digest"]) for segment in segments)]
    place = _inverse(np.argsort(np.concatenate(keys), kind="stable"))
    del keys
    # Each entry goes where it belongs at once: a whole index is joined here, and copies of it would be what gc needs.
    entries = np.empty(len(place), ENTRY)
    for segment in segments:
        numbers = np.array([packs.setdefault(name, len(packs)) for name in segment.packs], np.uint32)
        these = segment.frames.copy()
        these["pack"] = numbers[these["pack"]] if len(these) else 0
        frames.append(these)
        here = place[at : at + len(segment.entries)]
        entries[here] = segment.entries
        entries["frame"][here] += np.uint32(count)
        count += len(these)
        at += len(segment.entries)
    return Segment(tuple(packs), np.concatenate(frames), _first_of_each(entries) if unique else entries)


def layers(segments: Sequence[Segment]) -> list[Segment]:
    """All that these segments say, in as few as can hold each digest once: one, unless packs have blobs in common."""
    whole = join(segments, unique=False)
    words = np.ascontiguousarray(whole.entries["digest"]).view(">u8").astype(np.uint64)
    packs = whole.frames["pack"][whole.entries["frame"]] if len(whole.entries) else np.zeros(0, np.uint32)
    order = np.lexsort((packs, *(words[:, word] for word in (3, 2, 1, 0))))
    entries, words, packs = whole.entries[order], words[order], packs[order]
    is_same = np.zeros(len(entries), np.bool_)
    is_same[1:] = (words[1:] == words[:-1]).all(axis=1)
    is_again = is_same.copy()
    is_again[1:] &= packs[1:] == packs[:-1]
    entries, is_same = entries[~is_again], is_same[~is_again]
    number = np.arange(len(entries))
    rank = number - np.maximum.accumulate(np.where(is_same, 0, number))
    return [
        _compact(Segment(whole.packs, whole.frames, entries[rank == at])) for at in range(int(rank.max(initial=-1)) + 1)
    ]


def _compact(segment: Segment) -> Segment:
    """The same without frames and packs that no entry names."""
    frames, frame = np.unique(segment.entries["frame"], return_inverse=True)
    packs, pack = np.unique(segment.frames["pack"][frames], return_inverse=True)
    rest, entries = segment.frames[frames].copy(), segment.entries.copy()
    rest["pack"], entries["frame"] = pack, frame
    return Segment(tuple(segment.packs[at] for at in packs.tolist()), rest, entries)


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


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are in an encoded segment: how many packs, frames and entries, and the byte where entries begin.

    Blocks of `BLOCK_ENTRIES` follow each other, each with what the seal adds to it.
    """

    packs: int
    frames: int
    entries: int
    start: int
    overhead: int

    @property
    def blocks(self) -> int:
        """How many blocks of entries there are."""
        return -(-self.entries // BLOCK_ENTRIES)

    @property
    def end(self) -> int:
        """The byte after the last entry."""
        return self.start + self.entries * ENTRY.itemsize + self.blocks * self.overhead

    def span(self, first: int, blocks: int) -> tuple[int, int]:
        """Offset and length of the stored bytes of these blocks."""
        size = BLOCK_ENTRIES * ENTRY.itemsize + self.overhead
        offset = self.start + first * size
        return offset, min(blocks * size, self.end - offset)


def encode(segment: Segment, name: str, seal: Seal) -> list[Buffer]:
    """The bytes of the segment of this name, in parts to be joined."""
    frames, where = segment.frames, INDEX + name
    head = magic(_LETTER, seal.version) + _COUNTS.pack(len(segment.packs), len(frames), len(segment.entries))
    table = bytes.fromhex("".join(segment.packs)) + b"".join(
        np.ascontiguousarray(frames[field]).tobytes() for field in ("pack", "offset", "stored", "plain")
    )
    entries = memoryview(segment.entries.tobytes())
    if seal is PLAIN:
        hasher = blake3(head).update(table).update(entries)
        return [head, table, entries, hasher.digest()]
    size = BLOCK_ENTRIES * ENTRY.itemsize
    blocks = [
        seal.close(where, entries[at : at + size], at=1 + number, bound=head)
        for number, at in enumerate(range(0, len(entries), size))
    ]
    return [head, seal.close(where, table, at=0, bound=head), *blocks]


def decode(name: str, data: bytes, seal: Seal) -> Segment:
    """A segment from its bytes. Raises `Corrupt` naming it for any damage, `Unsupported` for a newer version."""
    where = INDEX + name
    check_magic(data, _LETTER, where, seal)
    if len(data) < COUNTS_BYTES:
        raise Corrupt(f"{where} is cut short", hint=REBUILD_HINT)
    if seal is PLAIN and blake3(memoryview(data)[:-DIGEST_BYTES]).digest() != data[-DIGEST_BYTES:]:
        raise Corrupt(f"{where} is damaged: its checksum does not match", hint=REBUILD_HINT)
    head = data[:COUNTS_BYTES]
    held = layout(head, len(data), where, seal)
    names, table = read_frames(data[COUNTS_BYTES : held.start], head, held, where, seal)
    entries = open_entries(memoryview(data)[held.start : held.end], 0, head, where, seal)
    check_entries(entries, table, where)
    return Segment(names, table, entries)


def layout(head: Buffer, size: int, where: str, seal: Seal) -> Layout:
    """Where things are, from the first `COUNTS_BYTES` of `size` bytes."""
    check_magic(head, _LETTER, where, seal)
    packs, frames, entries = _COUNTS.unpack_from(head, 8)
    start = COUNTS_BYTES + packs * 16 + frames * FRAME.itemsize + seal.overhead_bytes
    held = Layout(packs, frames, entries, start, seal.overhead_bytes)
    if held.end + (DIGEST_BYTES if seal is PLAIN else 0) != size:
        raise Corrupt(f"{where} is damaged: {size} bytes do not fit its counts", hint=REBUILD_HINT)
    return held


def open_entries(stored: Buffer, first: int, head: Buffer, where: str, seal: Seal) -> NDArray[np.void]:
    """The entries of the blocks that begin with number `first`, from their stored bytes. Raises `Corrupt`."""
    if seal is PLAIN:
        return np.frombuffer(stored, ENTRY)
    size = BLOCK_ENTRIES * ENTRY.itemsize + seal.overhead_bytes
    view = memoryview(stored)
    blocks = [
        seal.open(where, view[at : at + size], at=1 + first + number, bound=head)
        for number, at in enumerate(range(0, len(view), size))
    ]
    return np.frombuffer(b"".join(blocks), ENTRY)


def read_frames(
    stored: bytes, head: Buffer, held: Layout, where: str, seal: Seal
) -> tuple[tuple[str, ...], NDArray[np.void]]:
    """Pack names and frame table from the bytes between the counts and the entries."""
    data, packs, frames = seal.open(where, stored, at=0, bound=head), held.packs, held.frames
    names = tuple(bytes(data[at : at + 16]).hex() for at in range(0, packs * 16, 16))
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


def _inverse(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each item goes, of an order that says where each comes from."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place


def _first_of_each(entries: NDArray[np.void]) -> NDArray[np.void]:
    """One entry a digest, ascending, of entries in the order of the first eight bytes."""
    keys = prefixes(entries["digest"])
    if not (keys[1:] == keys[:-1]).any():
        return entries
    words = np.ascontiguousarray(entries["digest"]).view(">u8").astype(np.uint64)
    order = np.lexsort(tuple(words[:, word] for word in (3, 2, 1, 0)))
    entries, words = entries[order], words[order]
    first = np.ones(len(entries), np.bool_)
    first[1:] = (words[1:] != words[:-1]).any(axis=1)
    return entries[first]


REBUILD_HINT = "`snap repair index` rebuilds the index from the packs; they say all that it says."
