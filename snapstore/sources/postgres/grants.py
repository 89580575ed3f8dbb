"""Who may do what: privileges as they differ from what an owner's new object has.

    read_grants(connection, at)     # [{"on": "table public.memories", "role": "reader", "privilege": "SELECT", …}]

Roles belong to a server and not to a database, so none of this is part of a table's definition and no root depends on
it. Owners are left out: what a restore makes belongs to the role that restores. A privilege given by another than the
owner comes back as given by the owner.
"""

# ruff: noqa: S608  # the query is put together from constants of this module
from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from snapstore.errors import Unsupported
from snapstore.sources.postgres.tables import rows_of

__all__ = ["give_grants", "read_grants"]

# Every object that can have privileges, its owner, its list, and the list that a new one has. What initdb or an
# extension gave (pg_init_privs) is nobody's decision.
_OBJECTS = """
SELECT 'pg_class' AS class, 'pg_class'::regclass AS classid, oid, 0 AS part, NULL::text AS column, relowner AS owner,
  relacl AS acl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner) AS base
FROM pg_class WHERE relkind IN ('r', 'v', 'S')
UNION ALL SELECT 'pg_class', 'pg_class'::regclass, c.oid, a.attnum, a.attname::text, c.relowner, a.attacl,
    acldefault('c', c.relowner)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
UNION ALL SELECT 'pg_namespace', 'pg_namespace'::regclass, oid, 0, NULL, nspowner, nspacl, acldefault('n', nspowner)
  FROM pg_namespace
UNION ALL SELECT 'pg_proc', 'pg_proc'::regclass, oid, 0, NULL, proowner, proacl, acldefault('f', proowner) FROM pg_proc
UNION ALL SELECT 'pg_type', 'pg_type'::regclass, oid, 0, NULL, typowner, typacl, acldefault('T', typowner)
  FROM pg_type"""

_GRANTS = f"""
WITH objects AS ({_OBJECTS}),
known AS (
  SELECT o.*, coalesce(i.initprivs, o.base) AS first FROM objects o
  LEFT JOIN pg_init_privs i ON i.classoid = o.classid AND i.objoid = o.oid AND i.objsubid = o.part
  WHERE o.acl IS NOT NULL
),
now AS (SELECT k.class, k.oid, k.column, k.owner, x.grantee, x.privilege_type AS privilege, x.is_grantable
  FROM known k, aclexplode(k.acl) x),
before AS (SELECT k.class, k.oid, k.column, k.owner, x.grantee, x.privilege_type AS privilege, x.is_grantable
  FROM known k, aclexplode(k.first) x),
changes AS (
  SELECT true AS granted, t.* FROM (SELECT * FROM now EXCEPT SELECT * FROM before) t
  UNION ALL
  -- a privilege that is there still, but grantable now, is not one taken away
  SELECT false, t.* FROM (SELECT * FROM before EXCEPT SELECT * FROM now) t WHERE NOT EXISTS (
    SELECT FROM now n WHERE (n.class, n.oid, n.grantee, n.privilege) = (t.class, t.oid, t.grantee, t.privilege)
      AND n.column IS NOT DISTINCT FROM t.column)
)
SELECT c.granted, c.class, c.oid::int8 AS oid, c.column, c.grantee = c.owner AS to_owner,
  CASE WHEN c.grantee <> 0 AND c.grantee <> c.owner THEN coalesce(r.rolname::text, c.grantee::text) END AS role,
  c.privilege, c.is_grantable AS grantable
FROM changes c LEFT JOIN pg_roles r ON r.oid = c.grantee ORDER BY c.class, c.oid, c.column, role, c.privilege"""

_KINDS: Mapping[str, LiteralString] = {
    "table": "TABLE",
    "view": "TABLE",
    "sequence": "SEQUENCE",
    "schema": "SCHEMA",
    "function": "FUNCTION",
    "procedure": "PROCEDURE",
    "type": "TYPE",
}


def read_grants(connection: psycopg.Connection[Any], at: Mapping[tuple[str, int], str]) -> list[dict[str, Any]]:
    """Privileges given and taken away, on everything in `at` (class and OID → id), in order of id.

    `role` is None for PUBLIC and, with `to_owner`, for the owner.
    """
    grants = []
    for row in rows_of(connection, _GRANTS):
        on = at.get((row.pop("class"), row.pop("oid")))
        if on is not None and on.split(" ")[0] in _KINDS:
            grants.append({"on": on, **row})
    return sorted(grants, key=lambda one: (one["on"], one["column"] or "", one["role"] or "", one["privilege"]))


def give_grants(
    connection: psycopg.Connection[Any], grants: Collection[Mapping[str, Any]], named: Mapping[str, Mapping[str, Any]]
) -> None:
    """Give and take these privileges on the things in `named` (id → definition); others are passed over.

    Raises `Unsupported` naming every role that this server lacks.
    """
    wanted = [one for one in grants if one["on"] in named]
    there = {row["name"] for row in rows_of(connection, "SELECT rolname::text AS name FROM pg_roles")}
    lacking = sorted({one["role"] for one in wanted if one["role"] is not None} - there)
    if lacking:
        raise Unsupported(
            f"privileges in the snapshot are for roles that this server lacks: {', '.join(lacking)}",
            hint="create them first (CREATE ROLE); snapshots taken with --exclude grants have no privileges",
        )
    for one in wanted:
        for statement in _statements(one, named[one["on"]]):
            connection.execute(statement)


def _statements(one: Mapping[str, Any], definition: Mapping[str, Any]) -> Iterator[sql.Composed]:
    kind = one["on"].split(" ")[0]
    name: sql.Composable = sql.Identifier(definition["name"])
    if "schema" in definition:
        name = sql.Identifier(definition["schema"], definition["name"])
    if "arguments" in definition:
        name = sql.SQL("{}({})").format(name, sql.SQL(definition["arguments"]))
    role: sql.Composable = sql.SQL("PUBLIC") if one["role"] is None else sql.Identifier(one["role"])
    if one["to_owner"]:
        role = sql.SQL("CURRENT_USER")
    privilege: sql.Composable = sql.SQL(one["privilege"])
    if one["column"] is not None:
        privilege = sql.SQL("{} ({})").format(privilege, sql.Identifier(one["column"]))
    verb: LiteralString = "GRANT {} ON {} {} TO {}" if one["granted"] else "REVOKE {} ON {} {} FROM {}"
    statement = sql.SQL(verb).format(privilege, sql.SQL(_KINDS[kind]), name, role)
    yield statement + sql.SQL(" WITH GRANT OPTION") if one["granted"] and one["grantable"] else statement
