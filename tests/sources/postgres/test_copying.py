"""Rows of COPY BINARY become columns and come back to the byte, and what does not add up is named."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.errors import Corrupt, Invalid
from snapstore.rows import Cells, Column, KeyPart
from snapstore.sources.postgres.copying import HEADER, TRAILER, Field, batch_of, cells_of, decode, encode, fields_of


def row_of(cells: list[bytes | None]) -> bytes:
    parts = [struct.pack(">H", len(cells))]
    for cell in cells:
        parts.append(struct.pack(">i", -1) if cell is None else struct.pack(">i", len(cell)) + cell)
    return b"".join(parts)


def headed(elements: bytes, stride: int) -> bytes:
    """pgvector's binary form of little-endian elements."""
    turned = b"".join(elements[at : at + stride][::-1] for at in range(0, len(elements), stride))
    return struct.pack(">HH", len(elements) // stride, 0) + turned


def cell_of(field: Field) -> st.SearchStrategy[bytes]:
    if field.width:
        return st.binary(min_size=field.width, max_size=field.width)
    if field.stride > 1:
        return st.integers(0, 5).flatmap(lambda n: st.binary(min_size=n * field.stride, max_size=n * field.stride))
    return st.binary(max_size=12) | st.integers(0, 300).map(lambda size: b"x" * size)


FIELDS = st.sampled_from([(1, 1), (2, 1), (4, 1), (6, 1), (8, 1), (16, 1), (24, 1), (0, 1), (0, 2), (0, 4)])


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Field], list[list[bytes | None]]]:
    shapes = draw(st.lists(FIELDS, min_size=1, max_size=6))
    fields = [Field(f"c{at}", width, stride) for at, (width, stride) in enumerate(shapes)]
    nullable = [draw(st.booleans()) for _ in fields]
    cells = [
        st.none() | cell_of(field) if null else cell_of(field) for field, null in zip(fields, nullable, strict=True)
    ]
    return fields, draw(st.lists(st.tuples(*cells).map(list), min_size=1, max_size=12))


@given(tables())
def test_rows_become_columns_and_come_back_to_the_byte(table: tuple[list[Field], list[list[bytes | None]]]) -> None:
    fields, rows = table
    wire = [
        row_of([
            headed(cell, field.stride) if cell is not None and field.stride > 1 else cell
            for field, cell in zip(fields, row, strict=True)
        ])
        for row in rows
    ]  # fmt: skip
    columns = decode("public.t", fields, wire)
    assert [column.to_list() for column in columns] == [list(column) for column in zip(*rows, strict=True)]
    assert [column.width for column in columns] == [field.width for field in fields]
    for column in columns:
        assert column.valid is None or not column.valid.all()
    assert bytes(encode("public.t", fields, columns)) == b"".join(wire)


@given(tables(), st.data())
def test_damaged_rows_are_corrupt_or_rows(
    table: tuple[list[Field], list[list[bytes | None]]], data: st.DataObject
) -> None:
    fields, rows = table
    damaged = bytearray(row_of(rows[0]))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    end = data.draw(st.integers(0, len(damaged)))
    for wire in (bytes(damaged), bytes(damaged[:end]), bytes(damaged) + b"\0"):
        with suppress(Corrupt):
            decode("public.t", fields, [row_of(rows[-1]), wire])


ID, NOTE, AT = Field("id", 4), Field("note"), Field("at", stride=4)


@pytest.mark.parametrize(
    ("fields", "row", "said"),
    [
        ([ID], row_of([bytes(4), bytes(4)]), "does not have 1 fields"),
        ([ID, NOTE], row_of([bytes(4)]) + bytes(8), "does not have 2 fields"),
        ([ID], b"", "too short"),
        ([ID], row_of([bytes(5)]), "column id .* not 4 bytes"),
        ([ID, NOTE], row_of([bytes(4), b"abc"])[:-1], "column note .* length"),
        ([ID, NOTE], row_of([bytes(4), b"abc"]) + b"x", "do not add up"),
        ([NOTE], struct.pack(">Hi", 1, -2), "column note .* length"),
        ([AT], row_of([struct.pack(">HHf", 1, 1, 0.5)]), "column at .* second word of a vector is not 0"),
        ([AT], row_of([struct.pack(">HHf", 2, 0, 0.5)]), "column at .* not a vector"),
        ([AT], row_of([b"\0\0"]), "column at .* not a vector"),
    ],
)
def test_rows_that_do_not_add_up_are_corrupt_and_named(fields: list[Field], row: bytes, said: str) -> None:
    with pytest.raises(Corrupt, match=f"public.t.*{said}"):
        decode("public.t", fields, [row])


@pytest.mark.parametrize(
    ("field", "cell", "said"),
    [
        (ID, b"abc", "not 4 bytes"),
        (AT, b"abc", "not a vector"),
        (AT, bytes(4 * 65_536), "not a vector"),
    ],
)
def test_cells_that_cannot_be_sent_are_refused(field: Field, cell: bytes, said: str) -> None:
    with pytest.raises(Invalid, match=f"public.t: a cell of column {field.name} is {said}"):
        encode("public.t", [field], [Cells.of([cell])])


def test_spilled_cells_are_refused() -> None:
    with pytest.raises(Invalid, match="column note has cells that were not fetched"):
        encode("public.t", [NOTE], [Cells.constant(bytes(32), 2, spilled=1)])


def test_a_single_large_cell_is_not_copied() -> None:
    row = row_of([b"x" * 1_000_000])
    (column,) = decode("public.t", [NOTE], [row])
    assert column.data.base is not None
    assert column[0] == b"x" * 1_000_000


def test_a_column_that_is_lossy_in_the_key_is_one_field() -> None:
    key = (
        KeyPart("tenant", "pg_catalog.text", "bytes"),
        KeyPart("price", "pg_catalog.numeric", "numeric", lossless=False),
    )
    columns = (Column("price", "pg_catalog.numeric"), Column("heat", "pg_catalog.float4", 4))
    assert fields_of(key, columns) == (Field("tenant"), Field("price"), Field("heat", 4))
    cells = [Cells.of([b"a"]), Cells.of([bytes.fromhex("00010000000000020001")]), Cells.of([b"heat"])]
    batch = batch_of(key, columns, cells)
    assert [column[0] for column in batch.columns] == [cells[1][0], b"heat"]
    assert [column[0] for column in cells_of(key, columns, batch)] == [column[0] for column in cells]


def test_the_server_takes_back_what_it_gave(databases: Callable[..., str]) -> None:
    with psycopg.connect(databases(vector=True), autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE t (id int8, note text, heat real, at vector, half halfvec(3), tags text[], doc jsonb,"
            " ip inet)"
        )
        connection.execute(
            "INSERT INTO t SELECT g, CASE WHEN g % 3 > 0 THEN repeat('é', g % 40) END,"
            " CASE WHEN g % 5 > 0 THEN g / 7.0 END,"
            " CASE WHEN g % 4 > 0 THEN (array_fill(g / 3.0, ARRAY[g % 4]))::vector END,"
            " CASE WHEN g % 2 > 0 THEN '[1,2,-0.5]'::halfvec END, ARRAY['a', NULL, g::text],"
            " jsonb_build_object('g', g), '10.0.0.1' FROM generate_series(1, 500) g"
        )
        fields = [
            Field("id", 8),
            NOTE,
            Field("heat", 4),
            AT,
            Field("half", stride=2),
            Field("tags"),
            Field("doc"),
            Field("ip"),
        ]
        with connection.cursor().copy("COPY (SELECT * FROM t ORDER BY id) TO STDOUT (FORMAT BINARY)") as copy:
            messages: list[Any] = [bytes(message) for message in copy]
        assert messages[0].startswith(HEADER)
        assert messages[-1] == TRAILER
        rows = [messages[0][len(HEADER) :], *messages[1:-1]]
        columns = decode("public.t", fields, rows)
        assert columns[3][0] == struct.pack("<f", 1 / 3)
        connection.execute("CREATE TABLE back (LIKE t)")
        with connection.cursor().copy("COPY back FROM STDIN (FORMAT BINARY)") as copy:
            for data in (HEADER, encode("public.t", fields, columns), TRAILER):
                copy.write(data)
        same = "SELECT count(*) FROM t JOIN back USING (id) WHERE t::text = back::text"
        assert connection.execute(same).fetchone() == (500,)
