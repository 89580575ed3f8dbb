"""Keys: what is encoded is decoded, and bytes stand in the order of values."""

from __future__ import annotations

import math
import struct
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore import keys
from snapstore.errors import Corrupt, Invalid
from snapstore.rows import Cells, KeyPart, width_of


def part(encoding: str, name: str = "k") -> KeyPart:
    return KeyPart(name, "", encoding, lossless=encoding not in ("float4", "float8", "numeric"))


def numeric_cell(number: Decimal, *, leading: int = 0, trailing: int = 0) -> bytes:
    """PostgreSQL's binary numeric; zero digits that a canonical one has not may be added."""
    if not number.is_finite():
        return struct.pack(">HhHH", 0, 0, 0xC000 if number.is_nan() else 0xD000 if number > 0 else 0xF000, 0)
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    whole, fraction = (
        (text + "0" * exponent, "") if exponent >= 0 else (text[:exponent], text[exponent:].zfill(-exponent))
    )
    whole = "0" * (-len(whole) % 4 + 4 * leading) + whole
    fraction += "0" * (-len(fraction) % 4 + 4 * trailing)
    groups = [int((whole + fraction)[at : at + 4]) for at in range(0, len(whole + fraction), 4)]
    head = struct.pack(">HhHH", len(groups), len(whole) // 4 - 1, 0x4000 if sign else 0, max(-exponent, 0))
    return head + struct.pack(f">{len(groups)}H", *groups)


# encoding: (values, their cells, how values are ordered)
VALUES: dict[str, tuple[st.SearchStrategy[Any], Any, Any]] = {
    "int2": (st.integers(-(2**15), 2**15 - 1), struct.Struct(">h").pack, lambda value: value),
    "int4": (st.integers(-(2**31), 2**31 - 1), struct.Struct(">i").pack, lambda value: value),
    "int8": (st.integers(-(2**63), 2**63 - 1), struct.Struct(">q").pack, lambda value: value),
    "fixed3": (st.binary(min_size=3, max_size=3), bytes, lambda value: value),
    "fixed16": (st.binary(min_size=16, max_size=16), bytes, lambda value: value),
    "bytes": (st.binary(max_size=40) | st.text(max_size=10).map(str.encode), bytes, lambda value: value),
    "float4": (st.floats(width=32), struct.Struct(">f").pack, lambda value: (math.isnan(value), value + 0.0)),
    "float8": (st.floats(), struct.Struct(">d").pack, lambda value: (math.isnan(value), value + 0.0)),
    "numeric": (
        st.decimals(allow_nan=True, allow_infinity=True).filter(lambda one: not one.is_snan() and not huge(one)),
        numeric_cell,
        lambda value: (value.is_nan(), Decimal(0) if value.is_nan() else value),
    ),
}


def huge(number: Decimal) -> bool:
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and abs(exponent) > 300


def order_of(encoding: str, value: Any) -> Any:
    order = VALUES[encoding][2](value)
    return (order[0], 0) if isinstance(order, tuple) and order[0] else order


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[tuple[Any, ...]]]:
    encodings = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4))
    row = st.tuples(*(VALUES[encoding][0] for encoding in encodings))
    return encodings, draw(st.lists(row, max_size=20))


def encoded(encodings: list[str], rows: list[tuple[Any, ...]]) -> tuple[list[KeyPart], list[list[bytes]], Cells]:
    parts = [part(encoding, f"k{at}") for at, encoding in enumerate(encodings)]
    cells = [[VALUES[encoding][1](row[at]) for row in rows] for at, encoding in enumerate(encodings)]
    return parts, cells, keys.encode(parts, [Cells.of(column) for column in cells])


@given(tables())
def test_what_is_lossless_is_decoded_as_it_was(table: tuple[list[str], list[tuple[Any, ...]]]) -> None:
    parts, cells, found = encoded(*table)
    assert len(found) == len(table[1])
    assert found.width == width_of(parts)
    for one, column, decoded in zip(parts, cells, keys.decode(parts, found), strict=True):
        if one.lossless:
            assert decoded is not None
            assert decoded.to_list() == column
            assert decoded.width == one.width
        else:
            assert decoded is None


@given(tables())
def test_the_order_of_bytes_is_the_order_of_values(table: tuple[list[str], list[tuple[Any, ...]]]) -> None:
    encodings, rows = table
    _, _, found = encoded(encodings, rows)
    plain = found.to_list()
    orders = [tuple(order_of(encoding, value) for encoding, value in zip(encodings, row, strict=True)) for row in rows]
    for one, mine in zip(plain, orders, strict=True):
        for other, theirs in zip(plain, orders, strict=True):
            assert one is not None
            assert other is not None
            assert (one < other) == (mine < theirs)
            assert (one == other) == (mine == theirs)


@given(tables())
def test_what_loses_something_is_decoded_as_an_equal_value(table: tuple[list[str], list[tuple[Any, ...]]]) -> None:
    parts, _, found = encoded(*table)
    assert keys.encode(parts, keys.decode_equal(parts, found)).to_list() == found.to_list()


@given(
    st.lists(st.binary(max_size=3) | st.binary(min_size=8, max_size=8), max_size=6),
    st.sampled_from([0, 2, 4, 8, 16, 5]),
)
def test_ascending_means_each_above_the_one_before(cells: list[bytes], width: int) -> None:
    plain = [cell.ljust(width, b"\1")[:width] for cell in cells] if width else cells
    expected = all(plain[at] < plain[at + 1] for at in range(len(plain) - 1))
    assert keys.is_ascending(Cells.of(plain, width=width)) == expected
    assert keys.is_ascending(Cells.of(sorted(set(plain)), width=width))


@given(tables(), st.data())
def test_damaged_keys_are_corrupt_or_keys(table: tuple[list[str], list[tuple[Any, ...]]], data: st.DataObject) -> None:
    parts, _, found = encoded(*table)
    for cell in found.to_list()[:3]:
        assert cell is not None
        damaged = bytearray(cell[: data.draw(st.integers(0, len(cell)))])
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        with suppress(Corrupt):
            keys.decode_equal(parts, Cells.of([bytes(damaged)]))


# The bytes on disk (format.md §8), both ways where they go both ways.
@pytest.mark.parametrize(
    ("encodings", "cells", "key"),
    [
        (["int2"], ["8000"], "0000"),
        (["int4"], ["00000001"], "80000001"),
        (["int8"], ["ffffffffffffffff"], "7fffffffffffffff"),
        (["fixed1"], ["01"], "01"),
        (["bytes"], ["6100ff"], "6100ff"),
        (["bytes", "int2"], ["6100ff", "0000"], "6100ffff00008000"),
        (["bytes", "bytes"], ["", "00"], "000000"),
        (["float4"], ["80000000"], "80000000"),
        (["float4"], ["bf800000"], "407fffff"),
        (["float4"], ["7fc00001"], "ffffffff"),
        (["float8"], ["fff0000000000000"], "000fffffffffffff"),
        (["numeric"], ["0001 0000 0000 0000 0001"], "03 8000 0002 0000"),
        (["numeric"], ["0001 0000 4000 0000 0001"], "01 7fff fffd ffff"),
        (["numeric"], ["0000 0000 0000 0002"], "02"),
        (["numeric"], ["0000 0000 c000 0000"], "05"),
        (["numeric"], ["0000 0000 d000 0000"], "04"),
        (["numeric"], ["0000 0000 f000 0000"], "00"),
        (["numeric"], ["0003 0001 0000 0004 0000 0005 0000"], "03 8000 0006 0000"),
    ],
)
def test_keys_are_encoded_as_the_format_says(encodings: list[str], cells: list[str], key: str) -> None:
    parts = [part(encoding) for encoding in encodings]
    columns = [Cells.of([bytes.fromhex(cell)]) for cell in cells]
    assert keys.encode(parts, columns)[0] == bytes.fromhex(key)


def test_a_null_in_a_key_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match="key column name is NULL"):
        keys.encode([part("bytes", "name")], [Cells.of([b"a", None])])


@pytest.mark.parametrize("encoding", ["int3", "int16", "float2", "fixed", "text8", ""])
def test_an_encoding_that_nobody_knows_has_no_width_and_is_refused(encoding: str) -> None:
    part = KeyPart("k", "t", encoding)
    assert part.width == 0
    with pytest.raises(Invalid, match="unknown encoding"):
        keys.encode([part], [Cells.of([b"12345678"])])
    with pytest.raises(Corrupt, match="unknown encoding"):
        keys.decode([part], Cells.of([b"12345678"]))


def test_a_cell_of_the_wrong_width_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match="key column id is not 8 bytes"):
        keys.encode([part("int8", "id")], [Cells.of([b"abc"])])


@pytest.mark.parametrize("cell", [b"", b"\0\1\0\0\0\0\0\0", b"\0\0\0\0\1\0\0\0", b"\0" * 9])
def test_what_is_not_a_numeric_is_refused(cell: bytes) -> None:
    with pytest.raises(Invalid, match="numeric"):
        keys.encode([part("numeric", "price")], [Cells.of([cell])])


@pytest.mark.parametrize(
    ("encodings", "key"),
    [(["int4"], "00"), (["int4"], "0000000000"), (["bytes", "int2"], "6162"), (["bytes", "int2"], "61000000"),
     (["bytes", "bytes"], "61006100"),
     (["numeric"], "06"), (["numeric"], "0380"), (["numeric"], "03800000"), (["numeric"], "")],
)  # fmt: skip
def test_a_key_cut_short_or_too_long_is_corrupt(encodings: list[str], key: str) -> None:
    with pytest.raises(Corrupt, match="key"):
        keys.decode([part(encoding) for encoding in encodings], Cells.of([bytes.fromhex(key)]))


def test_a_numeric_with_needless_zero_digits_has_the_key_of_its_value() -> None:
    plain, padded = numeric_cell(Decimal("1234.5")), numeric_cell(Decimal("1234.5"), leading=2, trailing=3)
    found = keys.encode([part("numeric")], [Cells.of([plain, padded])]).to_list()
    assert found[0] == found[1]
