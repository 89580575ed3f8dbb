"""Default privileges: what roles have on objects that others will make (ALTER DEFAULT PRIVILEGES).

    read_default_privileges(connection)
    # [{"owner": "app", "schema": "public", "of": "TABLES", "role": "reader", "privilege": "SELECT", …}]

They say nothing of what is there, so they are made last; and what a live database's own would add to the tables that a
restore makes is taken away again (`snapstore.sources.postgres.grants.give_grants`). Roles are named, never created.
"""

# ruff: noqa: S608  # the query is put together from constants of this module
from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from snapstore.sources.postgres.grants import CHANGES, statement
from snapstore.sources.postgres.tables import rows_of

__all__ = ["give_default_privileges", "read_default_privileges"]

# Those of a schema come on top of the general ones, so they begin from nothing.
_QUERY = f"""
WITH known AS (
  SELECT d.oid AS thing, d.defaclrole AS owner, d.defaclacl AS acl, n.nspname AS schema, d.defaclobjtype AS of,
    CASE WHEN d.defaclnamespace <> 0 THEN NULL
      ELSE acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END, d.defaclrole) END AS first
  FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
), {CHANGES}
SELECT c.granted, o.rolname::text AS owner, k.schema::text AS schema, k.of::text AS of,
  CASE WHEN c.grantee <> 0 THEN coalesce(r.rolname::text, c.grantee::text) END AS role, c.privilege,
  c.is_grantable AS grantable
FROM changes c JOIN known k ON k.thing = c.thing LEFT JOIN pg_roles o ON o.oid = c.owner
LEFT JOIN pg_roles r ON r.oid = c.grantee"""

_KINDS: Mapping[str, LiteralString] = {
    "r": "TABLES",
    "S": "SEQUENCES",
    "f": "FUNCTIONS",
    "T": "TYPES",
    "n": "SCHEMAS",
    "L": "LARGE OBJECTS",
}


def read_default_privileges(connection: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """All of this database, in a fixed order. `schema` is None for all schemas, `role` for PUBLIC."""
    found = [{**row, "of": _KINDS[row["of"]]} for row in rows_of(connection, _QUERY)]
    return sorted(found, key=lambda one: [str(part) for part in one.values()])


def give_default_privileges(connection: psycopg.Connection[Any], wanted: Collection[Mapping[str, Any]]) -> None:
    """Make those for which the database has none of the same owner, schema and kind; others stay as they are."""
    has = {_place(one) for one in read_default_privileges(connection)}
    for one in wanted:
        if _place(one) not in has:
            where: sql.Composable = sql.SQL("")
            if one["schema"] is not None:
                where = sql.SQL("IN SCHEMA {} ").format(sql.Identifier(one["schema"]))
            role: sql.Composable = sql.SQL("PUBLIC") if one["role"] is None else sql.Identifier(one["role"])
            change = statement(one, sql.SQL(one["privilege"]), sql.SQL(one["of"]), role)
            head = sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} {}").format(sql.Identifier(one["owner"]), where)
            connection.execute(head + change)


def _place(one: Mapping[str, Any]) -> tuple[Any, ...]:
    return one["owner"], one["schema"], one["of"]
