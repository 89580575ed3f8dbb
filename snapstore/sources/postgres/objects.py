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

from snapstore.sources.postgres import large
from snapstore.sources.postgres.defaults import read_default_privileges
from snapstore.sources.postgres.depends import read_members, read_needs
from snapstore.sources.postgres.grants import read_grants
from snapstore.sources.postgres.leftovers import read_leftovers
from snapstore.sources.postgres.reach import read_out_of_reach
from snapstore.sources.postgres.tables import full_name, rows_of
from snapstore.sources.postgres.typedefs import read_types
from snapstore.sources.postgres.unheld import IN_A_USER_SCHEMA, NOT_OF_AN_EXTENSION, Thing, read_unheld
from snapstore.sources.postgres.written import read_written

__all__ = ["Objects", "Relation", "read_objects", "read_sequence_states"]


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view or other relation: enough to select it and to say why it is not held (`refusal`, or empty).

    `whole_oid` is the partitioned table it is a partition of.
    """

    id: str
    oid: int
    schema: str
    name: str
    kind: str
    refusal: str
    skipped: bool
    whole_oid: int | None = None


@dataclass(slots=True)
class Objects:
    """A database's objects by id, its relations by id, which of them this role cannot read and why, what is not held,
    and the needs between all of them.

    `needs` must be met before a thing can be made; `uses` before it is whole (its constraints, indexes, triggers,
    policies).
    """

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    relations: dict[str, Relation] = field(default_factory=dict)
    out_of_reach: dict[str, str] = field(default_factory=dict)
    unheld: list[Thing] = field(default_factory=list)
    needs: dict[str, set[str]] = field(default_factory=dict)
    uses: dict[str, set[str]] = field(default_factory=dict)


_COMMENT = "obj_description({1}.oid, '{0}') AS comment"

_RELATIONS = f"""
SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind, c.relpersistence AS persistence,
  am.amname AS method, am.amhandler = 'heap_tableam_handler'::regproc AS is_heap,
  (SELECT i.inhparent::int8 FROM pg_inherits i WHERE c.relispartition AND i.inhrelid = c.oid) AS whole
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

_SEQUENCES = f"""
SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name,
  -- before version 15 that of an identity column is logged, whatever its table is, and cannot be otherwise
  CASE WHEN d.deptype = 'i' AND current_setting('server_version_num')::int < 150000 THEN t.relpersistence
    ELSE c.relpersistence END AS persistence,
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
  p.prokind AS variety, pg_get_functiondef(p.oid) AS definition, {_COMMENT.format("pg_proc", "p")}
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.prokind <> 'a' AND {IN_A_USER_SCHEMA} AND {NOT_OF_AN_EXTENSION.format("pg_proc", "p")}
  -- the constructors that a range type brings with it depend on it internally
  AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_proc'::regclass AND i.objid = p.oid
    AND i.deptype = 'i')"""

_VIEWS = """
SELECT c.oid::int8 AS oid, pg_get_viewdef(c.oid) AS definition, c.relispopulated AS populated
FROM pg_class c WHERE c.oid = ANY(%s::oid[])"""

_SETTINGS = """
SELECT unnest(s.setconfig) AS setting FROM pg_db_role_setting s WHERE s.setrole = 0
AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1"""

_DATABASE = """
SELECT shobj_description(oid, 'pg_database') AS comment FROM pg_database WHERE datname = current_database()"""

_RELATION_KINDS = {"r": "table", "p": "table", "v": "view", "m": "materialized view", "f": "foreign table"}

_At = tuple[str, int]


def read_objects(connection: psycopg.Connection[Any]) -> Objects:
    """Everything in the database but the definitions of its tables. A dozen queries, whatever there is."""
    found, at = Objects(out_of_reach=read_out_of_reach(connection)), dict[_At, str]()
    _read_relations(connection, found, at)
    _read_large_objects(connection, found)
    _read_named(connection, found, at)
    for one in (*read_types(connection), *read_written(connection)):
        at[one.at] = one.id
        found.objects[one.id] = one.definition
    _read_sequences(connection, found, at)
    _read_functions(connection, found, at)
    read_members(connection, at)
    found.unheld += [*read_unheld(connection, at), *read_leftovers(connection, at)]
    _read_settings(connection, found)
    # There also where nobody was given anything: that is what a restore then makes so.
    found.objects["grants"] = {"kind": "grants", "name": "grants", "grants": read_grants(connection, at)}
    if grants := read_default_privileges(connection):
        name = "default privileges"
        found.objects[name] = {"kind": name, "name": name, "grants": grants}
    found.needs, found.uses = read_needs(connection, at)
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
        query = sql.SQL(" UNION ALL ").join(arms) + sql.SQL(" ORDER BY place")
        rows = rows_of(connection, query, again=False)  # a sequence may go with its table
        states.extend((row["last_value"], row["is_called"]) for row in rows)
    return states


def _read_relations(connection: psycopg.Connection[Any], found: Objects, at: dict[_At, str]) -> None:
    for row in rows_of(connection, _RELATIONS):
        kind = _RELATION_KINDS[row["kind"]]
        refusal, skipped = _refusal(row)
        name = full_name(row["schema"], row["name"])
        relation = Relation(
            f"{kind} {name}", row["oid"], row["schema"], row["name"], kind, refusal, skipped, row["whole"]
        )
        found.relations[relation.id] = relation
        at["pg_class", row["oid"]] = relation.id
    views = {one.oid: one for one in found.relations.values() if one.kind.endswith("view") and not one.refusal}
    for row in rows_of(connection, _VIEWS, (list(views),)):
        view = views[row["oid"]]
        found.objects[view.id] = {
            "kind": view.kind,
            "schema": view.schema,
            "name": view.name,
            "definition": row["definition"],
        }
        if view.kind == "materialized view":
            found.objects[view.id]["populated"] = row["populated"]


def _read_large_objects(connection: psycopg.Connection[Any], found: Objects) -> None:
    is_any, reason = large.read_state(connection)
    if is_any:
        key = large.LARGE_OBJECTS
        schema, _, name = key.removeprefix("table ").partition(".")
        found.relations[key] = Relation(key, 0, schema, name, "table", "", skipped=False)
    if reason:
        found.out_of_reach[large.LARGE_OBJECTS] = reason


def _refusal(row: dict[str, Any]) -> tuple[str, bool]:
    """Why a relation is not held (empty: it is), and whether it is skipped rather than refused."""
    if row["persistence"] == "t":
        return "it is temporary and ends with its session", True
    if row["kind"] == "f":
        return "it is a foreign table: its rows live elsewhere", True
    if row["kind"] in ("r", "m") and not row["is_heap"]:
        return f"tables under the access method {row['method']} are not held yet", False
    return "", False


def _read_named(connection: psycopg.Connection[Any], found: Objects, at: dict[_At, str]) -> None:
    for row in rows_of(connection, _SCHEMAS):
        at["pg_namespace", row.pop("oid")] = key = f"schema {row['name']}"
        found.objects[key] = {"kind": "schema", **row}
    for row in rows_of(connection, _EXTENSIONS):
        at["pg_extension", row.pop("oid")] = key = f"extension {row['name']}"
        found.objects[key] = {"kind": "extension", **row}


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
        del row["variety"]
        found.objects[key] = {"kind": kind, **row}


def _read_settings(connection: psycopg.Connection[Any], found: Objects) -> None:
    settings = [row["setting"] for row in rows_of(connection, _SETTINGS)]
    if settings:
        found.objects["settings"] = {"kind": "settings", "name": "settings", "settings": settings}
    [row] = rows_of(connection, _DATABASE)
    if row["comment"] is not None:
        found.objects["database"] = {"kind": "database", "name": "database", **row}
