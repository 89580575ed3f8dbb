"""Packs: files of frames that end in their own directory (format.md §6).

    builder = PackBuilder(fresh_name(), snapshot_id, seal)
    builder.add(frame, kinds, lengths, digests)
    parts, directory = builder.finish()
    backend.put(object_name(directory.name), parts, unique=True)
    directory = read_directory(backend, directory.name, size_bytes, seal)

A pack says all there is to know of its blobs, so an index can be rebuilt from packs alone. Its name is inside it: a
pack in another's place is found. This module does not know which blobs are needed, or in which other packs they are.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from snapstore.backends import Backend
from snapstore.blobs.frame import FRAME_HEADER_BYTES, MAX_PLAIN_BYTES, compress, content_size, decompress
from snapstore.digest import DIGEST_BYTES, Buffer, Digest, Kind
from snapstore.errors import Corrupt
from snapstore.seal import Seal, check_magic, magic

__all__ = ["PACKS", "Directory", "PackBuilder", "fresh_name", "object_name", "open_frame", "read_directory"]

PACKS = "packs/"
HEADER_BYTES = 40
MAX_PACK_BLOBS = 1 << 17  # a directory is held whole, by all who look at packs: some 5 MB

_LETTER = "P"
_TRAILER = struct.Struct("<QI32s8s")
_COUNTS = struct.Struct("<II")
_FRAME_BYTES, _BLOB_BYTES = 8 + 4 + 4 + 4 + DIGEST_BYTES, 1 + 4 + DIGEST_BYTES
_TAIL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class Directory:
    """What is in a pack: f frames and the b blobs in them, in order of frame and place.

    Per frame, shape (f,): `offsets` in the pack, `stored` and `plain` lengths in bytes, `counts` of blobs; `hashes` of
    the stored bytes, shape (f, 32). Per blob, shape (b,): `kinds`, `lengths` in bytes; `digests`, shape (b, 32).
    """

    name: str
    snapshot_id: bytes
    offsets: NDArray[np.int64]
    stored: NDArray[np.int64]
    plain: NDArray[np.int64]
    counts: NDArray[np.int64]
    hashes: NDArray[np.uint8]
    kinds: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    digests: NDArray[np.uint8]

    @property
    def firsts(self) -> NDArray[np.int64]:
        """The first blob of each frame, and the number of blobs: shape (f + 1,)."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.counts)])

    @property
    def frames(self) -> NDArray[np.int64]:
        """The frame of each blob: shape (b,)."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def places(self) -> NDArray[np.int64]:
        """Where each blob begins in its frame's plain bytes: shape (b,)."""
        ends = np.cumsum(self.lengths)
        return ends - self.lengths - np.repeat(np.cumsum(self.plain) - self.plain, self.counts)


class PackBuilder:
    """Gathers frames, closed by `seal`, until they are worth a file. Not for several threads."""

    def __init__(self, name: str, snapshot_id: bytes, seal: Seal) -> None:
        self.name = name
        self._seal = seal
        self._magic = magic(_LETTER, seal.version)
        self._header = b"".join([self._magic, bytes.fromhex(name), snapshot_id])
        if len(self._header) != HEADER_BYTES:
            raise ValueError("a pack's name is 32 hex digits, the id of a snapshot 16 bytes")
        self._frames: list[Buffer] = []
        self._plain: list[int] = []
        self._counts: list[int] = []
        self._hashes: list[bytes] = []
        self._kinds: list[int] = []
        self._lengths: list[int] = []
        self._digests: list[bytes] = []
        self.size_bytes = HEADER_BYTES

    @property
    def blobs(self) -> int:
        """How many blobs it has so far."""
        return len(self._lengths)

    def add(self, frame: bytes, kinds: Sequence[int], lengths: Sequence[int], digests: Sequence[bytes]) -> None:
        """Append a frame that holds these blobs, at least one, in this order."""
        stored = self._seal.close(object_name(self.name), frame, at=self.size_bytes)
        if open_frame(self.name, self.size_bytes, stored, self._seal) != frame:
            raise Corrupt("a frame was sealed wrongly", hint="Nothing was committed. Check this machine's memory.")
        self._frames.append(stored)
        self._plain.append(sum(lengths))
        self._counts.append(len(lengths))
        self._hashes.append(blake3(stored).digest())
        self._kinds += kinds
        self._lengths += lengths
        self._digests += digests
        self.size_bytes += len(stored)

    def finish(self) -> tuple[list[Buffer], Directory]:
        """The pack's bytes, in parts to be joined, and its directory, decoded again from them."""
        stored = np.array([len(frame) for frame in self._frames], "<u4")
        offsets = HEADER_BYTES + np.cumsum(stored, dtype="<u8") - stored
        plain = b"".join(
            [
                _COUNTS.pack(len(self._frames), len(self._lengths)),
                offsets.astype("<u8").tobytes(),
                stored.tobytes(),
                np.array(self._plain, "<u4").tobytes(),
                np.array(self._counts, "<u4").tobytes(),
                *self._hashes,
                bytes(self._kinds),
                np.array(self._lengths, "<u4").tobytes(),
                *self._digests,
            ]
        )
        tail = bytes(self._seal.close(object_name(self.name), compress(plain), at=self.size_bytes, bound=self._header))
        trailer = _TRAILER.pack(self.size_bytes, len(tail), _hash(self._header, tail), self._magic)
        size = self.size_bytes + len(tail) + len(trailer)
        directory = _decode(self.name, self._header, tail + trailer, size, self._seal)
        return [self._header, *self._frames, tail, trailer], directory


def fresh_name() -> str:
    """A name for a new pack or segment: 32 hex digits nobody else ever draws."""
    return os.urandom(16).hex()


def object_name(name: str) -> str:
    """The pack's name in the backend."""
    return f"{PACKS}{name[:2]}/{name}"


def open_frame(name: str, offset: int, stored: Buffer, seal: Seal) -> Buffer:
    """The frame that is stored at this byte of the pack. Raises `Corrupt`, naming the pack."""
    return seal.open(object_name(name), stored, at=offset)


def read_directory(backend: Backend, name: str, size_bytes: int, seal: Seal) -> Directory:
    """The directory of the pack `name`, an object of `size_bytes`, in two or three range reads.

    Raises `Corrupt` naming the pack wherever header, directory or trailer are not as they were written, `NotFound`, and
    `Unsupported` for a newer version.
    """
    where = object_name(name)
    if size_bytes < HEADER_BYTES + _TRAILER.size:
        raise Corrupt(f"{where} is cut short: {size_bytes} bytes")
    header = backend.get_range(where, 0, HEADER_BYTES)
    tail = backend.get_range(where, size_bytes - min(size_bytes, _TAIL_BYTES), min(size_bytes, _TAIL_BYTES))
    if header[:8] == tail[-8:]:  # a newer pack says so at both ends; one end alone is damage
        check_magic(header, _LETTER, where, seal)
    _, stored, _, _ = _TRAILER.unpack_from(tail, len(tail) - _TRAILER.size)
    wanted = stored + _TRAILER.size
    if len(tail) < wanted <= size_bytes - HEADER_BYTES:
        tail = backend.get_range(where, size_bytes - wanted, wanted)
    return _decode(name, header, tail, size_bytes, seal)


def _hash(header: bytes, tail: Buffer) -> bytes:
    return blake3(header).update(tail).digest()


def _decode(name: str, header: bytes, tail: bytes, size: int, seal: Seal) -> Directory:
    """`tail` is the end of the pack; it must hold directory and trailer."""
    where = object_name(name)
    start, stored, expected, last = _TRAILER.unpack_from(tail, len(tail) - _TRAILER.size)
    held = memoryview(tail)[max(0, len(tail) - _TRAILER.size - stored) : len(tail) - _TRAILER.size]
    if (
        last != magic(_LETTER, seal.version)
        or start + stored + _TRAILER.size != size
        or len(held) != stored
        or start < HEADER_BYTES
    ):
        raise Corrupt(f"{where} has a damaged trailer")
    if _hash(header, held) != expected:
        raise Corrupt(f"{where} has a damaged header or directory")
    if header[8:24] != bytes.fromhex(name):
        raise Corrupt(f"{where} is another pack: {header[8:24].hex()} is written in it")
    opened = seal.open(where, held, at=start, bound=header)
    plain = decompress(opened, content_size(opened, where), where)
    directory = _parse(name, header[24:], plain)
    if directory is None or not _is_sound(directory, start, FRAME_HEADER_BYTES + seal.overhead_bytes):
        raise Corrupt(f"{where} has a directory that does not fit its frames")
    return directory


def _parse(name: str, snapshot_id: bytes, plain: bytes) -> Directory | None:
    if len(plain) < _COUNTS.size:
        return None
    frames, blobs = _COUNTS.unpack_from(plain)
    if len(plain) != _COUNTS.size + frames * _FRAME_BYTES + blobs * _BLOB_BYTES:
        return None
    at = _COUNTS.size

    def take(count: int, kind: str) -> NDArray[np.int64]:
        nonlocal at
        array = np.frombuffer(plain, kind, count, at)
        at += array.nbytes
        return array.astype(np.int64)

    offsets, stored, length, counts = take(frames, "<u8"), take(frames, "<u4"), take(frames, "<u4"), take(frames, "<u4")
    hashes = np.frombuffer(plain, np.uint8, frames * DIGEST_BYTES, at).reshape(-1, DIGEST_BYTES)
    at += hashes.nbytes
    kinds = np.frombuffer(plain, np.uint8, blobs, at)
    at += blobs
    lengths = take(blobs, "<u4")
    digests = np.frombuffer(plain, np.uint8, blobs * DIGEST_BYTES, at).reshape(-1, DIGEST_BYTES)
    return Directory(name, snapshot_id, offsets, stored, length, counts, hashes, kinds, lengths, digests)


def _is_sound(directory: Directory, end: int, least_bytes: int) -> bool:
    """Whether frames fill the pack from header to directory, blobs fill the frames, and kinds belong together."""
    bounds = np.append(directory.offsets, end)
    if bounds[0] != HEADER_BYTES or (np.diff(bounds) != directory.stored).any():
        return False
    if (directory.stored < least_bytes).any() or (directory.plain > MAX_PLAIN_BYTES).any():
        return False
    if (directory.counts < 1).any() or directory.counts.sum() != len(directory.lengths):
        return False
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(directory.lengths)])[directory.firsts]
    if (np.diff(ends) != directory.plain).any():
        return False
    if ((directory.kinds < min(Kind)) | (directory.kinds > max(Kind))).any():
        return False
    values = directory.kinds == Kind.VALUE
    return bool(values.all() or not values.any())


def digests_of(rows: NDArray[np.uint8]) -> list[Digest]:
    """Rows of shape (n, 32) as digests."""
    joined = rows.tobytes()
    return [Digest(joined[at : at + DIGEST_BYTES]) for at in range(0, len(joined), DIGEST_BYTES)]


def rows_of(digests: Sequence[Digest]) -> NDArray[np.uint8]:
    """Digests as rows, shape (n, 32)."""
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)
