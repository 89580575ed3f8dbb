"""Rows into a live table: inserted, updated and deleted, many at once, by COPY BINARY.

    insert_rows(connection, table, batches)
    update_rows(connection, table, ["heat"], batches)     # Batch.columns are these columns alone
    delete_rows(connection, table, keys)

Nothing is turned into text on the way. Updates and deletions go through a temporary table that ends with the
transaction, and one statement that joins it by key, so that the server plans once and only what differs is set. Memory
is bounded by a batch.

Errors are ours, and name the table, the server's words and its DETAIL (which has the key and the constraint). What else
stands in the way of rows (triggers, foreign keys) is up to `snapstore.sources.postgres.target`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg
from psycopg import sql

from snapstore import keys
from snapstore.rows import Batch, Cells, Column, KeyPart, Table
from snapstore.sources.postgres.connection import translate
from snapstore.sources.postgres.copying import HEADER, TRAILER, Field, encode
from snapstore.sources.postgres.ddl import relation
from snapstore.sources.postgres.tables import rows_of

__all__ = ["delete_rows", "explained", "insert_rows", "update_rows"]

_KEYS = "snapstore_rows"


def insert_rows(connection: psycopg.Connection[Any], table: Table, batches: Iterable[Batch]) -> int:
    """Insert whole rows; returns how many. Raises `Conflict` with the server's DETAIL for a row in the way.

    Every stored column is named, so dropped columns and another order of columns do not matter; generated ones
    are left to the server. COPY fills GENERATED ALWAYS AS IDENTITY columns as it is told to.
    """
    from_key = [part for part in table.key if part.lossless]
    fields = [_field_of(part) for part in from_key] + [_field(column) for column in table.columns]

    def rows() -> Iterator[memoryview]:
        for batch in batches:
            if len(batch):
                decoded = keys.decode(table.key, batch.keys)
                cells = [one for one in decoded if one is not None]
                yield encode(table.name, fields, [*cells, *batch.columns])

    with explained(f"rows cannot be inserted into {table.name}"):
        return _copy(connection, relation(table.definition), [field.name for field in fields], rows())


def update_rows(
    connection: psycopg.Connection[Any], table: Table, columns: Sequence[str], batches: Iterable[Batch]
) -> int:
    """Set these columns in the rows with these keys; returns how many there were. Keys occur once in all batches."""
    chosen = [table.columns[table.column(name)] for name in columns]
    fields = [_field_of(part) for part in table.key] + [_field(column) for column in chosen]

    def rows() -> Iterator[memoryview]:
        for batch in batches:
            if len(batch):
                yield encode(table.name, fields, [*_equal_cells(table.key, batch.keys), *batch.columns])

    settings = sql.SQL(", ").join(
        sql.SQL("{} = given.{}").format(sql.Identifier(name), sql.Identifier(f"c{at}"))
        for at, name in enumerate(columns)
    )
    with explained(f"rows of {table.name} cannot be updated"), _temporary(connection, table, columns) as given:
        _copy(
            connection,
            given,
            [f"k{at}" for at in range(len(table.key))] + [f"c{at}" for at in range(len(columns))],
            rows(),
        )
        statement = sql.SQL("UPDATE ONLY {} AS live SET {} FROM {} AS given WHERE {}")
        done = connection.execute(
            statement.format(relation(table.definition), settings, given, _same_key(connection, table))
        )
        return done.rowcount


def delete_rows(connection: psycopg.Connection[Any], table: Table, groups: Iterable[Cells]) -> int:
    """Delete the rows with these keys; returns how many there were."""
    fields = [_field_of(part) for part in table.key]

    def rows() -> Iterator[memoryview]:
        for group in groups:
            if len(group):
                yield encode(table.name, fields, _equal_cells(table.key, group))

    with explained(f"rows of {table.name} cannot be deleted"), _temporary(connection, table, ()) as given:
        _copy(connection, given, [f"k{at}" for at in range(len(table.key))], rows())
        statement = sql.SQL("DELETE FROM ONLY {} AS live USING {} AS given WHERE {}")
        return connection.execute(
            statement.format(relation(table.definition), given, _same_key(connection, table))
        ).rowcount


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """As `translated`, with the server's DETAIL: it has the key and the value that are in the way."""
    try:
        yield
    except psycopg.Error as error:
        ours = translate(error, doing)
        detail = " ".join((error.diag.message_detail or "").split())
        message = f"{ours.message}: {detail}" if detail else ours.message
        raise type(ours)(message, hint=ours.hint, again=ours.again) from error


def _copy(
    connection: psycopg.Connection[Any], into: sql.Composable, names: Sequence[str], rows: Iterable[memoryview]
) -> int:
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)")
    with connection.cursor() as cursor:
        with cursor.copy(statement.format(into, sql.SQL(", ").join(map(sql.Identifier, names)))) as copy:
            copy.write(HEADER)
            for some in rows:
                copy.write(some)
            copy.write(TRAILER)
        return cursor.rowcount


@contextmanager
def _temporary(connection: psycopg.Connection[Any], table: Table, columns: Sequence[str]) -> Iterator[sql.Identifier]:
    """A temporary table with the key's columns (k0, k1, …) and these (c0, …), of the same types and collations."""
    name = sql.Identifier("pg_temp", _KEYS)
    wanted = [(f"k{at}", part.name) for at, part in enumerate(table.key)]
    wanted += [(f"c{at}", column) for at, column in enumerate(columns)]
    selected = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(sql.Identifier(column), sql.Identifier(alias)) for alias, column in wanted
    )
    statement = sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM ONLY {} WITH NO DATA")
    connection.execute(statement.format(sql.Identifier(_KEYS), selected, relation(table.definition)))
    yield name
    connection.execute(sql.SQL("DROP TABLE {}").format(name))


# The equality of the primary key's own index: `=` in the search path may be another operator, or none (citext, ltree).
_EQUALITY = """
SELECT a.attname AS name, n.nspname AS schema, o.oprname AS operator
FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[]) AS part(number, class)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = part.number
JOIN pg_opclass c ON c.oid = part.class
JOIN pg_am m ON m.oid = c.opcmethod AND m.amname = 'btree'
JOIN pg_amop p ON p.amopfamily = c.opcfamily AND p.amopstrategy = 3
  AND p.amoplefttype = c.opcintype AND p.amoprighttype = c.opcintype
JOIN pg_operator o ON o.oid = p.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE i.indrelid = %s::regclass AND i.indisprimary"""


def _same_key(connection: psycopg.Connection[Any], table: Table) -> sql.Composed:
    found = rows_of(connection, _EQUALITY, (relation(table.definition).as_string(connection),))
    operators = {row["name"]: (row["schema"], row["operator"]) for row in found}
    terms = []
    for at, part in enumerate(table.key):
        schema, operator = operators.get(part.name, ("pg_catalog", "="))
        # An operator's name is not an identifier; pg_operator allows none but + - * / < > = ~ ! @ # % ^ & | ` ?.
        equals = sql.SQL("OPERATOR({}." + operator + ")").format(sql.Identifier(schema))
        terms.append(sql.SQL("live.{} {} given.{}").format(sql.Identifier(part.name), equals, sql.Identifier(f"k{at}")))
    return sql.SQL(" AND ").join(terms)


def _field(column: Column) -> Field:
    return Field(column.name, column.width, column.stride)


def _field_of(part: KeyPart) -> Field:
    return Field(part.name)


def _equal_cells(parts: Sequence[KeyPart], encoded: Cells) -> list[Cells]:
    """A cell for each part that the server holds equal to the one the key was made of.

    Parts that lose something (which zero, which NaN, the scale of a numeric) come back in their simplest form.
    """
    decoded = keys.decode(parts, encoded)
    if all(cells is not None for cells in decoded):
        return [cells for cells in decoded if cells is not None]
    lossy: list[list[bytes]] = [[] for _ in parts]
    for key in encoded.to_list():
        at = 0
        for number, part in enumerate(parts):
            assert key is not None  # keys are never NULL
            cell, at = _walk(part, key, at, last=number == len(parts) - 1)
            lossy[number].append(cell)
    return [Cells.of(list(plain)) if cells is None else cells for cells, plain in zip(decoded, lossy, strict=True)]


def _walk(part: KeyPart, key: bytes, at: int, *, last: bool) -> tuple[bytes, int]:
    """The cell of a lossy part at this place of a key (nothing for others), and where the next part begins."""
    if part.encoding in ("float4", "float8"):
        size = int(part.encoding[-1])
        turned = int.from_bytes(key[at : at + size], "big")
        top = 1 << (8 * size - 1)
        bits = turned ^ top if turned & top else turned ^ (2 * top - 1)
        return bits.to_bytes(size, "big"), at + size
    if part.encoding == "numeric":
        return _walk_numeric(key, at)
    if part.encoding == "bytes":
        return b"", len(key) if last else key.index(b"\0\0", at) + 2
    return b"", at + keys.width((part,))


# The sign words of PostgreSQL's binary numeric by the first byte of its encoding (format.md §8): −∞, <0, 0, >0, ∞, NaN.
_SIGNS = (0xF000, 0x4000, 0x0000, 0x0000, 0xD000, 0xC000)


def _walk_numeric(key: bytes, at: int) -> tuple[bytes, int]:
    kind, at = key[at], at + 1
    if kind not in (1, 3):
        return np.array([0, 0, _SIGNS[kind], 0], ">u2").tobytes(), at
    flip = 0xFFFF if kind == 1 else 0
    words: list[int] = []
    while not words or words[-1] != 0 or len(words) == 1:
        words.append(int.from_bytes(key[at : at + 2], "big") ^ flip)
        at += 2
    weight, digits = words[0] - 32768, [word - 1 for word in words[1:-1]]
    scale = max(0, 4 * (len(digits) - weight - 1))
    return np.array([len(digits), weight & 0xFFFF, _SIGNS[kind], scale, *digits], ">u2").tobytes(), at
