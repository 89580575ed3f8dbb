"""Chunks: what goes in comes out, there is one way to write it, and anything else is refused."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.digest import Naming, digest
from snapstore.errors import Corrupt
from snapstore.rows import Cells
from snapstore.tree import chunk, reference
from snapstore.tree.chunks import decode_run

nullable = st.lists(st.none() | st.binary(max_size=400), min_size=1, max_size=300)
fixed = st.integers(1, 9).flatmap(
    lambda width: st.tuples(
        st.just(width), st.lists(st.none() | st.binary(min_size=width, max_size=width), min_size=1, max_size=300)
    )
)


def bounds(count: int, cuts: list[int]) -> tuple[list[int], list[int]]:
    ends = sorted({cut % count for cut in cuts} - {0} | {count})
    return [0, *ends[:-1]], ends


def there_and_back(cells: list[bytes | None], width: int, cuts: list[int]) -> None:
    starts, stops = bounds(len(cells), cuts)
    encoded = chunk.encode(Cells.of(cells, width=width), starts, stops, Naming())
    assert len(encoded) == len(starts)
    for (ref, data), start, stop in zip(encoded, starts, stops, strict=True):
        own = cells[start:stop]
        if reference.is_constant(ref):
            assert not data
            assert set(own) == {reference.read_constant(ref)[0]}
            assert chunk.decode_constant(ref, len(own), width, "here").to_list() == own
        else:
            assert reference.digest_of(ref) == digest(data)
            assert chunk.decode([data], "here", width=width, counts=[len(own)]).to_list() == own
            # One encoding of given cells, however they were joined when they were encoded.
            assert chunk.encode(Cells.of(own, width=width), [0], [len(own)], Naming()) == [(ref, data)]
        is_small = len(set(own)) == 1 and len(own[0] or b"") <= 64
        assert reference.is_constant(ref) == is_small
    blobs = [data for _, data in encoded if data]
    if blobs:
        wanted = [cell for (ref, _), a, b in zip(encoded, starts, stops, strict=True) if reference.is_blob(ref)
                  for cell in cells[a:b]]  # fmt: skip
        assert chunk.decode(blobs, "here", width=width).to_list() == wanted


@given(nullable, st.lists(st.integers(0, 300), max_size=6))
def test_variable_cells_come_back(cells: list[bytes | None], cuts: list[int]) -> None:
    there_and_back(cells, 0, cuts)


@given(fixed, st.lists(st.integers(0, 300), max_size=6))
def test_fixed_cells_come_back(cells: tuple[int, list[bytes | None]], cuts: list[int]) -> None:
    there_and_back(cells[1], cells[0], cuts)


@given(
    cells=st.lists(st.none() | st.binary(max_size=3), max_size=6),
    others=st.lists(st.none() | st.binary(max_size=3), max_size=6),
)
def test_cells_are_equal_if_each_is(cells: list[bytes | None], others: list[bytes | None]) -> None:
    assert Cells.of(cells).equals(Cells.of(others)) == (cells == others)
    assert Cells.of(cells).equals(Cells.of(list(cells)))


def test_the_bytes_are_those_of_the_format() -> None:
    """By hand from format.md §4."""
    [(_, data)] = chunk.encode(Cells.of([b"ab", None, b"cd"], width=2), [0], [3], Naming())
    assert data == bytes([3, 0, 0, 0, 1, 1, 2, 0, 0b101]) + b"a\0c" + b"b\0d"
    [(_, data)] = chunk.encode(Cells.of([b"ab", b"", b"c"]), [0], [3], Naming())
    assert data == bytes([3, 0, 0, 0, 2, 0, 2, 0, 1]) + b"abc"
    [(_, data)] = chunk.encode(Cells.of([b"a" * 256, None]), [0], [2], Naming())
    assert data == bytes([2, 0, 0, 0, 2, 3, 0b01]) + b"\x00\x01\x00\x00" + b"a" * 256
    spilled = Cells(
        0, np.frombuffer(b"d" * 32 + b"x", np.uint8), np.array([0, 32, 33]), None, np.array([1, 0], np.uint8)
    )
    [(ref, data)] = chunk.encode(spilled, [0], [2], Naming())
    assert data == bytes([2, 0, 0, 0, 2, 2]) + b"\xff\xff\x01\x00" + b"d" * 32 + b"x"
    assert reference.spills(ref)
    back = chunk.decode([data], "here", width=0)
    assert back.spilled is not None
    assert back.spilled.tolist() == [1, 0]


def test_keys_are_never_constants() -> None:
    [(ref, data)] = chunk.encode(Cells.of([b"only"]), [0], [1], Naming(), is_key=True)
    assert reference.is_blob(ref)
    assert data


@given(st.binary(max_size=120), st.integers(0, 5))
def test_random_bytes_are_cells_or_corrupt(data: bytes, width: int) -> None:
    try:
        cells = chunk.decode([data], "here", width=width)
    except Corrupt:
        return
    assert len(cells) == int.from_bytes(data[:4], "little")


@given(nullable | fixed.map(lambda pair: pair[1]), st.data())
def test_a_changed_byte_gives_other_cells_or_corrupt(cells: list[bytes | None], data: st.DataObject) -> None:
    """So there is no second way to write the same cells."""
    widths = {len(cell) for cell in cells if cell is not None}
    width = widths.pop() if len(widths) == 1 and 0 not in widths else 0
    [(ref, good)] = chunk.encode(Cells.of(cells, width=width), [0], [len(cells)], Naming(), is_key=True)
    assert reference.is_blob(ref)
    at = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[at] ^= data.draw(st.integers(1, 255))
    try:
        back = chunk.decode([bytes(bad)], "here", width=width)
    except Corrupt:
        return
    assert back.to_list() != cells or back.spilled is not None


def test_a_chunk_that_claims_billions_of_rows_allocates_nothing() -> None:
    for flags in range(4):
        data = (2**32 - 1).to_bytes(4, "little") + bytes([2, flags]) + bytes(20)
        tracemalloc.start()
        with pytest.raises(Corrupt):
            chunk.decode([data], "here", width=0)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 100_000


def test_parents_and_chunks_must_agree() -> None:
    [(_, data)] = chunk.encode(Cells.of([b"ab", b"cd"], width=2), [0], [2], Naming())
    for width, count in ((2, 3), (0, 2), (1, 2)):
        with pytest.raises(Corrupt, match="here"):
            chunk.decode([data], "here", width=width, counts=[count])
    with pytest.raises(Corrupt, match="constant of 2 bytes"):
        chunk.decode_constant(reference.constant(b"ab"), 5, 4, "here")


def runs(cells: list[bytes | None], width: int, cuts: list[int]) -> tuple[list[bytes], list[int]]:
    starts, stops = bounds(len(cells), cuts)
    encoded = chunk.encode(Cells.of(cells, width=width), starts, stops, Naming(), is_key=True)
    return [data for _, data in encoded], [stop - start for start, stop in zip(starts, stops, strict=True)]


@given(nullable.map(lambda cells: (0, cells)) | fixed, st.lists(st.integers(0, 300), min_size=12, max_size=20))
def test_many_chunks_come_back_as_they_do_one_by_one(cells: tuple[int, list[bytes | None]], cuts: list[int]) -> None:
    width, plain = cells
    blobs, counts = runs(plain, width, cuts)
    assert decode_run(blobs, "here", width=width, counts=counts).to_list() == plain


@given(nullable.map(lambda cells: (0, cells)) | fixed, st.data())
def test_many_chunks_are_refused_where_one_of_them_is(
    cells: tuple[int, list[bytes | None]], data: st.DataObject
) -> None:
    """A changed, missing or added byte anywhere: the same cells as one by one, or Corrupt in both ways."""
    width, plain = cells
    blobs, counts = runs(plain, width, data.draw(st.lists(st.integers(0, 300), min_size=12, max_size=20)))
    number = data.draw(st.integers(0, len(blobs) - 1))
    bad = bytearray(blobs[number])
    match data.draw(st.integers(0, 3)):
        case 0:
            del bad[data.draw(st.integers(0, len(bad) - 1)) :]
        case 1:
            bad += data.draw(st.binary(min_size=1, max_size=9))
        case _:
            bad[data.draw(st.integers(0, min(len(bad) - 1, 12)))] ^= data.draw(st.integers(1, 255))
    blobs[number] = bytes(bad)
    try:
        expected: list[bytes | None] | None = chunk.decode(blobs, "here", width=width, counts=counts).to_list()
    except Corrupt:
        expected = None
    try:
        found: list[bytes | None] | None = decode_run(blobs, "here", width=width, counts=counts).to_list()
    except Corrupt:
        found = None
    assert found == expected
