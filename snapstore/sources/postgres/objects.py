"""What is in a database beyond tables (extensions, schemas, types, sequences, functions, views), and who needs whom.

    found = read_objects(connection)
    found.objects["sequence public.ticket"]["increment"]     # 1
    found.needs["table public.memories"]                    # {'extension vector', 'schema public', ...}

Ids are `kind schema.name`. What belongs to an extension is that extension, for needs, and nothing of its own. What
snapstore has no words for is in `unheld`, with a reason: nothing is passed over in silence. The module knows nothing of
selections.
"""

# ruff: noqa: S608 — every query below is put together from constants of this module
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from snapstore.sources.postgres.grants import read_grants
from snapstore.sources.postgres.tables import full_name, rows_of
from snapstore.sources.postgres.unheld import IN_A_USER_SCHEMA, NOT_OF_AN_EXTENSION, Thing, read_unheld

__all__ = ["Objects", "Relation", "read_objects", "read_sequence_states"]


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view or other relation: enough to select it and to say why it is not held (`refusal`, or empty)."""

    id: str
    oid: int
    schema: str
    name: str
    kind: str
    refusal: str
    skipped: bool


@dataclass(slots=True)
class Objects:
    """A database's objects by id, its relations by id, what is not held, and the needs between all of them.

    `needs` must be met before a thing can be made; `uses` before it is whole (its constraints, indexes, triggers,
    policies).
    """

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    relations: dict[str, Relation] = field(default_factory=dict)
    unheld: list[Thing] = field(default_factory=list)
    needs: dict[str, set[str]] = field(default_factory=dict)
    uses: dict[str, set[str]] = field(default_factory=dict)


_COMMENT = "obj_description({1}.oid, '{0}') AS comment"

_RELATIONS = f"""
SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind, c.relpersistence AS persistence,
  c.relispartition AS partition, c.reloftype <> 0 AS typed, am.amname AS method,
  EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent)) AS inherits
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am am ON am.oid = c.relam
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND ({IN_A_USER_SCHEMA} OR c.relpersistence = 't'
  AND n.nspname !~ '^pg_toast')
  AND {NOT_OF_AN_EXTENSION.format("pg_class", "c")}"""

_SCHEMAS = f"""
SELECT n.oid::int8 AS oid, n.nspname AS name, {_COMMENT.format("pg_namespace", "n")}
FROM pg_namespace n WHERE {IN_A_USER_SCHEMA} AND {NOT_OF_AN_EXTENSION.format("pg_namespace", "n")}"""

_EXTENSIONS = f"""
SELECT x.oid::int8 AS oid, x.extname AS name, n.nspname AS in_schema, x.extversion AS version,
  {_COMMENT.format("pg_extension", "x")}
FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace"""

_TYPES = f"""
SELECT t.oid::int8 AS oid, n.nspname AS schema, t.typname AS name, t.typtype AS variety,
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
  {_COMMENT.format("pg_type", "t")}
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
LEFT JOIN pg_type b ON b.oid = t.typbasetype LEFT JOIN pg_collation co ON co.oid = t.typcollation
LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
WHERE {IN_A_USER_SCHEMA} AND {NOT_OF_AN_EXTENSION.format("pg_type", "t")} AND (t.typrelid = 0 OR c.relkind = 'c')
  AND t.typtype <> 'm'
  AND NOT EXISTS (SELECT FROM pg_type element WHERE element.typarray = t.oid)"""

_SEQUENCES = f"""
SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relpersistence AS persistence,
  format_type(s.seqtypid, NULL) AS type, s.seqstart AS start, s.seqincrement AS increment, s.seqmin AS min,
    s.seqmax AS max,
  s.seqcache AS cache, s.seqcycle AS cycle, tn.nspname AS owner_schema, t.relname AS owner_table,
    a.attname AS owner_column,
  d.deptype = 'i' AS identity, {_COMMENT.format("pg_class", "c")}
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
  AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
LEFT JOIN pg_class t ON t.oid = d.refobjid LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE {IN_A_USER_SCHEMA} AND {NOT_OF_AN_EXTENSION.format("pg_class", "c")}"""

_FUNCTIONS = f"""
SELECT p.oid::int8 AS oid, n.nspname AS schema, p.proname AS name,
  pg_get_function_identity_arguments(p.oid) AS arguments,
  p.prokind AS variety, CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END AS definition,
    {_COMMENT.format("pg_proc", "p")}
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE {IN_A_USER_SCHEMA} AND {NOT_OF_AN_EXTENSION.format("pg_proc", "p")}
  -- the constructors that a range type brings with it depend on it internally
  AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_proc'::regclass AND i.objid = p.oid
    AND i.deptype = 'i')"""

_VIEWS = "SELECT c.oid::int8 AS oid, pg_get_viewdef(c.oid) AS definition FROM pg_class c WHERE c.oid = ANY(%s::oid[])"

_SETTINGS = """
SELECT coalesce(r.rolname::text, '') AS role, unnest(s.setconfig) AS setting FROM pg_db_role_setting s
LEFT JOIN pg_roles r ON r.oid = s.setrole
WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1, 2"""


# Which object a part belongs to, and whether the part is made after the rows (late) or with the object itself.
_PARTS_OF = """
SELECT 'pg_attrdef' AS class, oid::int8 AS oid, 'pg_class' AS whole, adrelid::int8 AS whole_oid, false AS late
  FROM pg_attrdef
UNION ALL SELECT 'pg_constraint', oid, 'pg_class', conrelid, true FROM pg_constraint WHERE conrelid <> 0
UNION ALL SELECT 'pg_constraint', oid, 'pg_type', contypid, false FROM pg_constraint WHERE contypid <> 0
UNION ALL SELECT 'pg_class', indexrelid, 'pg_class', indrelid, true FROM pg_index
UNION ALL SELECT 'pg_trigger', oid, 'pg_class', tgrelid, true FROM pg_trigger
UNION ALL SELECT 'pg_policy', oid, 'pg_class', polrelid, true FROM pg_policy
UNION ALL SELECT 'pg_statistic_ext', oid, 'pg_class', stxrelid, true FROM pg_statistic_ext
UNION ALL SELECT 'pg_rewrite', oid, 'pg_class', ev_class, false FROM pg_rewrite
UNION ALL SELECT 'pg_type', t.oid, 'pg_class', t.typrelid, false FROM pg_type t WHERE t.typrelid <> 0
UNION ALL SELECT 'pg_class', t.typrelid, 'pg_type', t.oid, false FROM pg_type t
  JOIN pg_class c ON c.oid = t.typrelid WHERE c.relkind = 'c'
UNION ALL SELECT 'pg_type', t.typarray, 'pg_type', t.oid, false FROM pg_type t WHERE t.typarray <> 0"""

_MEMBERS = """
SELECT classid::regclass::text AS class, objid::int8 AS oid, refobjid::int8 AS extension
FROM pg_depend WHERE deptype = 'e'"""

_DEPENDENCIES = """
SELECT classid::regclass::text AS class, objid::int8 AS oid, refclassid::regclass::text AS needed_class,
  refobjid::int8 AS needed
FROM pg_depend WHERE deptype IN ('n', 'a', 'i') AND objid >= 16384"""

_RELATION_KINDS = {"r": "table", "p": "table", "v": "view", "m": "materialized view", "f": "foreign table"}
_TYPE_VARIETIES = {"e": "enum", "d": "domain", "c": "composite"}

_At = tuple[str, int]


def read_objects(connection: psycopg.Connection[Any]) -> Objects:
    """Everything in the database but the definitions of its tables. A dozen queries, whatever there is."""
    found, at = Objects(), dict[_At, str]()
    _read_relations(connection, found, at)
    _read_named(connection, found, at)
    _read_types(connection, found, at)
    _read_sequences(connection, found, at)
    _read_functions(connection, found, at)
    found.unheld += read_unheld(connection, at)
    _read_settings(connection, found)
    if grants := read_grants(connection, at):
        found.objects["grants"] = {"kind": "grants", "name": "grants", "grants": grants}
    _read_needs(connection, found, at)
    return found


def read_sequence_states(
    connection: psycopg.Connection[Any], sequences: Sequence[tuple[str, str]]
) -> list[tuple[int, bool]]:
    """`last_value` and `is_called` of each of these (schema, name), in this order.

    Read from the sequences themselves: the catalogue's own views cannot tell `setval(…, 1, false)` from a fresh
    sequence.
    """
    states: list[tuple[int, bool]] = []
    for start in range(0, len(sequences), 200):
        arms = [
            sql.SQL("SELECT {}::int4 AS place, last_value, is_called FROM {}").format(place, sql.Identifier(*name))
            for place, name in enumerate(sequences[start : start + 200])
        ]
        rows = rows_of(connection, sql.SQL(" UNION ALL ").join(arms) + sql.SQL(" ORDER BY place"))
        states.extend((row["last_value"], row["is_called"]) for row in rows)
    return states


def _read_relations(connection: psycopg.Connection[Any], found: Objects, at: dict[_At, str]) -> None:
    for row in rows_of(connection, _RELATIONS):
        kind = _RELATION_KINDS[row["kind"]]
        refusal, skipped = _refusal(row)
        name = full_name(row["schema"], row["name"])
        relation = Relation(f"{kind} {name}", row["oid"], row["schema"], row["name"], kind, refusal, skipped)
        found.relations[relation.id] = relation
        at["pg_class", row["oid"]] = relation.id
    views = [relation for relation in found.relations.values() if relation.kind == "view" and not relation.refusal]
    definitions = {row["oid"]: row["definition"] for row in rows_of(connection, _VIEWS, ([v.oid for v in views],))}
    for view in views:
        found.objects[view.id] = {
            "kind": "view",
            "schema": view.schema,
            "name": view.name,
            "definition": definitions[view.oid],
        }


def _refusal(row: dict[str, Any]) -> tuple[str, bool]:
    """Why a relation is not held (empty: it is), and whether it is skipped rather than refused."""
    if row["persistence"] == "t":
        return "it is temporary and ends with its session", True
    if row["kind"] == "f":
        return "it is a foreign table: its rows live elsewhere", True
    if row["kind"] == "p":
        return "partitioned tables are not held yet", False
    if row["kind"] == "m":
        return "materialized views are not held yet", False
    if row["partition"]:
        return "partitions are not held yet", False
    if row["inherits"]:
        return "tables that inherit or are inherited from are not held yet", False
    if row["typed"]:
        return "tables OF a type are not held yet", False
    if row["kind"] == "r" and row["method"] != "heap":
        return f"tables under the access method {row['method']} are not held yet", False
    return "", False


def _read_named(connection: psycopg.Connection[Any], found: Objects, at: dict[_At, str]) -> None:
    for row in rows_of(connection, _SCHEMAS):
        at["pg_namespace", row.pop("oid")] = key = f"schema {row['name']}"
        found.objects[key] = {"kind": "schema", **row}
    for row in rows_of(connection, _EXTENSIONS):
        at["pg_extension", row.pop("oid")] = key = f"extension {row['name']}"
        found.objects[key] = {"kind": "extension", **row}


def _read_types(connection: psycopg.Connection[Any], found: Objects, at: dict[_At, str]) -> None:
    for row in rows_of(connection, _TYPES):
        name = full_name(row["schema"], row["name"])
        at["pg_type", row.pop("oid")] = key = f"type {name}"
        variety = _TYPE_VARIETIES.get(row.pop("variety"))
        if variety is None:
            found.unheld.append(Thing(key, name, "only enums, domains and composite types are held yet"))
            continue
        common = {part: row[part] for part in ("schema", "name", "comment")}
        if variety == "enum":
            own = {"labels": row["labels"]}
        elif variety == "composite":
            own = {"attributes": row["attributes"]}
        else:
            own = {part: row[part] for part in ("base", "not_null", "default", "collation")}
            own["constraints"] = [one for one in row["constraints"] if one.pop("kind") == "c"]
            # PostgreSQL 17 names the NOT NULL of a domain too; the name it would choose itself says nothing.
            own["not_null_name"] = next(
                (one["name"] for one in row["constraints"] if one not in own["constraints"]), f"{row['name']}_not_null"
            )
            if own["not_null_name"] == f"{row['name']}_not_null":
                own["not_null_name"] = None
        found.objects[key] = {"kind": "type", "variety": variety, **common, **own}


def _read_sequences(connection: psycopg.Connection[Any], found: Objects, at: dict[_At, str]) -> None:
    for row in rows_of(connection, _SEQUENCES):
        at["pg_class", row.pop("oid")] = key = f"sequence {full_name(row['schema'], row['name'])}"
        schema, table, column = row.pop("owner_schema"), row.pop("owner_table"), row.pop("owner_column")
        row["owner"] = {"schema": schema, "name": table, "column": column} if table is not None else None
        row["identity"] = bool(row["identity"])
        found.objects[key] = {"kind": "sequence", **row}


def _read_functions(connection: psycopg.Connection[Any], found: Objects, at: dict[_At, str]) -> None:
    for row in rows_of(connection, _FUNCTIONS):
        kind = "procedure" if row["variety"] == "p" else "function"
        name = full_name(row["schema"], row["name"])
        at["pg_proc", row.pop("oid")] = key = f"{kind} {name}({row['arguments']})"
        if row.pop("variety") == "a":
            found.unheld.append(Thing(key, name, "aggregates are not held yet"))
        else:
            found.objects[key] = {"kind": kind, **row}


def _read_settings(connection: psycopg.Connection[Any], found: Objects) -> None:
    settings: list[str] = []
    for row in rows_of(connection, _SETTINGS):
        if row["role"]:
            key = f"setting {row['setting'].partition('=')[0]} of role {row['role']}"
            found.unheld.append(Thing(key, key, "settings of roles are not held yet"))
        else:
            settings.append(row["setting"])
    if settings:
        found.objects["settings"] = {"kind": "settings", "name": "settings", "settings": settings}


def _read_needs(connection: psycopg.Connection[Any], found: Objects, at: dict[_At, str]) -> None:
    """Fill `needs` and `uses` from pg_depend, with parts (defaults, constraints, indexes …) counted as their whole."""
    for row in rows_of(connection, _MEMBERS):
        at[row["class"], row["oid"]] = at["pg_extension", row["extension"]]
    wholes: dict[_At, tuple[_At, bool]] = {}
    for row in rows_of(connection, _PARTS_OF):
        wholes[row["class"], row["oid"]] = (row["whole"], row["whole_oid"]), row["late"]
    for row in rows_of(connection, _DEPENDENCIES):
        owner, late = _whole((row["class"], row["oid"]), at, wholes)
        needed, _ = _whole((row["needed_class"], row["needed"]), at, wholes)
        # A sequence owned by a column points back at its table; the ownership is said in the sequence itself.
        if owner and needed and owner != needed and not (owner.startswith("sequence ") and needed.startswith("table ")):
            (found.uses if late else found.needs).setdefault(owner, set()).add(needed)


def _whole(part: _At, at: dict[_At, str], wholes: dict[_At, tuple[_At, bool]]) -> tuple[str, bool]:
    late = False
    for _ in range(4):  # array → element → rowtype → table is the longest chain
        if part in at:
            return at[part], late
        if part not in wholes:
            break
        part, part_late = wholes[part]
        late = late or part_late
    return "", late
