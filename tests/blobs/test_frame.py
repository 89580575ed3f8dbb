from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from snapstore.blobs.frame import MAX_PLAIN_BYTES, decode, encode
from snapstore.errors import Corrupt, Invalid

WHERE = "packs/ab/abc"
VECTORS = np.random.default_rng(7).standard_normal((64, 96)).astype("<f4").tobytes()


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(1, 9))
def test_decode_gives_the_blobs_end_to_end(blobs: list[bytes], stride: int) -> None:
    assert decode(encode(blobs, stride), WHERE) == b"".join(blobs)


@pytest.mark.parametrize("stride", [2, 3, 4, 8, 255])
def test_planes_come_back_in_order(stride: int) -> None:
    rows = np.random.default_rng(stride).integers(0, 256, (2000, stride), np.uint8)
    rows[:, ::2] = 7
    frame = encode([rows.tobytes()], stride)
    assert frame[:2] == bytes([2, stride])
    assert decode(frame, WHERE) == rows.tobytes()


def test_a_frame_has_these_bytes() -> None:
    """format.md §5, word for word, one of each codec."""
    rising, falling, same = bytes(range(40)), bytes(range(200, 160, -1)), bytes([63]) * 40
    third = zstandard.ZstdCompressor(level=1).compress(same)
    planes = struct.pack("<I40sI40sI", 40, rising, 40, falling, len(third)) + third
    table = [
        (b"", 1, struct.pack("<BBHI", 0, 1, 0, 0)),
        (b"abc", 4, struct.pack("<BBHI", 0, 1, 0, 3) + b"abc"),
        (same, 1, struct.pack("<BBHI", 1, 1, 0, 40) + third),
        (np.array([list(rising), list(falling), list(same)], np.uint8).T.tobytes(), 3, b"\2\3\0\0\x78\0\0\0" + planes),
    ]
    for plain, stride, frame in table:
        assert encode([plain], stride) == frame
        assert decode(frame, WHERE) == plain


def test_vectors_take_planes_and_repeated_ones_do_not() -> None:
    assert encode([VECTORS], 4)[0] == 2
    assert len(encode([VECTORS], 4)) < len(encode([VECTORS]))
    assert encode([VECTORS[:384]] * 64, 4)[0] == 1


def test_what_does_not_shrink_is_kept_plain() -> None:
    noise = np.random.default_rng(1).bytes(5000)
    assert encode([noise], 4) == struct.pack("<BBHI", 0, 1, 0, 5000) + noise


def test_no_frame_is_larger_than_the_limit() -> None:
    with pytest.raises(Invalid):
        encode([bytes(MAX_PLAIN_BYTES), b"x"])
    for stride in (0, 256):
        with pytest.raises(Invalid):
            encode([b"x"], stride)


@given(st.binary(max_size=200))
def test_random_bytes_are_damage_and_nothing_worse(data: bytes) -> None:
    _decode_or_corrupt(data)


@given(st.integers(0, 3), st.integers(0, 5), st.integers(0, 2**32 - 1), st.binary(max_size=100))
def test_random_frames_are_damage_and_nothing_worse(codec: int, stride: int, length: int, body: bytes) -> None:
    _decode_or_corrupt(struct.pack("<BBHI", codec, stride, 0, length) + body)


@given(st.data())
def test_a_changed_frame_is_damage_or_other_bytes(data: st.DataObject) -> None:
    frame = bytearray(encode([VECTORS], 4))
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= data.draw(st.integers(1, 255))
    _decode_or_corrupt(bytes(frame[: data.draw(st.integers(0, len(frame)))]))


@pytest.mark.parametrize("stride", [1, 4])
def test_a_frame_that_claims_much_allocates_little(stride: int) -> None:
    """A zstd frame of a few bytes may claim gigabytes; the library would allocate them."""
    bomb = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 1 << 32) + b"\x01\x00\x00"
    body = bomb if stride == 1 else b"".join(struct.pack("<I", len(bomb)) + bomb for _ in range(4))
    tracemalloc.start()
    for length in (1 << 10, MAX_PLAIN_BYTES, MAX_PLAIN_BYTES + 4, 2**32 - 4):
        with pytest.raises(Corrupt, match=WHERE):
            decode(struct.pack("<BBHI", 1 if stride == 1 else 2, stride, 0, length) + body, WHERE)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def _decode_or_corrupt(data: bytes) -> None:
    message, plain = WHERE, b""
    try:
        plain = decode(data, WHERE)
    except Corrupt as error:
        message = error.message
    else:
        assert len(plain) == struct.unpack_from("<I", data, 4)[0]
    assert WHERE in message


def test_planes_take_hardly_more_than_the_entropy_of_their_bytes() -> None:
    rows = np.random.default_rng(8).standard_normal(130_000).astype("<f4").view(np.uint8).reshape(-1, 4)
    shares = [np.bincount(plane, minlength=256) / len(plane) for plane in rows.T]
    bits = sum(float(-(share[share > 0] * np.log2(share[share > 0])).sum()) for share in shares)
    assert len(encode([rows.tobytes()], 4)) < rows.size * bits / 32 * 1.006  # level 1 of zstd: 1.013
