from __future__ import annotations

import struct

import numpy as np
import pytest
import zstandard
from blake3 import blake3

from snapstore.backends.memory import MemoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.blobs.frame import encode
from snapstore.blobs.pack import Directory, PackBuilder, object_name, read_directory
from snapstore.blobs.segment import build
from snapstore.blobs.segment import decode as decode_segment
from snapstore.blobs.segment import encode as encode_segment
from snapstore.digest import Kind, digest
from snapstore.errors import Corrupt, Unsupported
from snapstore.seal import PLAIN

NAME, TAKE = "00112233445566778899aabbccddeeff", bytes(range(16))
BLOBS = [b"one", b"", b"three"]


def _pack() -> tuple[bytes, Directory]:
    builder = PackBuilder(NAME, TAKE, PLAIN)
    names = [digest(blob) for blob in BLOBS]
    builder.add(encode(BLOBS[:2]), [Kind.CHUNK, Kind.NODE], [3, 0], names[:2])
    builder.add(encode(BLOBS[2:]), [Kind.TABLE], [5], names[2:])
    parts, directory = builder.finish()
    return b"".join(parts), directory


def test_a_pack_has_these_bytes() -> None:
    """format.md §6, word for word, from nothing but struct, zstd and BLAKE3."""
    head = b"SNAPP\x00\x01\x00" + bytes.fromhex(NAME) + TAKE
    first, second = b"\x00\x01\x00\x00\x03\x00\x00\x00one", b"\x00\x01\x00\x00\x05\x00\x00\x00three"
    directory = (
        struct.pack("<IIQQIIIIII", 2, 3, 40, 51, 11, 13, 3, 5, 2, 1)
        + blake3(first).digest()
        + blake3(second).digest()
        + bytes([1, 2, 3])
        + struct.pack("<III", 3, 0, 5)
        + b"".join(digest(blob) for blob in BLOBS)
    )
    stored = zstandard.ZstdCompressor(level=1).compress(directory)
    trailer = struct.pack("<QI", 64, len(stored)) + blake3(head + stored).digest() + head[:8]
    assert _pack()[0] == head + first + second + stored + trailer


def test_the_directory_is_read_as_it_was_written() -> None:
    data, written = _pack()
    backend = RecordingBackend(MemoryBackend())
    backend.put(object_name(NAME), [data])
    read = read_directory(backend, NAME, len(data), PLAIN)
    assert backend.count("get_range") == 2
    assert (read.name, read.snapshot_id) == (NAME, TAKE)
    for field in ("offsets", "stored", "plain", "counts", "hashes", "kinds", "lengths", "digests"):
        assert np.array_equal(getattr(read, field), getattr(written, field)), field
    assert read.frames.tolist() == [0, 0, 1]
    assert read.places.tolist() == [0, 3, 0]
    assert read.firsts.tolist() == [0, 2, 3]


def test_a_large_directory_is_read_in_three_calls() -> None:
    builder = PackBuilder(NAME, TAKE, PLAIN)
    for number in range(4):
        blobs = [f"{number} {place}".encode() for place in range(1000)]
        builder.add(encode(blobs), [1] * 1000, list(map(len, blobs)), [digest(blob) for blob in blobs])
    data = b"".join(builder.finish()[0])
    backend = RecordingBackend(MemoryBackend())
    backend.put(object_name(NAME), [data])
    assert len(read_directory(backend, NAME, len(data), PLAIN).lengths) == 4000
    assert backend.count("get_range") == 3


def test_a_pack_in_anothers_place_is_found() -> None:
    data, _ = _pack()
    other = "ff" * 16
    backend = MemoryBackend()
    backend.put(object_name(other), [data])
    with pytest.raises(Corrupt, match=f"packs/ff/{other} is another pack: {NAME}"):
        read_directory(backend, other, len(data), PLAIN)


def test_a_newer_pack_is_refused_by_name() -> None:
    data, _ = _pack()
    newer = bytearray(data)
    newer[6] = newer[-2] = 3
    backend = MemoryBackend()
    backend.put(object_name(NAME), [newer])
    with pytest.raises(Unsupported, match=f"{NAME} is written in format 3"):
        read_directory(backend, NAME, len(newer), PLAIN)


def test_values_and_tree_blobs_share_no_pack() -> None:
    builder = PackBuilder(NAME, TAKE, PLAIN)
    builder.add(encode([b"a", b"b"]), [Kind.CHUNK, Kind.VALUE], [1, 1], [digest(b"a"), digest(b"b")])
    with pytest.raises(Corrupt, match="does not fit"):
        builder.finish()


def test_a_segment_has_these_bytes() -> None:
    """format.md §7, word for word."""
    _, directory = _pack()
    places = {digest(b"one"): (0, 0, 1 << 28 | 3), digest(b""): (0, 3, 2 << 28), digest(b"three"): (1, 0, 3 << 28 | 5)}
    body = (
        b"SNAPI\x00\x01\x00"
        + struct.pack("<IIQ", 1, 2, 3)
        + bytes.fromhex(NAME)
        + struct.pack("<IIQQIIII", 0, 0, 40, 51, 11, 13, 3, 5)
        + b"".join(name + struct.pack("<III", *places[name]) for name in sorted(places))
    )
    data = b"".join(encode_segment(build([directory]), "ab", PLAIN))
    assert data == body + blake3(body).digest()
    read = decode_segment("ab", data, PLAIN)
    assert read.packs == (NAME,)
    assert read.entries.tobytes() == body[-132:]


def test_a_newer_segment_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="index/ab is written in format 3"):
        decode_segment("ab", b"SNAPI\x00\x03\x00" + bytes(100), PLAIN)
