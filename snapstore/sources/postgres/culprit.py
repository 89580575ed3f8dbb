"""Which row it was that the server did not take, found after the fact, when time no longer matters.

    number = copied_line(error, "memories")             # COPY says it: 'COPY memories, line 17'
    number = first_refused(connection, error, 8192, lambda stop: insert_only(stop))
    named_row_at(table, batches, number)                # '(id)=(17)'

A statement over many rows fails as a whole. It is tried again on ever fewer of its first rows, about log2 of them
times, each time under a savepoint, so it is as if it had never been tried.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress

import psycopg
from psycopg import sql

from snapstore import keys
from snapstore.errors import SnapstoreError
from snapstore.rows import Batch, Cells, Table
from snapstore.sources.postgres.display import display, shorten

__all__ = ["copied_line", "first_refused", "first_rows", "named_row", "named_row_at"]

# What a row can be refused for: its values, or a constraint (PostgreSQL manual, appendix A).
_ABOUT_ROWS = ("22", "23")


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
