"""Large cells leave their chunk at 512 bytes, and are cut by content over 64 KiB."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from snapstore.digest import Digest, Kind, Naming, digest
from snapstore.errors import Corrupt
from snapstore.rows import Cells
from snapstore.tree import values
from snapstore.tree.values import part_digests, part_ends, portions, resolve, spill
from tests.tree.sample import Store

KIB = 1024
GEAR = Naming().gear


def kinds(store: Store) -> Counter[Kind]:
    return Counter(kind for own in store.kinds.values() for kind in own)


@given(st.lists(st.none() | st.integers(0, 9).flatmap(lambda n: st.just(bytes([n]) * [0, 1, 511, 512, 513, 600,
                64 * KIB, 64 * KIB + 1, 70_000, 300_000][n])), max_size=12))  # fmt: skip
def test_what_is_spilled_comes_back(cells: list[bytes | None]) -> None:
    store = Store()
    small = spill(Cells.of(cells), store, stride=4)
    assert [0 if cell is None or len(cell) <= 512 else 1 if len(cell) <= 64 * KIB else 2 for cell in cells] == (
        [0] * len(cells) if small.spilled is None else small.spilled.tolist()
    )
    assert resolve(small, store).to_list() == cells
    for cell, kept in zip(cells, small.to_list(), strict=True):
        if cell is not None and 512 < len(cell) <= 64 * KIB:
            assert kept == digest(cell)
            assert store.blobs[digest(cell)] == cell


def test_equal_large_cells_are_stored_once() -> None:
    store = Store()
    huge = np.random.default_rng(1).bytes(500_000)
    spill(Cells.of([b"v" * 600, b"v" * 600, huge, huge]), store, stride=1)
    assert kinds(store) == {Kind.VALUE: 1 + len(part_ends(np.frombuffer(huge, np.uint8), GEAR)), Kind.PARTS: 1}


def by_the_book(cell: bytes) -> list[int]:
    """format.md §3, Parts, byte by byte."""
    table = blake3(b"snapstore gear v1").digest(length=1024)
    gear = [int.from_bytes(table[at : at + 4], "little") for at in range(0, 1024, 4)]
    rolled, ends, start = 0, [], 0
    for at, byte in enumerate(cell):
        # Thirty-two doublings push a byte out of 32 bits: the window needs no other end.
        rolled = (rolled * 2 + gear[byte]) % (1 << 32)
        length = at + 1 - start
        if (rolled >> 14 == 0 and length >= 64 * KIB) or length == 1024 * KIB:
            ends.append(at + 1)
            start = at + 1
    return ends if ends and ends[-1] == len(cell) else [*ends, len(cell)]


def test_parts_end_where_the_format_says() -> None:
    random = np.random.default_rng(2)
    for cell in (random.bytes(1_500_000), b"\0" * 2_500_000, bytes(range(256)) * 2000, random.bytes(64 * KIB + 1)):
        assert part_ends(np.frombuffer(cell, np.uint8), GEAR) == by_the_book(cell)


def test_parts_ends_do_not_depend_on_the_block_they_are_looked_for_in() -> None:
    # Over 4 MiB the hash is rolled block by block.
    cell = np.random.default_rng(3).bytes(9 * 1024 * KIB)
    ends = part_ends(np.frombuffer(cell, np.uint8), GEAR)
    again = part_ends(np.frombuffer(cell[ends[0] :], np.uint8), GEAR)
    assert [end - ends[0] for end in ends[1:]] == again


def test_an_insert_in_the_middle_leaves_the_parts_around_it() -> None:
    random = np.random.default_rng(4)
    cell = random.bytes(6_000_000)
    store = Store()
    small = spill(Cells.of([cell]), store, stride=1)
    before = dict(store.blobs)
    edited = cell[:3_000_000] + b"a few more words" + cell[3_000_000:]
    again = spill(Cells.of([edited]), store, stride=1)
    assert resolve(again, store).to_list() == [edited]
    assert resolve(small, store).to_list() == [cell]
    fresh = [name for name in store.blobs if name not in before and Kind.VALUE in store.kinds[name]]
    assert len(fresh) <= 3
    assert sum(len(store.blobs[name]) for name in fresh) < len(cell) / 2
    assert len(before) > 10


def test_every_part_is_within_bounds() -> None:
    cell = np.random.default_rng(5).bytes(5_000_000)
    ends = part_ends(np.frombuffer(cell, np.uint8), GEAR)
    sizes = np.diff([0, *ends])
    assert ends[-1] == len(cell)
    assert sizes.max() <= 1024 * KIB
    assert sizes[:-1].min() >= 64 * KIB


@given(st.binary(max_size=130))
def test_random_bytes_are_parts_or_corrupt(data: bytes) -> None:
    try:
        digests, lengths, total = part_digests(data, "here")
    except Corrupt:
        return
    assert sum(lengths) == total
    assert len(digests) == len(lengths)


def test_parts_that_do_not_fit_are_corrupt() -> None:
    store = Store()
    small = spill(Cells.of([np.random.default_rng(6).bytes(300_000)]), store, stride=1)
    blob = store.blobs[Digest(small[0] or b"")]
    digests, _, _ = part_digests(blob, "here")
    store.blobs[digests[0]] += b"!"
    with pytest.raises(Corrupt, match="another length"):
        resolve(small, store)
    for wrong in (blob[:-1], blob[:8], b"\1" + blob[1:]):
        with pytest.raises(Corrupt):
            part_digests(wrong, "here")


LENGTHS = st.sampled_from([None, 0, 3, 600, 64 * KIB, 64 * KIB + 1, 300_000, 900_000])


@given(st.lists(st.tuples(LENGTHS, LENGTHS), max_size=12))
def test_rows_are_fetched_in_portions_of_so_many_bytes_or_one_row(lengths: list[tuple[int | None, int | None]]) -> None:
    store, most = Store(), 700 * KIB
    columns = [Cells.of([None if n is None else bytes(n) for n in own]) for own in zip(*lengths, strict=True)]
    keys = Cells.of([bytes([at]) for at in range(len(lengths))], width=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "PORTION_BYTES", most)
        found = list(portions(keys, [(spill(own, store, stride=1), store) for own in columns]))
    assert [key for some in found for key in some.keys.to_list()] == keys.to_list()
    for at, own in enumerate(columns):
        assert [cell for some in found for cell in some.columns[at].to_list()] == own.to_list()
    for some in found:
        assert len(some) == 1 or sum(len(own.data) for own in some.columns) <= most
    for one, other in zip(
        found, found[1:], strict=False
    ):  # not in smaller ones than need be, but for what values may be
        assert sum(len(own.data) for some in (one, other) for own in some.columns) + 24 * 64 * KIB > most


def test_what_has_nothing_to_be_fetched_from_stays_spilled() -> None:
    store = Store()
    small = spill(Cells.of([bytes(600), b"a"]), store, stride=1)
    [some] = portions(Cells.of([b"1", b"2"], width=1), [(small, None)])
    assert some.columns[0].spilled is not None
    assert some.columns[0].to_list() == small.to_list()
    assert list(portions(Cells.of([], width=1), [(small.slice(0, 0), None)])) == []
