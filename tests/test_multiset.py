"""Rows without a key stand in the order of their content, however they came and however little memory there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from snapstore import multiset
from snapstore.multiset import by_content
from snapstore.rows import Cells, Column, KeyPart, Table

TABLE = Table("bag", (KeyPart("", "", "fixed20", False),), (Column("b", "x", 4), Column("a", "y")))
Row = tuple[bytes | None, bytes | None]

rows = st.lists(
    st.tuples(
        st.sampled_from([None, b"abcd", b"efgh"]),
        st.binary(max_size=4) | st.sampled_from([None, b"long" * 40, b"large" * 60]),
    ),
    max_size=60,
)


def groups(held: Sequence[Row], size: int) -> Iterator[list[Cells]]:
    for at in range(0, len(held), size):
        part = held[at : at + size]
        yield [Cells.of([b for b, _ in part], width=4), Cells.of([a for _, a in part])]


def sorted_by_content(held: Sequence[Row], *, size: int = 1000, run_bytes: int = 1 << 20) -> list[tuple[bytes, Row]]:
    found = []
    for batch in by_content(TABLE, groups(held, size), run_bytes=run_bytes):
        b, a = (cells.to_list() for cells in batch.columns)
        found += [(key or b"", row) for key, row in zip(batch.keys.to_list(), zip(b, a, strict=True), strict=True)]
    return found


@given(rows, st.randoms(), st.integers(1, 9), st.sampled_from([1, 500, 1 << 20]))
def test_the_order_is_that_of_the_content_alone(held: list[Row], random: object, size: int, run_bytes: int) -> None:
    found = sorted_by_content(held)
    keys = [key for key, _ in found]
    assert keys == sorted(set(keys))
    assert Counter(row for _, row in found) == Counter(held)
    shuffled = list(held)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis' own
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiset, "_BLOCK_BYTES", 200)
        patch.setattr(multiset, "_FAN_IN", 2)
        assert sorted_by_content(shuffled, size=size, run_bytes=run_bytes) == found


def test_a_key_is_the_digest_of_the_cells_and_a_number() -> None:
    one = blake3(b"\x02\0\0\0hi" + b"\x04\0\0\0abcd").digest(length=16)
    nothing = blake3(b"\xff\xff\xff\xff" * 2).digest(length=16)
    held: list[Row] = [(b"abcd", b"hi"), (None, None), (b"abcd", b"hi"), (b"abcd", b"hi")]
    expected = [one + bytes([0, 0, 0, at]) for at in range(3)] + [nothing + bytes(4)]
    assert [key for key, _ in sorted_by_content(held)] == sorted(expected)


def test_rows_without_columns_are_counted() -> None:
    [batch] = by_content(Table("t", TABLE.key, ()), [2, 1])
    assert [key[16:] for key in batch.keys.to_list() if key] == [bytes([0, 0, 0, at]) for at in range(3)]
    assert batch.columns == ()


@given(st.lists(st.tuples(*[st.sampled_from([None, b"abcd", b"efgh"])] * 2), max_size=30), st.integers(1, 9))
def test_rows_of_fixed_width_alone_may_have_nulls_in_some_groups(held: list[Row], size: int) -> None:
    table = Table("bag", TABLE.key, (Column("b", "x", 4), Column("a", "y", 4)))
    pieces = [held[at : at + size] for at in range(0, len(held), size)]
    found: Counter[Row] = Counter()
    for batch in by_content(
        table, [[Cells.of(list(own), width=4) for own in zip(*one, strict=True)] for one in pieces]
    ):
        found.update(zip(*(cells.to_list() for cells in batch.columns), strict=True))
    assert found == Counter(held)
