"""Rows into a table without those that the server refuses, each of which is found and told.

    write_taken(connection, table, batches, write, refused)     # `write` puts batches in; `refused` is told of a row

Every batch is written under a savepoint. Of one that fails, the rows before the one that COPY names are written, then
that one alone; where nothing names it, it is looked for by halves. How far it was to the last one says how many rows
are written next, so neither few bad rows nor many cost more than some attempts each. What is no row's own fault (a lost
connection, a full disk, a missing privilege, a deadlock) is raised as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeGuard

import psycopg

from snapstore.rows import Batch, Table
from snapstore.sources import Refusal
from snapstore.sources.postgres.culprit import RefusedError

__all__ = ["Refused", "is_about_a_row", "said", "write_taken"]

Refused = Callable[[Refusal], None]

# What a single row can be refused for (PostgreSQL manual, appendix A): its values, a constraint, the check of a view,
# an error that a function raised (of a CHECK, a domain or an index), an index entry that is too large. Whatever else
# ends a statement is about all rows or none.
_OWN = ("22", "23", "44", "P0001", "P0004", "54000")


def write_taken(
    connection: psycopg.Connection[Any],
    table: Table,
    batches: Iterable[Batch],
    write: Callable[[Iterable[Batch]], int],
    refused: Refused,
) -> int:
    """Write every row that the server takes and tell those it refuses; returns how many both are together."""
    done = 0
    for batch in batches:
        at, size = 0, len(batch)
        taken = 0  # rows since the last one that was refused: about as far away is the next
        end = None  # before this one of the next rows is refused
        while at < len(batch):
            some = batch.slice(at, min(at + size, len(batch)))
            connection.execute("SAVEPOINT snapstore_taken")
            try:
                done += write([some])
            except (psycopg.Error, RefusedError) as error:
                cause = error if isinstance(error, psycopg.Error) else error.__cause__
                if not is_about_a_row(cause):
                    raise
                connection.execute("ROLLBACK TO SAVEPOINT snapstore_taken")
                number = error.number if isinstance(error, RefusedError) else None
                if len(some) == 1:
                    refused(Refusal(table.name, some.keys[0] or b"", said(cause)))
                    done, at, end = done + 1, at + 1, None
                    size, taken = max(2 * taken, 1), 0
                elif number is None:
                    end, size = at + len(some), len(some) // 2
                else:
                    end, size = at + number + 1, max(number, 1)
            else:
                at, taken = at + len(some), taken + len(some)
                end = end if end is not None and at < end else None
                size = 2 * size if end is None else max((end - at) // 2, 1)
            connection.execute("RELEASE SAVEPOINT snapstore_taken")
    return done


def is_about_a_row(error: BaseException | None) -> TypeGuard[psycopg.Error]:
    """Whether it is a row's own fault."""
    return isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(_OWN)


def said(error: psycopg.Error) -> str:
    """The server's words on one line, with its DETAIL: it has the values that are in the way."""
    primary = error.diag.message_primary or str(error)
    detail = error.diag.message_detail or ""
    return " ".join((f"{primary}: {detail}" if detail else primary).split())
