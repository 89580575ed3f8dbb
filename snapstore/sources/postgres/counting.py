"""How many rows a table has, or nearly.

count_rows(connection, table, "heat > 0.5")     # (120, True)

Large tables without a condition are estimated, as the planner does; an estimate is as old as the last ANALYZE.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from snapstore.rows import Table
from snapstore.sources.postgres import large
from snapstore.sources.postgres.ddl import text
from snapstore.sources.postgres.reading import relation_of

__all__ = ["count_rows"]

_COUNTED = 100_000
"""A table that is estimated to have no more rows is counted."""


def count_rows(connection: psycopg.Connection[Any], table: Table, condition: str | None) -> tuple[int, bool]:
    """The number of rows, and whether it was counted."""
    is_large_objects = large.is_large_objects(table)
    if condition is None and not is_large_objects:
        query = "SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = %s::regclass"
        [[estimated]] = connection.execute(query, [relation_of(table).as_string(connection)])
        if estimated > _COUNTED:
            return int(estimated), False
    place = large.rows() if is_large_objects else sql.SQL("ONLY {}").format(relation_of(table))
    where = sql.SQL("") if condition is None else sql.SQL(" WHERE (\n{}\n)").format(text(condition))
    [[counted]] = connection.execute(sql.SQL("SELECT count(*) FROM {}{}").format(place, where))
    return int(counted), True
