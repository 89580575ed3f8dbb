"""The definitions of tables, read for many tables at once: what CREATE TABLE and its followers must say.

    definitions = read_definitions(connection, [oid for oid, ...])
    definitions[oid]["columns"][0]["type"]    # 'integer', 'public.vector(384)'

A definition is plain data and the same on every machine with this schema: no OIDs, no owners, no tablespaces, no
statistics, no state of a sequence. Expressions and bodies are the server's own text (`pg_get_expr`, `pg_get_…def`),
which is qualified throughout because `search_path` is empty (`snapstore.sources.postgres.catalog` sees to that). Fields
that only newer servers have are asked for through `to_jsonb`, so one query serves them all.

It knows nothing of selections, cells or what to do with a definition (`snapstore.sources.postgres.ddl` does).
"""

# ruff: noqa: S608  # every query is put together from constants of this module
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from snapstore.errors import Unsupported
from snapstore.sources.postgres.forms import Types, read_types
from snapstore.sources.postgres.lineage import settle
from snapstore.sources.postgres.querying import full_name, rows_of

__all__ = ["Definition", "full_name", "read_definitions", "rows_of"]

Definition = dict[str, Any]

_RELATIONS = """
SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relpersistence AS persistence,
  am.amname AS access_method, c.reloptions AS options, toast.reloptions AS toast_options,
  c.relreplident AS replica_identity,
  c.relrowsecurity AS row_security, c.relforcerowsecurity AS force_row_security,
  obj_description(c.oid, 'pg_class') AS comment,
  CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END AS partition_key,
  CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END AS bound,
  coalesce((SELECT json_agg(json_build_object('schema', pn.nspname, 'name', p.relname) ORDER BY i.inhseqno)
    FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
    WHERE i.inhrelid = c.oid), '[]') AS parents,
  CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END AS of_type
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_class toast ON toast.oid = c.reltoastrelid
LEFT JOIN pg_am am ON am.oid = c.relam AND am.amname <> 'heap'
WHERE c.oid = ANY(%s::oid[])"""

_COLUMNS = """
WITH RECURSIVE domains(domain, base) AS (
  SELECT oid, typbasetype FROM pg_type WHERE typtype = 'd'
  UNION ALL
  SELECT domains.domain, t.typbasetype FROM domains JOIN pg_type t ON t.oid = domains.base WHERE t.typtype = 'd'
)
SELECT a.attrelid::int8 AS relation, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
  a.atttypid::int8 AS type_oid, bn.nspname AS base_schema, b.typname AS base_name, b.typtype AS base_kind,
  en.nspname AS element_schema, element.typname AS element_name,
  nullif(b.typsend, 0)::regproc::text AS send, extension.extname AS extension,
  a.attnotnull AS not_null, nn.conname AS not_null_name, to_jsonb(nn)->>'convalidated' AS not_null_valid,
  coalesce(nn.connoinherit, false) AS not_null_no_inherit, obj_description(nn.oid, 'pg_constraint') AS not_null_comment,
  NOT a.attislocal AS inherited, to_jsonb(nn)->>'conislocal' = 'true' AS not_null_local,
  a.attidentity AS identity, a.attgenerated AS generated,
  pg_get_expr(d.adbin, d.adrelid) AS expression,
  CASE WHEN a.attcollation <> t.typcollation AND a.attcollation <> 0
    THEN quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END AS collation,
  CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage END AS storage,
  nullif(to_jsonb(a)->>'attcompression', '') AS compression,
  nullif(a.attstattarget, -1) AS statistics, a.attoptions AS options,
  col_description(a.attrelid, a.attnum) AS comment
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN domains ON domains.domain = t.oid
  AND NOT EXISTS (SELECT FROM pg_type deeper WHERE deeper.oid = domains.base AND deeper.typtype = 'd')
JOIN pg_type b ON b.oid = coalesce(domains.base, t.oid)
JOIN pg_namespace bn ON bn.oid = b.typnamespace
LEFT JOIN pg_type element ON element.oid = b.typelem AND b.typcategory = 'A'
LEFT JOIN pg_depend bd ON bd.classid = 'pg_type'::regclass AND bd.objid = b.oid AND bd.deptype = 'e'
LEFT JOIN pg_extension extension ON extension.oid = bd.refobjid
LEFT JOIN pg_namespace en ON en.oid = element.typnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_collation co ON co.oid = a.attcollation
LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
LEFT JOIN pg_constraint nn ON nn.conrelid = a.attrelid AND nn.contype = 'n' AND nn.conkey = ARRAY[a.attnum]
WHERE a.attrelid = ANY(%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum"""

# The index of a partitioned table that an index of a partition belongs to.
_ATTACH = """(SELECT json_build_object('schema', pn.nspname, 'name', p.relname)
  FROM pg_inherits up JOIN pg_class p ON p.oid = up.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
  WHERE up.inhrelid = {})"""

_CONSTRAINTS = f"""
SELECT c.conrelid::int8 AS relation, c.conname AS name, c.contype AS kind, pg_get_constraintdef(c.oid) AS definition,
  ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k(number, place)
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY place) AS columns,
  rn.nspname AS other_schema, rc.relname AS other_name,
  ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY AS k(number, place)
    JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number ORDER BY place) AS other_columns,
  i.indisclustered AS clustered, i.indisreplident AS replica_identity,
  obj_description(c.oid, 'pg_constraint') AS comment, c.contype = 'c' AND NOT c.conislocal AS inherited,
  CASE WHEN c.contype IN ('p', 'u', 'x') THEN {_ATTACH.format("c.conindid")} END AS attach
FROM pg_constraint c
LEFT JOIN pg_class rc ON rc.oid = c.confrelid LEFT JOIN pg_namespace rn ON rn.oid = rc.relnamespace
LEFT JOIN pg_index i ON i.indexrelid = c.conindid AND i.indrelid = c.conrelid AND c.contype IN ('p', 'u', 'x')
WHERE c.conrelid = ANY(%s::oid[]) AND c.contype IN ('p', 'u', 'x', 'c', 'f')
  -- the foreign keys that partitions have from above come with those
  AND NOT (c.contype = 'f' AND c.conparentid <> 0)
ORDER BY c.conrelid, c.contype, c.conname"""

_INDEXES = f"""
SELECT i.indrelid::int8 AS relation, c.relname AS name, n.nspname AS schema, m.amname AS method,
  pg_get_indexdef(i.indexrelid) AS definition,
  i.indisunique AS is_unique, i.indisclustered AS clustered, i.indisreplident AS replica_identity,
  c.reloptions AS options, con.conname AS constraint, obj_description(c.oid, 'pg_class') AS comment,
  {_ATTACH.format("c.oid")} AS attach,
  -- pg_depend knows the columns of expressions and predicates too, but not always those of a constraint's index
  ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum > 0
    AND (a.attnum = ANY(i.indkey) OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
      AND d.objid = i.indexrelid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid
      AND d.refobjsubid = a.attnum)) ORDER BY a.attnum) AS columns,
  ARRAY(SELECT ARRAY[a.attnum::int4, a.attstattarget::int4] FROM pg_attribute a WHERE a.attrelid = i.indexrelid
    AND a.attstattarget >= 0 ORDER BY a.attnum) AS statistics
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_am m ON m.oid = c.relam
LEFT JOIN pg_constraint con ON con.conindid = i.indexrelid AND con.conrelid = i.indrelid
  AND con.contype IN ('p', 'u', 'x')
WHERE i.indrelid = ANY(%s::oid[]) AND (i.indisvalid OR c.relkind = 'I')  -- not yet on every partition
ORDER BY i.indrelid, c.relname"""

_TRIGGERS = """
SELECT t.tgrelid::int8 AS relation, t.tgname AS name, pg_get_triggerdef(t.oid) AS definition, t.tgenabled AS enabled,
  obj_description(t.oid, 'pg_trigger') AS comment, t.tgparentid <> 0 AS inherited
FROM pg_trigger t WHERE t.tgrelid = ANY(%s::oid[])
  -- before version 15 those that a partition has from above count as internal
  AND (NOT t.tgisinternal OR (t.tgparentid <> 0 AND t.tgconstraint = 0)) ORDER BY t.tgrelid, t.tgname"""

_RULES = """
SELECT r.ev_class::int8 AS relation, r.rulename AS name, pg_get_ruledef(r.oid) AS definition, r.ev_enabled AS enabled,
  obj_description(r.oid, 'pg_rewrite') AS comment
FROM pg_rewrite r WHERE r.ev_class = ANY(%s::oid[]) AND r.rulename <> '_RETURN' ORDER BY r.ev_class, r.rulename"""

_POLICIES = """
SELECT p.polrelid::int8 AS relation, p.polname AS name, p.polcmd AS command, p.polpermissive AS permissive,
  ARRAY(SELECT coalesce(r.rolname::text, '') FROM unnest(p.polroles) AS role(oid)
    LEFT JOIN pg_roles r ON r.oid = role.oid ORDER BY 1) AS roles,
  pg_get_expr(p.polqual, p.polrelid) AS using, pg_get_expr(p.polwithcheck, p.polrelid) AS check,
  obj_description(p.oid, 'pg_policy') AS comment
FROM pg_policy p WHERE p.polrelid = ANY(%s::oid[]) ORDER BY p.polrelid, p.polname"""

_STATISTICS = """
SELECT s.stxrelid::int8 AS relation, n.nspname AS schema, s.stxname AS name,
  pg_get_statisticsobjdef(s.oid) AS definition, nullif(s.stxstattarget, -1) AS target,
  obj_description(s.oid, 'pg_statistic_ext') AS comment
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
WHERE s.stxrelid = ANY(%s::oid[]) ORDER BY s.stxrelid, n.nspname, s.stxname"""

# What can serve as a key: it has every row once, at every moment, and the default equality of its types. Rows are found
# again by the equality of their columns: where a nondeterministic collation makes that coarser than the index's, one
# key would find several rows. The one of fewest columns first, then by name.
_KEYS = """
SELECT i.indrelid::int8 AS relation, c.relname AS index,
  ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
    WHERE place <= i.indnkeyatts ORDER BY place) AS columns
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam AND m.amname = 'btree'
WHERE i.indrelid = ANY(%s::oid[]) AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL
  AND NOT EXISTS (SELECT FROM pg_index p WHERE p.indrelid = i.indrelid AND p.indisprimary)
  AND NOT EXISTS (
    SELECT FROM unnest(i.indkey::int2[], i.indclass::oid[], i.indcollation::oid[])
      WITH ORDINALITY AS k(number, class, collation_oid, place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
    LEFT JOIN pg_opclass o ON o.oid = k.class LEFT JOIN pg_collation co ON co.oid = a.attcollation
    WHERE place <= i.indnkeyatts AND NOT (a.attnotnull AND o.opcdefault
      AND (k.collation_oid = a.attcollation OR co.collisdeterministic)
      AND NOT EXISTS (SELECT FROM pg_constraint nn WHERE nn.conrelid = i.indrelid AND nn.contype = 'n'
        AND nn.conkey = ARRAY[a.attnum] AND to_jsonb(nn)->>'convalidated' = 'false')))
ORDER BY i.indrelid, i.indnkeyatts, c.relname"""

# The keys of a definition that hold lists, and where each list comes from.
_PARTS = {
    "columns": _COLUMNS,
    "constraints": _CONSTRAINTS,
    "indexes": _INDEXES,
    "triggers": _TRIGGERS,
    "rules": _RULES,
    "policies": _POLICIES,
    "statistics": _STATISTICS,
}


def read_definitions(connection: psycopg.Connection[Any], oids: Sequence[int]) -> dict[int, Definition]:
    """The definition of each of these tables or views, by its OID. Ten queries, however many tables.

    Lists are in attribute order (columns) or in order of name. `columns[].base_type`, `base_kind`, `send`, `element`
    and `extension` describe the type beneath domains; `form` says how cells are held where that is not as they are, and
    `refused` why they cannot be. `indexes` leaves out those that a constraint owns. `key` is the unique index that
    serves as the key of a table without a primary key.
    """
    wanted = list(oids)
    definitions: dict[int, Definition] = {}
    for row in rows_of(connection, _RELATIONS, (wanted,)):
        oid = row.pop("oid")
        definitions[oid] = {**row, **{part: [] for part in _PARTS}}
    types = read_types(connection, wanted)
    for part, query in _PARTS.items():
        for row in rows_of(connection, query, (wanted,)):
            if part == "columns":
                _say_form(row, types)
            definitions[row.pop("relation")][part].append(_shape(part, row))
    for row in rows_of(connection, _KEYS, (wanted,)):
        definitions[row["relation"]].setdefault("key", {"index": row["index"], "columns": row["columns"]})
    settle(definitions.values())
    for definition in definitions.values():
        _settle(definition)
        if not definition["rules"]:
            del definition["rules"]  # so that the roots of tables without any are what they were before rules were held
    return definitions


def _say_form(column: Definition, types: Types) -> None:
    """`form` or `refused`, where cells are not held as the server sends them."""
    oid = column.pop("type_oid")
    try:
        form = types.form(oid)
    except Unsupported as error:
        column["refused"] = error.message
        return
    if form.kind != "binary":
        column["form"] = form.kind
    column["spelled"] = form.spelled


def _shape(part: str, row: Definition) -> Definition:
    if part == "columns":
        schema, name = row.pop("base_schema"), row.pop("base_name")
        row["base_type"] = row.pop("spelled", None) or full_name(schema, name)
        schema, name = row.pop("element_schema"), row.pop("element_name")
        row["element"] = full_name(schema, name) if name is not None else None
        expression, generated = row.pop("expression"), row.pop("generated")
        row["default"] = None if generated else expression
        row["generated"] = {"kind": _GENERATED[generated], "expression": expression} if generated else None
        row["identity"] = _IDENTITY[row["identity"]]
        row["not_null_valid"] = row["not_null_valid"] != "false"
        row["options"] = [one for one in row["options"] or () if not one.startswith(_VERSION)] or None
        return row
    if part == "constraints":
        schema, name, columns = row.pop("other_schema"), row.pop("other_name"), row.pop("other_columns")
        row["references"] = {"schema": schema, "name": name, "columns": columns} if row["kind"] == "f" else None
        row["kind"] = _CONSTRAINT_KINDS[row["kind"]]
    return row


# Servers since 2026 note here when a column came to be (pg_attribute.h, ATTRIBUTE_VERSION_ATTOPTION): a fact of the
# machine, which pg_dump leaves out and ALTER COLUMN SET does not take.
_VERSION = "pg_attver="
_GENERATED = {"s": "stored", "v": "virtual"}
_IDENTITY = {"": None, "a": "always", "d": "by default"}
_CONSTRAINT_KINDS = {"p": "primary key", "u": "unique", "x": "exclusion", "c": "check", "f": "foreign key"}


def _settle(definition: Definition) -> None:
    """What depends on the whole table: default names of NOT NULL constraints, and indexes that a constraint owns."""
    for column in definition["columns"]:
        # PostgreSQL 18 names NOT NULL constraints; the name it would choose itself says nothing (as in pg_dump).
        if column["not_null_name"] == f"{definition['name']}_{column['name']}_not_null":
            column["not_null_name"] = None
    owned = {index["constraint"]: index for index in definition["indexes"] if index["constraint"]}
    for constraint in definition["constraints"]:
        index = owned.get(constraint["name"]) if constraint["kind"] in ("primary key", "unique", "exclusion") else None
        constraint["index_columns"] = index["columns"] if index else []
        constraint["index_statistics"] = index["statistics"] if index else []
        constraint["index_comment"] = index["comment"] if index else None
        constraint["index_options"] = index["options"] or [] if index else []
    definition["indexes"] = [index for index in definition["indexes"] if not index["constraint"]]
    for index in definition["indexes"]:
        del index["constraint"], index["options"]  # the definition says the options
