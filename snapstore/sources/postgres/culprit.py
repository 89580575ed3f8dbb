"""Which row it was that the server did not take, or could not send, found after the fact, when time does not matter.

    number = copied_line(error, "memories")             # COPY says it: 'COPY memories, line 17'
    number = first_refused(connection, error, 8192, lambda stop: insert_only(stop))
    named_row_at(table, batches, number)                # '(id)=(17)'
    raise unsent(connection, error, table, 17, None, None)

A statement over many rows fails as a whole. It is tried again on ever fewer of its first rows, about log2 of them
times, each time under a savepoint, so it is as if it had never been tried.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from typing import Any

import psycopg
from psycopg import sql

from snapstore import keys
from snapstore.errors import SnapstoreError, Unsupported
from snapstore.rows import Batch, Cells, Table
from snapstore.sources.postgres.connection import translate
from snapstore.sources.postgres.copying import batch_of
from snapstore.sources.postgres.display import display, shorten
from snapstore.sources.postgres.reading import read_cells

__all__ = [
    "RefusedError",
    "copied_line",
    "first_refused",
    "first_rows",
    "is_about_a_row_sent",
    "named_row",
    "named_row_at",
    "unsent",
]

# What a row can be refused for: its values, or a constraint (PostgreSQL manual, appendix A).
_ABOUT_ROWS = ("22", "23")


class RefusedError(Exception):
    """Rows were refused, the one of this number first; the cause is the server's."""

    def __init__(self, number: int | None) -> None:
        super().__init__(number)
        self.number = number


def named_row(table: Table, key: Cells) -> str:
    """The row whose key is the only one of these, as the server would write it; empty where rows have no key."""
    if table.by_content:
        return ""
    parts = zip(table.key, keys.decode_equal(table.key, key), strict=True)
    values = ", ".join(shorten(display(part.type, cells[0])) for part, cells in parts)
    return f"({', '.join(part.name for part in table.key)})=({values})"


def named_row_at(table: Table, batches: Iterable[Batch], number: int | None) -> str:
    """The row of this number, from 0. Empty where it has no name, or the batches cannot be gone through again."""
    if number is None or iter(batches) is batches:
        return ""
    with suppress(SnapstoreError):  # what cannot be read again is not what went wrong
        for batch in batches:
            if number < len(batch):
                return named_row(table, batch.keys.slice(number, number + 1))
            number -= len(batch)
    return ""


def copied_line(error: psycopg.Error, relation: str) -> int | None:
    """The number, from 0, of the row at which a COPY into this relation ended; None if the server does not say."""
    for line in (error.diag.context or "").splitlines():
        # In every language: the name of the table, then the number of the line.
        if "COPY" in line and relation in line and (found := re.search(r"\d+", line.split(relation, 1)[1])):
            return int(found[0]) - 1
    return None


def first_refused(
    connection: psycopg.Connection[tuple[object, ...]],
    error: psycopg.Error,
    count: int,
    attempt: Callable[[int], object],
) -> int | None:
    """The number, from 0, of the row for which a statement over `count` rows failed; `attempt(n)` does the first n.

    The savepoint `snapstore_rows` must have been set before the statement. None where the error is about no single row.
    """
    if (error.sqlstate or "")[:2] not in _ABOUT_ROWS or isinstance(error, psycopg.errors.ForeignKeyViolation):
        return None
    passed, fails = 0, count
    while fails - passed > 1:
        middle = (passed + fails) // 2
        connection.execute("ROLLBACK TO snapstore_rows")
        try:
            attempt(middle)
        except psycopg.Error as again:
            if (again.sqlstate, again.diag.constraint_name) != (error.sqlstate, error.diag.constraint_name):
                return None  # such a part fails for reasons of its own
            fails = middle
        else:
            passed = middle
    connection.execute("ROLLBACK TO snapstore_rows")
    return passed


def first_rows(given: sql.Composable, stop: int) -> sql.Composed:
    """The condition that a row of `given`, a table that COPY filled in one go, is one of the first."""
    places = sql.SQL("given.ctid = ANY(ARRAY(SELECT ctid FROM {} ORDER BY ctid LIMIT {}))")
    return places.format(given, sql.Literal(stop))


# Limits, memory, damage: what a server finds as it puts a row together.
_ABOUT_ROWS_SENT = ("54", "53", "XX")


def is_about_a_row_sent(error: psycopg.Error) -> bool:
    """Whether the server ended a COPY for what is in a row."""
    return (error.sqlstate or "")[:2] in _ABOUT_ROWS_SENT


def unsent(
    connection: psycopg.Connection[Any],
    error: psycopg.Error,
    table: Table,
    number: int,
    condition: str | None,
    also: sql.Composable | None,
) -> SnapstoreError:
    """Our error for one that ended `read_cells` at the row of this number, from 0, with its key, which is asked for
    again in the state of the same snapshot: the transaction must be usable.
    """
    row = ""
    with suppress(psycopg.Error, SnapstoreError):
        if not table.by_content:
            row = _key_of(connection, table, number, condition, also)
    ours = translate(error, f"{f'the row {row}' if row else 'a row'} of {table.name} cannot be read")
    if not (error.sqlstate or "").startswith("54"):
        return ours
    hint = "PostgreSQL sends no row of 1 GB: leave a column out (--exclude-column), or the row (--where)"
    return Unsupported(ours.message, hint=hint)


def _key_of(
    connection: psycopg.Connection[Any],
    table: Table,
    number: int,
    condition: str | None,
    also: sql.Composable | None,
) -> str:
    with closing(read_cells(connection, table, (), condition=condition, also=also)) as found:
        for count, cells in found:
            if number < count:
                return named_row(table, batch_of(table.key, (), cells).keys.slice(number, number + 1))
            number -= count
    return ""
