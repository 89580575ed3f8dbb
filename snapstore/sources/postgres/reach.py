"""What of a database this role cannot read in full, with the reason: found before anything is locked or read.

    read_out_of_reach(connection)     # {'table public.secrets': 'this role may not read it'}

A read that row security filters, or that shows some columns, would look like a smaller table. So these are refused by
name, or named as missing, and never read in part. It knows nothing of selections.
"""

# ruff: noqa: S608  # the query is put together from constants of this module
from __future__ import annotations

from typing import Any

import psycopg

from snapstore.sources.postgres.tables import full_name, rows_of
from snapstore.sources.postgres.unheld import IN_A_USER_SCHEMA

__all__ = ["read_out_of_reach"]

# LOCK TABLE asks for a privilege on the whole table: columns alone are not enough to hold it still.
_QUERY = f"""
SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind, n.nspname AS schema, c.relname AS name,
  CASE WHEN NOT has_schema_privilege(n.oid, 'USAGE') THEN 'this role may not use its schema'
    WHEN c.relkind = 'S' THEN 'this role may not read it'
    WHEN row_security_active(c.oid) THEN 'row security would hide rows from this role'
    ELSE coalesce('this role may not read its columns ' || (
      SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND has_any_column_privilege(c.oid, 'SELECT')
        AND NOT has_column_privilege(c.oid, a.attnum, 'SELECT')), 'this role may not read it') END AS reason
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE {IN_A_USER_SCHEMA} AND c.relkind IN ('r', 'p', 'S') AND CASE
  WHEN NOT has_schema_privilege(n.oid, 'USAGE') THEN true
  WHEN c.relkind = 'S' THEN NOT has_sequence_privilege(c.oid, 'SELECT')
  ELSE NOT has_table_privilege(c.oid, 'SELECT') OR row_security_active(c.oid) END"""


def read_out_of_reach(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """The ids of tables and sequences that this role cannot read, or not all of, with the reason."""
    return {
        f"{row['kind']} {full_name(row['schema'], row['name'])}": row["reason"] for row in rows_of(connection, _QUERY)
    }
