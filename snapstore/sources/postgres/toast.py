"""Hints: which out-of-line value a cell is, by the id that PostgreSQL has given to it (DESIGN: take).

    shape = hints_of(connection, table)              # None where there are none, or this role may not look
    hint_of(table, name)                             # the id, NULL where the value is in the row itself
    new = written_since(connection, shape, window)   # the ids of all values that are not, where they are few
    without_old(table, name, shape, sent, window, new)    # the cell, NULL where it has an id and is an old value

An UPDATE that leaves a large value alone leaves its id alone, whatever else of the row it sets. An id says nothing by
itself: it is an OID, and those come round again. So a value is taken for an old one only if its pieces in the TOAST
table were written before the window, which is the rule for rows too (`snapstore.sources.postgres.stamps`), and that
table is still the same file. Then the value was there at the time of the earlier snapshot, and no other had its id: the
cell whose hint says that id is it. Sources of the rule: toast_save_datum() and toast_tuple_init() of PostgreSQL, which
give a value that is new to its row an id of its own, and never write to one that is there (docs/decisions/0007).

It does not know how hints are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from snapstore.rows import Column, Table
from snapstore.sources.postgres.copying import Field
from snapstore.sources.postgres.large import is_large_objects
from snapstore.sources.postgres.stamps import Window, moved_condition
from snapstore.sources.postgres.tables import rows_of

__all__ = ["hint_of", "hints_of", "without_old", "written_since"]

_WIDTH = 4

# So many ids may stand in a statement; the server hashes them.
_LISTED = 10_000

# The function came with version 17.
_TOAST = """
SELECT t.oid::int8 AS oid, pg_catalog.pg_relation_filenode(t.oid)::int8 AS file, n.nspname AS schema, t.relname AS name,
  ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attlen = -1 AND a.attstorage <> 'p'
    ORDER BY a.attnum) AS columns
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
WHERE c.oid = pg_catalog.to_regclass(%s)
  AND pg_catalog.to_regproc('pg_catalog.pg_column_toast_chunk_id') IS NOT NULL
  AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(t.oid, 'SELECT')
  AND pg_catalog.pg_relation_size(t.oid) > 0"""


def hints_of(connection: psycopg.Connection[Any], table: Table) -> Table | None:
    """The shape of a table's hints: its key, and each column whose values may be out of line.

    `definition` names the place of such values; hints of another mean nothing. None where no value is out of line, the
    server is older than 17, or the role may not read that place (pg_read_all_data may).
    """
    if table.by_content or is_large_objects(table):
        return None
    found = rows_of(connection, _TOAST, (_relation(table).as_string(connection),))
    if not found:
        return None
    place = found[0]
    key = {part.name for part in table.key}
    names = [column.name for column in table.columns if column.name in place["columns"] and column.name not in key]
    columns = tuple(Column(name, "oid", _WIDTH) for name in names)
    toast = {"oid": place["oid"], "file": place["file"], "schema": place["schema"], "name": place["name"]}
    return Table(table.name, table.key, columns, {"toast": toast}) if columns else None


def hint_of(table: Table, name: str) -> tuple[Field, sql.Composed]:
    """The hint of a column, as a field of a row and what to select for it."""
    return Field(name, _WIDTH), sql.SQL("pg_catalog.pg_column_toast_chunk_id({})").format(_cell(table, name))


def written_since(connection: psycopg.Connection[Any], shape: Table, window: Window) -> Sequence[int] | None:
    """The ids of the values that the window holds, by one look at every value there is; None where they are many."""
    query = sql.SQL(
        "SELECT kept.chunk_id::pg_catalog.int8 AS id FROM {} AS kept WHERE kept.chunk_seq = 0 AND {} LIMIT {}"
    )
    found = rows_of(
        connection, query.format(_place(shape), moved_condition(window, sql.SQL("kept.xmin")), sql.Literal(_LISTED + 1))
    )
    return None if len(found) > _LISTED else [row["id"] for row in found]


def without_old(
    table: Table, name: str, shape: Table, sent: sql.Composable, window: Window, new: Sequence[int] | None = None
) -> sql.Composed:
    """What to select for a column, in place of `sent`, to leave out values from before the window.

    With `new`, the ids of all values that are not, the server need not look for each value.
    """
    if new is not None:
        return sql.SQL(
            "CASE WHEN pg_catalog.pg_column_toast_chunk_id({cell}) IS NULL "
            "OR pg_catalog.pg_column_toast_chunk_id({cell}) = ANY ({new}::pg_catalog.oid[]) THEN {sent} END"
        ).format(cell=_cell(table, name), new=sql.Literal("{" + ",".join(map(str, new)) + "}"), sent=sent)
    # A subquery for a value goes by the index, for each row that moved; EXISTS may be hashed, over all there are.
    return sql.SQL(
        "CASE WHEN (SELECT NOT {new} FROM {toast} AS kept WHERE kept.chunk_id = "
        "pg_catalog.pg_column_toast_chunk_id({cell}) AND kept.chunk_seq = 0) THEN NULL ELSE {sent} END"
    ).format(
        new=moved_condition(window, sql.SQL("kept.xmin")),
        toast=_place(shape),
        cell=_cell(table, name),
        sent=sent,
    )


def _place(shape: Table) -> sql.Identifier:
    return sql.Identifier(shape.definition["toast"]["schema"], shape.definition["toast"]["name"])


def _relation(table: Table) -> sql.Identifier:
    return sql.Identifier(table.definition["schema"], table.definition["name"])


def _cell(table: Table, name: str) -> sql.Identifier:
    """In full, so that no name of the subquery can come before it."""
    return sql.Identifier(table.definition["schema"], table.definition["name"], name)
