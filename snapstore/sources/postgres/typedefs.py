"""Types that people made: enums, domains, composites, ranges with their multiranges, and base types over C functions.

    for type_ in read_types(connection):
        print(type_.id, type_.definition["variety"])      # 'type public.mood', 'enum'

A base type, and a range with a canonical function, is made of functions that name the type itself. So there is a shell
of it first (`shell type public.x`), then the functions, then the type. Rowtypes of tables and array types belong to
what brings them. It knows nothing of how cells look.
"""

# ruff: noqa: S608  # the query is put together from constants of this module
from __future__ import annotations

from typing import Any

import psycopg

from snapstore.sources.postgres.tables import full_name, rows_of
from snapstore.sources.postgres.unheld import IN_A_USER_SCHEMA, NOT_OF_AN_EXTENSION
from snapstore.sources.postgres.written import Written

__all__ = ["read_types"]

_VARIETIES = {"e": "enum", "d": "domain", "c": "composite", "r": "range", "b": "base", "p": "shell"}

_TYPES = f"""
SELECT t.oid::int8 AS oid, n.nspname AS schema, t.typname AS name, t.typtype AS variety,
  format('CREATE TYPE %I.%I', n.nspname, t.typname) AS shell,
  ARRAY(SELECT enumlabel::text FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder) AS labels,
  CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END AS base,
  t.typnotnull AS not_null, pg_get_expr(t.typdefaultbin, 'pg_type'::regclass) AS default,
  CASE WHEN t.typtype = 'd' AND t.typcollation <> 0 AND t.typcollation <> b.typcollation
    THEN quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END AS collation,
  coalesce((SELECT json_agg(json_build_object('name', k.conname, 'definition', pg_get_constraintdef(k.oid),
      'kind', k.contype, 'comment', obj_description(k.oid, 'pg_constraint')) ORDER BY k.conname)
    FROM pg_constraint k WHERE k.contypid = t.oid), '[]') AS constraints,
  coalesce((SELECT json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
      'collation', CASE WHEN a.attcollation <> at.typcollation AND a.attcollation <> 0
        THEN quote_ident(acn.nspname) || '.' || quote_ident(ac.collname) END,
      'comment', col_description(a.attrelid, a.attnum)) ORDER BY a.attnum)
    FROM pg_attribute a JOIN pg_type at ON at.oid = a.atttypid LEFT JOIN pg_collation ac ON ac.oid = a.attcollation
    LEFT JOIN pg_namespace acn ON acn.oid = ac.collnamespace
    WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped), '[]') AS attributes,
  obj_description(t.oid, 'pg_type') AS comment
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
LEFT JOIN pg_type b ON b.oid = t.typbasetype LEFT JOIN pg_collation co ON co.oid = t.typcollation
LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
WHERE {IN_A_USER_SCHEMA} AND {NOT_OF_AN_EXTENSION.format("pg_type", "t")} AND (t.typrelid = 0 OR c.relkind = 'c')
  AND t.typtype <> 'm'
  AND NOT EXISTS (SELECT FROM pg_type element WHERE element.typarray = t.oid)"""


_RANGES = """
SELECT r.rngtypid::int8 AS oid, format('CREATE TYPE %I.%I AS RANGE (%s)', n.nspname, t.typname, concat_ws(', ',
    'SUBTYPE = ' || format_type(r.rngsubtype, NULL), format('SUBTYPE_OPCLASS = %I.%I', opn.nspname, op.opcname),
    CASE WHEN r.rngcollation <> sub.typcollation THEN format('COLLATION = %I.%I', con.nspname, co.collname) END,
    'CANONICAL = ' || nullif(r.rngcanonical::oid, 0)::regproc,
    'SUBTYPE_DIFF = ' || nullif(r.rngsubdiff::oid, 0)::regproc,
    format('MULTIRANGE_TYPE_NAME = %I.%I', mn.nspname, m.typname))) AS statement,
  r.rngcanonical <> 0 AS over_a_shell,
  format('COMMENT ON TYPE %I.%I IS ', mn.nspname, m.typname) || quote_literal(obj_description(m.oid, 'pg_type')) AS more
FROM pg_range r JOIN pg_type t ON t.oid = r.rngtypid JOIN pg_namespace n ON n.oid = t.typnamespace
JOIN pg_type sub ON sub.oid = r.rngsubtype
JOIN pg_opclass op ON op.oid = r.rngsubopc JOIN pg_namespace opn ON opn.oid = op.opcnamespace
LEFT JOIN pg_collation co ON co.oid = r.rngcollation LEFT JOIN pg_namespace con ON con.oid = co.collnamespace
JOIN pg_type m ON m.oid = r.rngmultitypid JOIN pg_namespace mn ON mn.oid = m.typnamespace"""

# Servers before 14 have no multiranges.
_OLD_RANGES = _RANGES.replace("r.rngmultitypid", "NULL").replace("JOIN pg_type m ", "LEFT JOIN pg_type m ")
_OLD_RANGES = _OLD_RANGES.replace("JOIN pg_namespace mn", "LEFT JOIN pg_namespace mn").replace(
    "format('MULTIRANGE_TYPE_NAME = %I.%I', mn.nspname, m.typname)", "NULL"
)

_BASES = """
SELECT t.oid::int8 AS oid, format('CREATE TYPE %I.%I (%s)', n.nspname, t.typname, concat_ws(', ',
    'INPUT = ' || t.typinput, 'OUTPUT = ' || t.typoutput, 'RECEIVE = ' || nullif(t.typreceive::oid, 0)::regproc,
    'SEND = ' || nullif(t.typsend::oid, 0)::regproc, 'TYPMOD_IN = ' || nullif(t.typmodin::oid, 0)::regproc,
    'TYPMOD_OUT = ' || nullif(t.typmodout::oid, 0)::regproc, 'ANALYZE = ' || nullif(t.typanalyze::oid, 0)::regproc,
    'SUBSCRIPT = ' || nullif(to_jsonb(t)->>'typsubscript', '-'),
    'INTERNALLENGTH = ' || CASE t.typlen WHEN -1 THEN 'VARIABLE' ELSE t.typlen::text END,
    CASE WHEN t.typbyval THEN 'PASSEDBYVALUE' END,
    'ALIGNMENT = ' || CASE t.typalign WHEN 'c' THEN 'char' WHEN 's' THEN 'int2' WHEN 'i' THEN 'int4' ELSE 'double' END,
    'STORAGE = ' || CASE t.typstorage WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external' WHEN 'm' THEN 'main'
      ELSE 'extended' END,
    'CATEGORY = ' || quote_literal(t.typcategory::text), CASE WHEN t.typispreferred THEN 'PREFERRED = true' END,
    'DEFAULT = ' || quote_literal(t.typdefault), 'ELEMENT = ' || format_type(nullif(t.typelem, 0), NULL),
    'DELIMITER = ' || quote_literal(t.typdelim::text), CASE WHEN t.typcollation <> 0 THEN 'COLLATABLE = true' END
  )) AS statement, true AS over_a_shell, NULL AS more
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype = 'b' AND t.oid >= 16384 AND t.typisdefined"""


def read_types(connection: psycopg.Connection[Any]) -> list[Written]:
    """Every type that is the user's own and no part of something else. Three queries."""
    ranges = _RANGES if connection.info.server_version >= 140_000 else _OLD_RANGES
    written = {row["oid"]: row for query in (ranges, _BASES) for row in rows_of(connection, query)}
    found: list[Written] = []
    for row in rows_of(connection, _TYPES):
        oid, name, variety = row["oid"], full_name(row["schema"], row["name"]), _VARIETIES[row["variety"]]
        common = {"kind": "type", "variety": variety, **{part: row[part] for part in ("schema", "name", "comment")}}
        if oid in written:
            common["statements"] = [one for one in (written[oid]["statement"], written[oid]["more"]) if one]
            if written[oid]["over_a_shell"]:
                shell = {"kind": "shell type", "schema": row["schema"], "name": row["name"]}
                # No OID is at the shell: the type itself is what others depend on.
                found.append(Written(f"shell type {name}", ("", oid), {**shell, "statements": [row["shell"]]}))
        elif variety == "shell":
            common["statements"] = [row["shell"]]
        else:
            common |= _own_of(variety, row)
        found.append(Written(f"type {name}", ("pg_type", oid), common))
    return found


def _own_of(variety: str, row: dict[str, Any]) -> dict[str, Any]:
    """What an enum, a composite type or a domain is, beyond its name."""
    if variety == "enum":
        return {"labels": row["labels"]}
    if variety == "composite":
        return {"attributes": row["attributes"]}
    own = {part: row[part] for part in ("base", "not_null", "default", "collation")}
    own["constraints"] = [one for one in row["constraints"] if one.pop("kind") == "c"]
    # PostgreSQL 17 names the NOT NULL of a domain too; the name it would choose itself says nothing.
    chosen = f"{row['name']}_not_null"
    named = next((one["name"] for one in row["constraints"] if one not in own["constraints"]), chosen)
    own["not_null_name"] = None if named == chosen else named
    return own
