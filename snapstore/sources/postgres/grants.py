"""Who may do what: privileges as they differ from what an owner's new object has.

    read_grants(connection, at)     # [{"on": "table public.memories", "role": "reader", "privilege": "SELECT", …}]

Roles belong to a server and not to a database, so none of this is part of a table's definition and no root depends on
it. Roles are named and never created. Owners are left out: what a restore makes belongs to the role that restores. A
privilege given by another than the owner comes back as given by the owner. Privileges that new objects will get are in
`snapstore.sources.postgres.defaults`.
"""

# ruff: noqa: S608  # the query is put together from constants of this module
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from snapstore.errors import Unsupported
from snapstore.sources.postgres.large import object_id
from snapstore.sources.postgres.tables import rows_of

__all__ = ["CHANGES", "DATABASE", "SYSTEM", "Grant", "check_roles", "give_grants", "read_grants", "statement"]

SYSTEM = "system"
"""What privileges are on that stand on something the server itself brought."""

DATABASE = "database"
"""What those of the database itself are on."""

# Every object that can have privileges, its owner, its list, and the list that a new one has. What initdb or an
# extension gave (pg_init_privs) is nobody's decision.
_OBJECTS = """
SELECT 'pg_class' AS class, 'pg_class'::regclass AS classid, oid, 0 AS part, NULL::text AS column, relowner AS owner,
  relacl AS acl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner) AS base,
  CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || oid::regclass AS target
FROM pg_class WHERE relkind IN ('r', 'v', 'S', 'm', 'p')
UNION ALL SELECT 'pg_class', 'pg_class'::regclass, c.oid, a.attnum, a.attname::text, c.relowner, a.attacl,
    acldefault('c', c.relowner), 'TABLE ' || c.oid::regclass
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
UNION ALL SELECT 'pg_namespace', 'pg_namespace'::regclass, oid, 0, NULL, nspowner, nspacl, acldefault('n', nspowner),
    'SCHEMA ' || quote_ident(nspname) FROM pg_namespace
UNION ALL SELECT 'pg_proc', 'pg_proc'::regclass, oid, 0, NULL, proowner, proacl, acldefault('f', proowner),
    CASE prokind WHEN 'p' THEN 'PROCEDURE ' ELSE 'FUNCTION ' END || oid::regprocedure FROM pg_proc
UNION ALL SELECT 'pg_type', 'pg_type'::regclass, oid, 0, NULL, typowner, typacl, acldefault('T', typowner),
    'TYPE ' || format_type(oid, NULL) FROM pg_type
UNION ALL SELECT 'pg_language', 'pg_language'::regclass, oid, 0, NULL, lanowner, lanacl, acldefault('l', lanowner),
    'LANGUAGE ' || quote_ident(lanname) FROM pg_language
UNION ALL SELECT 'pg_largeobject', 'pg_largeobject'::regclass, oid, 0, NULL, lomowner, lomacl,
    acldefault('L', lomowner), 'LARGE OBJECT ' || oid FROM pg_largeobject_metadata
UNION ALL SELECT 'pg_database', 'pg_database'::regclass, oid, 0, NULL, datdba, datacl, acldefault('d', datdba),
    'DATABASE' FROM pg_database WHERE datname = current_database()"""

CHANGES = """
now AS (SELECT k.thing, k.owner, x.grantee, x.privilege_type AS privilege, x.is_grantable, min(x.place) AS place
  FROM known k, aclexplode(k.acl) WITH ORDINALITY AS x(grantor, grantee, privilege_type, is_grantable, place)
  GROUP BY 1, 2, 3, 4, 5),
before AS (SELECT DISTINCT k.thing, k.owner, x.grantee, x.privilege_type AS privilege, x.is_grantable
  FROM known k, aclexplode(k.first) x),
changes AS (
  SELECT true AS granted, n.* FROM now n WHERE NOT EXISTS (SELECT FROM before b
    WHERE (b.thing, b.grantee, b.privilege, b.is_grantable) = (n.thing, n.grantee, n.privilege, n.is_grantable))
  UNION ALL
  -- a privilege that is there still, but grantable now, is not one taken away
  SELECT false, b.*, 0 FROM before b WHERE NOT EXISTS (
    SELECT FROM now n WHERE (n.thing, n.grantee, n.privilege) = (b.thing, b.grantee, b.privilege))
)"""
"""From `known` (thing, owner, acl, first) to `changes` (granted, thing, owner, grantee, privilege, is_grantable), and
`place`: in which order the server lists them.
"""

_GRANTS = f"""
WITH objects AS ({_OBJECTS}),
known AS (
  SELECT row_number() OVER () AS thing, o.*, coalesce(i.initprivs, o.base) AS first FROM objects o
  LEFT JOIN pg_init_privs i ON i.classoid = o.classid AND i.objoid = o.oid AND i.objsubid = o.part
  -- where the lists are the same, as nearly all of initdb's are, nothing changed: not to look is for speed alone
  WHERE o.acl IS NOT NULL AND o.acl IS DISTINCT FROM coalesce(i.initprivs, o.base)
), {CHANGES}
SELECT c.granted, k.class, k.oid::int8 AS oid, k.column, k.target,
  c.grantee = c.owner AND is_own AS to_owner,
  CASE WHEN c.grantee <> 0 AND NOT (c.grantee = c.owner AND is_own)
    THEN coalesce(r.rolname::text, c.grantee::text) END AS role,
  c.privilege, c.is_grantable AS grantable, c.place
FROM changes c JOIN known k ON k.thing = c.thing LEFT JOIN pg_roles r ON r.oid = c.grantee
LEFT JOIN pg_roles own ON own.oid = c.owner
-- the schema public belongs to pg_database_owner, and still does where it is restored
CROSS JOIN LATERAL (SELECT k.oid >= 16384 OR own.rolname !~ '^pg_' AS is_own) o"""

_FIRST_NORMAL_OID = 16384  # below it stands only what initdb made (src/include/access/transam.h)

Grant = Mapping[str, Any]


def read_grants(connection: psycopg.Connection[Any], at: Mapping[tuple[str, int], str]) -> list[dict[str, Any]]:
    """Privileges given and taken away, on everything in `at` (class and OID → id) and on the server's own, in order.

    `on` is the id, `target` what GRANT calls it. `role` is None for PUBLIC and, with `to_owner`, for the owner.
    """
    grants = []
    for row in rows_of(connection, _GRANTS):
        oid = row.pop("oid")
        kind = row.pop("class")
        on: str | None = SYSTEM if oid < _FIRST_NORMAL_OID else None
        on = object_id(oid) if kind == "pg_largeobject" else at.get((kind, oid), on)
        on = DATABASE if kind == "pg_database" else on
        if on is not None:
            grants.append({"on": on, **row})
    order = ("granted", "on", "target", "column", "place", "role", "privilege")
    grants.sort(key=lambda one: [one[part] if part == "place" else str(one[part]) for part in order])
    return [{part: value for part, value in one.items() if part != "place"} for one in grants]


def check_roles(connection: psycopg.Connection[Any], names: Iterable[str], what: str, hint: str) -> None:
    """Raise `Unsupported` naming every role of these that this server lacks."""
    there = {row["name"] for row in rows_of(connection, "SELECT rolname::text AS name FROM pg_roles")}
    lacking = sorted(set(names) - there)
    if lacking:
        raise Unsupported(
            f"{what} in the snapshot {'is' if what.endswith('y') else 'are'} for roles that this server lacks: "
            f"{', '.join(lacking)}",
            hint=hint,
        )


def give_grants(connection: psycopg.Connection[Any], wanted: Collection[Grant], there: Collection[Grant]) -> None:
    """Give what is wanted and not there, and take away what is there and not wanted (from default privileges, say)."""
    for one in there:
        if one not in wanted:
            connection.execute(_grant({**one, "granted": not one["granted"], "grantable": False}))
    for one in wanted:
        if one not in there:
            connection.execute(_grant(one))


def _grant(one: Grant) -> sql.Composed:
    privilege: sql.Composable = sql.SQL(one["privilege"])
    if one["column"] is not None:
        privilege = sql.SQL("{} ({})").format(privilege, sql.Identifier(one["column"]))
    role: sql.Composable = sql.SQL("PUBLIC") if one["role"] is None else sql.Identifier(one["role"])
    return statement(one, privilege, sql.SQL(one["target"]), sql.SQL("CURRENT_USER") if one["to_owner"] else role)


def statement(one: Grant, privilege: sql.Composable, on: sql.Composable, role: sql.Composable) -> sql.Composed:
    """GRANT or REVOKE, as `granted` and `grantable` say."""
    verb: LiteralString = "GRANT {} ON {} TO {}" if one["granted"] else "REVOKE {} ON {} FROM {}"
    composed = sql.SQL(verb).format(privilege, on, role)
    return composed + sql.SQL(" WITH GRANT OPTION") if one["granted"] and one["grantable"] else composed
