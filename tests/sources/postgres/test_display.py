"""What people see of a cell is what the server would say of it."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from snapstore.sources.postgres.display import _TYPES, display, shorten

# type: texts the server reads, and what is displayed where that is not the same text.
CASES: dict[str, list[str | tuple[str, Any]]] = {
    "bool": [("t", True), ("f", False)],
    "int2": [("-32768", -32768)],
    "int4": [("2147483647", 2147483647)],
    "int8": [("-9223372036854775808", -(2**63))],
    "oid": [("4294967295", 4294967295)],
    "float4": [("0.3", 0.3), ("16777216", 16777216.0), ("-0", -0.0), ("NaN", "NaN"),
               ("-Infinity", "-Infinity"), ("1e-45", 1e-45)],
    "float8": [("0.1", 0.1), ("Infinity", "Infinity"), ("5e-324", 5e-324)],
    "numeric": ["0", "0.00", "1.50", "-1.50", "10000", "12345678901234567890.0123456789", "0.00001", "-0.0001000",
                "100000000", "1" + "0" * 40, "NaN", "Infinity", "-Infinity", "9999.9999", "0.1234567"],
    "text": ["", "é日😀", "a\nb"],
    "varchar": ["a"],
    "name": ["a"],
    "bytea": ["\\x", "\\x00ff"],
    "uuid": ["b5f3bd6a-0000-4000-8000-000000000000"],
    "json": ['{"a":  1}'],
    "jsonb": ['{"a": [1, null]}'],
    "macaddr": ["08:00:2b:01:02:03"],
    "inet": ["10.0.0.1", "10.0.0.1/24", "::1", "2001:db8::/32"],
    "cidr": ["10.0.0.0/8", "::/0"],
    "bit": ["1"],
    "varbit": ["", "101", "1111111101"],
    "date": ["2000-01-01", "1999-12-31", "0044-03-15 BC", "0001-01-01", "infinity", "-infinity", "5874897-12-31",
             "4713-01-01 BC", "2024-02-29", "1900-02-28", "9999-12-31", "10000-01-01"],
    "time": ["00:00:00", "24:00:00", "23:59:59.5", "01:02:03.000001"],
    "timetz": [("01:02:03+02", "01:02:03+02:00"), ("01:02:03.5-11:30", "01:02:03.5-11:30")],
    "timestamp": [("2000-01-01 00:00:00", "2000-01-01T00:00:00"),
                  ("1969-12-31 23:59:59.999999", "1969-12-31T23:59:59.999999"),
                  ("0044-03-15 12:00:00 BC", "0044-03-15T12:00:00 BC"), "infinity", "-infinity"],
    "timestamptz": [("2026-08-01 12:00:00.5+02", "2026-08-01T10:00:00.5+00:00"), "-infinity"],
    "_int4": [("{}", []), ("{1,NULL,-3}", [1, None, -3]), ("{{1,2},{3,4}}", [[1, 2], [3, 4]]), ("[0:1]={1,2}", [1, 2])],
    "_text": [('{a,"b c",NULL,""}', ["a", "b c", None, ""])],
    "_numeric": [("{1.50}", ["1.50"])],
    "_timestamptz": [("{2000-01-01 00:00+00}", ["2000-01-01T00:00:00+00:00"])],
    "point": [("(1,2)", {"hex": struct.pack(">dd", 1, 2).hex()})],
    "int4range": [("[1,3)", {"hex": "02000000040000000100000004" + "00000003"})],
    "money": [("1", {"hex": "0000000000000064"})],
}  # fmt: skip


def test_cells_are_displayed_as_the_server_says_them(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, texts in CASES.items():
            for case in texts:
                text, expected = case if isinstance(case, tuple) else (case, case)
                shown = display(f"pg_catalog.{name}", binary(connection, name, text))
                assert shown == expected, (name, text)
                assert json.loads(json.dumps(shown, allow_nan=False)) == expected


def binary(connection: psycopg.Connection[Any], name: str, text: str) -> bytes | None:
    cursor = connection.cursor(binary=True)
    cursor.execute(sql.SQL("SELECT {}::pg_catalog.{}").format(sql.Literal(text), sql.Identifier(name)))
    assert cursor.pgresult is not None
    return cursor.pgresult.get_value(0, 0)


@pytest.mark.parametrize(
    "text",
    ["0", "1 year 2 mons 3 days 04:05:06.5", "-1 mons", "-00:00:00.000001", "1 day -01:00", "-14 mons +3 days",
     "infinity", "-infinity"],
)  # fmt: skip
def test_intervals_mean_the_same_to_the_server(database: str, text: str) -> None:
    with psycopg.connect(database) as connection:
        shown = display("pg_catalog.interval", binary(connection, "interval", text))
        same = connection.execute("SELECT %s::interval::text = %s::interval::text", (shown, text)).fetchone()
        assert same == (True,), shown


def test_random_numerics_and_dates_are_said_as_the_server_says_them(database: str) -> None:
    with psycopg.connect(database) as connection:
        for kind, values in (
            ("numeric", "(random() - 0.5)::numeric * 10::numeric ^ (random() * 40 - 20)::int"),
            ("date", "'2000-01-01'::date + (random() * 5e6 - 7e5)::int"),
            ("time", "'00:00'::time + random() * interval '1 day'"),
        ):
            rows = connection.execute(
                f"SELECT v::text, {kind}_send(v) FROM (SELECT {values} AS v FROM generate_series(1, 500)) one"
            ).fetchall()
            assert [display(f"pg_catalog.{kind}", cell) for _, cell in rows] == [text for text, _ in rows]


def test_vectors_are_lists_of_the_shortest_numbers() -> None:
    assert display("public.vector", struct.pack("<3f", 0.1, -2, 1e-7), stride=4) == [0.1, -2.0, 1e-7]
    assert display("public.halfvec", np.array([0.1, 2], "<f2").tobytes(), stride=2) == [0.1, 2.0]
    assert display("public.vector", struct.pack(">HH2f", 2, 0, 0.1, 1)) == [0.1, 1.0]
    assert display("public.vector", struct.pack("<f", float("nan")), stride=4) == ["NaN"]


def test_what_is_not_known_is_shown_as_text_or_in_hexadecimal() -> None:
    assert display("public.mood", "très sad".encode()) == "très sad"
    assert display("public.hstore", b"\0\0\0\1") == {"hex": "00000001"}
    assert display("public.odd", b"\xff") == {"hex": "ff"}


def test_arrays_of_what_people_made_are_shown_by_the_type_beneath_its_domains() -> None:
    head = struct.pack(">iiIH", 1, 0, 0, 8) + b"public.x" + struct.pack(">iii", 1, 1, 4)
    assert display("pg_catalog.int4[]", head + b"abcd") == [0x61626364]  # and not the letters that its bytes are
    assert display("public.mood[]", head + b"glad") == ["glad"]
    assert display("public.names_it[]", b"{pg_class}") == "{pg_class}"  # held as text
    assert display("pg_catalog.tsquery", b"'a' & 'b'") == "'a' & 'b'"
    assert display("pg_catalog._regclass", b"{pg_class,-}") == "{pg_class,-}"
    assert display("pg_catalog.point", b"abc") == {"hex": "616263"}
    assert display("pg_catalog.int4", None) is None


NAMES = [
    *(f"pg_catalog.{name}" for name in _TYPES),
    "pg_catalog._int4",
    "pg_catalog._text",
    "public.vector",
    "public.x",
]


@given(st.sampled_from(NAMES), st.binary(max_size=40), st.sampled_from([1, 2, 4]))
def test_damaged_cells_are_displayed_and_never_fail(name: str, cell: bytes, stride: int) -> None:
    shown = display(name, cell, stride=stride)
    json.dumps(shown, allow_nan=False)
    assert len(shorten(shown)) <= 60


@given(st.sampled_from(["_int4", "_text", "_numeric", "_float8"]), st.data())
def test_damaged_arrays_are_displayed_and_never_fail(name: str, data: st.DataObject) -> None:
    head = struct.pack(">iiI", data.draw(st.integers(-1, 7)), 0, 23)
    sizes = data.draw(st.lists(st.integers(-2, 3) | st.just(2**31 - 1), max_size=14))
    cell = head + struct.pack(f">{len(sizes)}i", *sizes) + data.draw(st.binary(max_size=30))
    json.dumps(display(f"pg_catalog.{name}", cell), allow_nan=False)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "NULL"),
        (True, "true"),
        (0.5, "0.5"),
        ("plain", "plain"),
        ("line\nbreak\x1b[31m", "line\\nbreak\\x1b[31m"),
        ([0.123456, 2.0, 3.0, 4.0] * 96, "[0.1235, 2, 3, … 384 dimensions]"),
        ([1, 2], "[1, 2]"),
        (["a", None], '["a", null]'),
        ({"hex": "00ff"}, "\\x00ff"),
        ("x" * 61, "x" * 59 + "…"),
        ("x" * 60, "x" * 60),
    ],
)
def test_values_are_shortened_for_a_terminal(value: Any, shown: str) -> None:
    assert shorten(value) == shown
