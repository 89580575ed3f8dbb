"""Asks the server which of given rows meet a condition, though they may not be in any table.

    with matching(url, table, "heat > 0.5") as meets:
        meets(batch)            # shape (n,), bool

The rows go to a temporary table of the same columns and types, so the condition means what it means in the table.
Nothing else is read or locked, and the transaction is rolled back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from snapstore.errors import Invalid
from snapstore.rows import Batch, Table
from snapstore.sources.postgres.applying import insert_rows
from snapstore.sources.postgres.connection import connect, execute_one, translated
from snapstore.sources.postgres.ddl import text
from snapstore.sources.postgres.locking import set_locally

__all__ = ["matching"]

_NAME = "snapstore_given"

# What a condition names, computes, or asks of a subquery; all else of the query is ours (manual, appendix A).
_CONDITION_STATES = ("42", "22", "21")


@contextmanager
def matching(url: str, table: Table, where: str) -> Iterator[Callable[[Batch], NDArray[np.bool_]]]:
    """As `Source.matching`."""
    given = sql.Identifier("pg_temp", _NAME)
    columns = _columns(table, where)
    # The columns tell `insert_rows` in which form their cells are held, and which are not given at all.
    there = dataclasses.replace(table, definition={"schema": "pg_temp", "name": _NAME, "columns": columns})
    # COPY fills an empty heap from front to back, so the order of the rows is the order of their places.
    query = sql.SQL("SELECT ({}\n) IS TRUE FROM {} AS {} ORDER BY {}.ctid").format(
        text(where), given, *[sql.Identifier(str(table.definition["name"]))] * 2
    )
    connection = connect(url)

    def meets(batch: Batch) -> NDArray[np.bool_]:
        with translated("rows cannot be compared with the condition"):
            connection.execute(sql.SQL("TRUNCATE {}").format(given))
            insert_rows(connection, there, [batch])
            try:
                answers = execute_one(connection, query).fetchall()
            except psycopg.Error as error:
                if (error.sqlstate or "")[:2] not in _CONDITION_STATES:
                    raise
                words = error.diag.message_primary
                raise Invalid(f"the condition {where!r} on {table.name} cannot be used: {words}") from error
        if len(answers) != len(batch):
            raise Invalid(f"the condition {where!r} on {table.name} gives {len(answers)} answers for {len(batch)} rows")
        return np.fromiter((answer for (answer,) in answers), np.bool_, len(answers))

    try:
        with translated(f"a condition on {table.name} cannot be tried"):
            connection.execute("BEGIN")
            set_locally(connection)
            execute_one(connection, _create(columns))
        yield meets
    finally:
        connection.close()  # rolls back


def _columns(table: Table, where: str) -> list[Mapping[str, Any]]:
    """Those of the temporary table; generated ones only where the condition may speak of them."""
    held = {part.name for part in table.key} | {column.name for column in table.columns}
    return [
        column
        for column in table.definition["columns"]
        if column["name"] in held or (column["generated"] and column["name"].lower() in where.lower())
    ]


def _create(columns: Sequence[Mapping[str, Any]]) -> sql.Composed:
    return sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(
        sql.Identifier(_NAME), sql.SQL(", ").join(map(_column, columns))
    )


def _column(column: Mapping[str, Any]) -> sql.Composed:
    declared = sql.SQL("{} {}").format(sql.Identifier(column["name"]), text(column["type"]))
    if not column["generated"]:
        return declared
    return sql.SQL("{} GENERATED ALWAYS AS ({}) STORED").format(declared, text(column["generated"]["expression"]))
