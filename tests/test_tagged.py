"""Cells that say their own class, and keys of any class in SQLite's order."""

from __future__ import annotations

import math
import struct

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore import keys, tagged
from snapstore.errors import Corrupt, Invalid
from snapstore.rows import Cells, KeyPart
from snapstore.tagged import RawText, Value

EXAMPLES: list[tuple[Value, bytes]] = [
    (None, b""),
    (0, bytes(8) + b"\x01"),
    (-1, b"\xff" * 8 + b"\x01"),
    (1.5, b"\x3f\xf8" + bytes(6) + b"\x02"),
    ("", b"\x03"),
    ("ab", b"ab\x03"),
    ("abc", b"abc\x00\x13"),
    ("é", b"\xc3\xa9\x03"),
    (b"", b""),
    (b"\0\0\0\0", b"\0\0\0\0"),
    (b"x", b"x\x04"),
    (b"xyz", b"xyz\x00\x14"),
    (RawText(b"\xff"), b"\xff\x03"),
    (RawText(b"\x00\xd8", "utf-16-le"), b"\x00\xd8\x05"),
    (RawText(b"\xd8\x00", "utf-16-be"), b"\xd8\x00\x06"),
]

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=9),
    st.binary(max_size=12),
    st.sampled_from([2**53, 2**53 + 1, 2**53 - 1, float(2**53), 2**63 - 1, float(2**63), -(2**63), -float(2**63)]),
)


@pytest.mark.parametrize(("value", "cell"), EXAMPLES)
def test_a_value_is_these_bytes(value: Value, cell: bytes) -> None:
    for values in ([value], [value, "x", 1, None]):
        cells = tagged.encode(values)
        assert cells[0] == (None if value is None else cell)
        assert tagged.decode(cells) == values


@given(st.lists(st.none() | st.text(max_size=9), max_size=20))
def test_texts_alone_are_the_cells_they_are_among_others(texts: list[str | None]) -> None:
    among = tagged.encode([*texts, 7]).to_list()
    assert tagged.encode(texts).to_list() == among[:-1]


CLASSES: list[st.SearchStrategy[Value]] = [
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=9),
    st.binary(max_size=12),
]
ALIKE = st.one_of([st.lists(one, min_size=1, max_size=6) for one in CLASSES])


@given(ALIKE, VALUES | st.just(RawText(b"\xff")), st.integers(0, 6))
def test_a_cell_is_the_same_whatever_stands_beside_it(alike: list[Value], other: Value, at: int) -> None:
    values = [*alike[:at], other, *alike[at:]]
    assert tagged.encode(alike).to_list() == [tagged.encode([one])[0] for one in alike]
    assert tagged.encode(values).to_list() == [tagged.encode([one])[0] for one in values]


@given(st.lists(VALUES, max_size=20))
def test_values_come_back_with_their_class(values: list[Value]) -> None:
    cells = tagged.encode(values)
    found = tagged.decode(cells)
    assert [(type(one), repr(one)) for one in found] == [(type(one), repr(one)) for one in values]
    kinds = {type(None): 0, int: 1, float: 2, str: 3, bytes: 4}
    assert tagged.classes(cells).tolist() == [kinds[type(one)] for one in values]
    for value, cell in zip(values, cells.to_list(), strict=True):
        assert cell is None or (len(cell) % 4 == 0) == (isinstance(value, bytes) and len(value) % 4 == 0)


@given(st.binary(max_size=12))
def test_bytes_are_one_value_or_corrupt(cell: bytes) -> None:
    try:
        value = tagged.decode_one(cell)
    except Corrupt:
        return
    assert tagged.encode([value])[0] == cell


@given(st.lists(VALUES.filter(lambda value: value is not None), min_size=1, max_size=12))
def test_keys_stand_in_the_order_of_the_engine(values: list[Value]) -> None:
    part = (KeyPart("k", "sqlite.value", "value"),)
    encoded = [keys.encode(part, [tagged.encode([value])])[0] or b"" for value in values]
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE t (at INTEGER PRIMARY KEY, k)")
    connection.executemany("INSERT INTO t (k) VALUES (?)", [(value,) for value in values])
    ordered = [values[at - 1] for (at,) in connection.execute("SELECT at FROM t ORDER BY k")]
    ours = [value for _, value in sorted(zip(encoded, values, strict=True), key=lambda pair: pair[0])]
    pairs = zip(ordered, ours, strict=True)
    assert all(a == b and (type(a) is type(b) or a == b) for a, b in pairs)
    [back] = keys.decode_equal(part, Cells.of(encoded))
    assert [(type(one), repr(one)) for one in tagged.decode(back)] == [(type(one), repr(one)) for one in values]


@given(st.lists(st.tuples(VALUES, VALUES).filter(lambda pair: None not in pair), min_size=1, max_size=8))
def test_keys_of_two_parts_come_apart_again(pairs: list[tuple[Value, Value]]) -> None:
    parts = (KeyPart("a", "sqlite.value", "value"), KeyPart("b", "sqlite.value", "value"))
    encoded = keys.encode(parts, [tagged.encode([pair[at] for pair in pairs]) for at in (0, 1)])
    first, second = (tagged.decode(cells) for cells in keys.decode_equal(parts, encoded))
    assert repr(list(zip(first, second, strict=True))) == repr(pairs)


@pytest.mark.parametrize(
    ("encoding", "one", "other", "is_equal"),
    [
        ("nocase", "ABC", "abc", True),
        ("nocase", "É", "é", False),
        ("rtrim", "a  ", "a", True),
        ("rtrim", b"a ", b"a", False),
    ],
)
def test_texts_that_are_equal_to_a_collation_are_one_key(
    encoding: str, one: Value, other: Value, is_equal: bool
) -> None:
    part = (KeyPart("k", "sqlite.value", encoding, lossless=False),)
    first, second = (keys.encode(part, [tagged.encode([value])])[0] for value in (one, other))
    assert (first == second) == is_equal
    assert keys.decode(part, Cells.of([first])) == (None,)


@pytest.mark.parametrize("key", [b"", b"\x99", b"\x10abc", b"\x20abc", b"\x20a\0b\0\0"])
def test_bytes_that_are_no_key_are_told(key: bytes) -> None:
    parts = (KeyPart("a", "sqlite.value", "value"), KeyPart("b", "sqlite.value", "value"))
    with pytest.raises(Corrupt):
        keys.decode_equal(parts, Cells.of([key]))


def test_what_has_no_place_among_keys_is_told() -> None:
    part = (KeyPart("k", "sqlite.value", "value"),)
    for value in (None, RawText(b"\x00\xd8", "utf-16-le")):
        with pytest.raises(Invalid):
            keys.encode(part, [tagged.encode([value])])


def test_a_vector_is_held_as_it_is() -> None:
    vector = struct.pack("<3f", 1, math.pi, -0.0)
    assert tagged.encode([vector])[0] == vector
