"""The catalogue of a database: the selected tables and all that recreating them needs, as plain data.

    catalog = read_catalog(connection, Selection(tables=("public.*",)))
    [table.name for table in catalog.tables]      # referenced tables before referring ones
    catalog.definition["objects"]["extension vector"]["version"]

What snapstore cannot hold is refused by name, or with `Selection.partial` named in `Catalog.missing`; only what an
extension owns is left to the extension. Owners and tablespaces are facts of a machine and not part of a catalogue. It
reads no rows, but reads where sequences stand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from snapstore.errors import Invalid, Unsupported
from snapstore.rows import Column, KeyPart, Table
from snapstore.sources import Selection
from snapstore.sources.postgres import large
from snapstore.sources.postgres.choosing import Chosen, choose, refuse, spread
from snapstore.sources.postgres.grants import DATABASE, SYSTEM
from snapstore.sources.postgres.objects import Objects, Relation, read_objects, read_sequence_states
from snapstore.sources.postgres.order import in_order
from snapstore.sources.postgres.querying import all_at_once
from snapstore.sources.postgres.tables import Definition, full_name, read_definitions
from snapstore.sources.postgres.types import CONTENT_KEY, key_part, stored_column

__all__ = ["Catalog", "read_catalog", "table_of"]


@dataclass(frozen=True, slots=True)
class Catalog:
    """The selected tables, the database-wide definition, and what was left out (a name and the reason, for people).

    `definition` has `tables` (their names), `objects` (id → what makes it), and `needs` and `uses` (id → ids that come
    before it, and before it is whole). Ids are `kind schema.name`; tables have them too, but their definitions are in
    `Table.definition`.
    """

    tables: tuple[Table, ...]
    definition: Mapping[str, Any]
    missing: tuple[str, ...]


def read_catalog(connection: psycopg.Connection[Any], selection: Selection, *, absent: bool = False) -> Catalog:
    """What `selection` means in this database. About twenty queries, however many tables there are.

    Works in the transaction that is open (else in its own), and leaves `search_path` empty until it ends. Raises
    `Invalid` for a pattern, column or condition that fits nothing (not for patterns of tables when `absent` is set: a
    restore may name what is gone), and `Unsupported` with every selected thing that is not held.
    """
    with connection.transaction():
        # Empty, so that the server qualifies every name it writes that is not its own; SET LOCAL suits poolers.
        connection.execute("SELECT set_config('search_path', '', true)")
        with all_at_once(connection):
            found = read_objects(connection)
            chosen = choose(found, selection, absent)
            relations = [r for r in found.relations.values() if r.id in chosen.ids and not r.refusal]
            definitions = read_definitions(connection, [r.oid for r in relations if r.id != large.LARGE_OBJECTS])
            definitions |= {r.oid: large.definition() for r in relations if r.id == large.LARGE_OBJECTS}
            for relation in relations:
                if relation.kind == "view":
                    found.objects[relation.id].update(_of_a_view(definitions[relation.oid]))
                elif relation.kind == "materialized view":
                    found.objects[relation.id].update(_of_a_materialized_view(definitions[relation.oid]))
            tables = _tables(relations, definitions, selection, chosen, absent)
            _say_large_objects(found, chosen, tables.values(), selection)
            spread(found, chosen, is_there=selection.optional)
            refuse(chosen, selection)
            objects = {key: value for key, value in sorted(found.objects.items()) if key in chosen.ids}
            _narrow_grants(objects, chosen, selection)
            _read_states(connection, objects)
    tables = {key: table for key, table in tables.items() if key in chosen.ids}
    order = _table_order(tables, found)
    definition = {
        "objects": objects,
        "tables": sorted(table.name for table in tables.values()),
        "needs": _edges(found.needs, [*objects, *tables]),
        "uses": _edges(found.uses, [*objects, *tables]),
    }
    return Catalog(tuple(tables[key] for key in order), definition, tuple(sorted(chosen.missing)))


def _say_large_objects(found: Objects, chosen: Chosen, tables: Iterable[Table], selection: Selection) -> None:
    """They go with the whole database; where some tables alone are meant, whatever may refer to them is told."""
    key = large.LARGE_OBJECTS
    if key not in found.relations or key in chosen.ids | chosen.excluded | set(chosen.refused) or selection.optional:
        return
    columns = [
        f"{table.name}.{column['name']}"
        for table in tables
        for column in table.definition["columns"]
        if column["base_type"] == "pg_catalog.oid"
    ]
    if columns:
        chosen.skipped[key] = f"not asked for, and {columns[0]} may refer to large objects (--table pg_largeobject)"


def _tables(
    relations: list[Relation],
    definitions: Mapping[int, Definition],
    selection: Selection,
    chosen: Chosen,
    absent: bool,
) -> dict[str, Table]:
    """A `Table` for every selected table that can be held, by id; the others are added to `chosen.refused`."""
    left_out = set(selection.exclude_columns)
    tables: dict[str, Table] = {}
    for relation in relations:
        if relation.kind == "table":
            name = full_name(relation.schema, relation.name)
            mine = {column for column in left_out if column.startswith(f"{name}.")}
            columns = definitions[relation.oid]["columns"]
            if adopted := ", ".join(definitions[relation.oid].pop("adopted", ())):
                chosen.skipped[f"columns of {relation.id}"] = (
                    f"{adopted} came from its parents; they come back as its own"
                )
            left_out -= {column for column in mine if column[len(name) + 1 :] in {c["name"] for c in columns}}
            try:
                without = {column[len(name) + 1 :] for column in mine}
                without |= _others(name, definitions[relation.oid], selection, absent)
                tables[relation.id] = table_of(definitions[relation.oid], without, vectors=selection.vectors)
            except Unsupported as error:
                chosen.refuse(relation.id, error.message)
    held = {table.name for table in tables.values()}
    refused = {key.removeprefix("table ") for key in chosen.refused}
    for column in () if absent else sorted(left_out):
        if not any(column.startswith(f"{name}.") for name in refused):
            raise Invalid(f"there is no column {column} to leave out", hint="columns are written schema.table.column")
    for name in () if absent else sorted({*selection.where, *selection.columns}):
        if name not in held and name not in refused:
            raise Invalid(f"a condition or columns are given for {name}, which is not among the selected tables")
    return tables


def _others(name: str, definition: Definition, selection: Selection, absent: bool) -> set[str]:
    """The columns that are left out because only others are meant."""
    only = selection.columns.get(name)
    if only is None:
        return set()
    names = {column["name"] for column in definition["columns"]}
    for one in () if absent else sorted(set(only) - names):
        raise Invalid(f"there is no column {one} in {name}")
    return names - set(only) - {part.name for part in _key(definition)}


def table_of(definition: Definition, left_out: Collection[str] = (), *, vectors: bool = True) -> Table:
    """The table of this definition, without the cells of these columns (and of vectors, if so wished).

    Columns without cells are still in the definition, and named in its `left_out`.
    Raises `Unsupported` for a column that cannot be held, `Invalid` for a key left out.
    """
    name = full_name(definition["schema"], definition["name"])
    key = _key(definition)
    for column in sorted(set(left_out) & {part.name for part in key}):
        raise Invalid(f"{name}.{column} is part of the key and cannot be left out")
    in_key = {part.name for part in key if part.lossless}
    columns = tuple(
        _stored(column)
        for column in definition["columns"]
        if column["name"] not in in_key and column["name"] not in left_out and not column["generated"]
        if vectors or not _is_vector(column)
    )
    stored = in_key | {column.name for column in columns}
    gone = [
        column["name"] for column in definition["columns"] if column["name"] not in stored and not column["generated"]
    ]
    return Table(name, key, columns, {**definition, "left_out": gone} if gone else definition)


def _key(definition: Definition) -> tuple[KeyPart, ...]:
    """The primary key, else a unique index that has every row once, else the rows' content."""
    by_name = {column["name"]: column for column in definition["columns"]}
    found = next((one for one in definition["constraints"] if one["kind"] == "primary key"), definition.get("key"))
    if found is None:
        return CONTENT_KEY
    parts = []
    for name in found["columns"]:
        column = by_name[name]
        _check_type(column)
        parts.append(key_part(name, column["base_type"], form=column.get("form", "binary")))
    return tuple(parts)


def _stored(column: Definition) -> Column:
    _check_type(column)
    return stored_column(
        column["name"], column["base_type"], form=column.get("form", "binary"), extension=column["extension"]
    )


def _check_type(column: Definition) -> None:
    if why := column.get("refused"):
        raise Unsupported(
            f"column {column['name']} has the type {column['type']}, which cannot be held: {why}",
            hint=f"leave it out with --exclude-column TABLE.{column['name']}, or keep it as text or jsonb",
        )


def _is_vector(column: Definition) -> bool:
    kinds = ("vector", "halfvec", "sparsevec")
    return column["extension"] == "vector" and column["base_type"].rpartition(".")[2] in kinds


def _of_a_view(definition: Definition) -> Definition:
    """What a view has beyond its query: options, comments, defaults of columns, INSTEAD OF triggers."""
    columns = [
        {"name": column["name"], "default": column["default"], "comment": column["comment"]}
        for column in definition["columns"]
        if column["default"] is not None or column["comment"] is not None
    ]
    common = {part: definition[part] for part in ("options", "comment", "triggers")}
    if rules := definition.get("rules"):
        common["rules"] = rules
    return {**common, "columns": columns}


def _of_a_materialized_view(definition: Definition) -> Definition:
    """What a materialized view has beyond its query: what a table has about how it is stored and found."""
    parts = ("name", "storage", "compression", "statistics", "options", "comment")
    columns = [{part: column[part] for part in parts} for column in definition["columns"]]
    common = {part: definition[part] for part in ("options", "toast_options", "comment", "indexes", "statistics")}
    if "access_method" in definition:
        common["access_method"] = definition["access_method"]
    if definition["replica_identity"] in ("f", "n"):
        common["replica_identity"] = definition["replica_identity"]
    return {**common, "columns": [one for one in columns if any(one[part] for part in parts[1:])]}


def _read_states(connection: psycopg.Connection[Any], objects: dict[str, dict[str, Any]]) -> None:
    sequences = [key for key, one in objects.items() if one["kind"] == "sequence"]
    states = read_sequence_states(connection, [(objects[key]["schema"], objects[key]["name"]) for key in sequences])
    for key, (last_value, is_called) in zip(sequences, states, strict=True):
        objects[key] = {**objects[key], "state": [last_value, is_called]}


def _narrow_grants(objects: dict[str, dict[str, Any]], chosen: Chosen, selection: Selection) -> None:
    """Only privileges on what is held are told; those on the server's own with the whole database alone."""
    on = chosen.ids | (set() if selection.tables else {SYSTEM, DATABASE})
    if large.LARGE_OBJECTS in chosen.ids:
        on |= {one["on"] for one in objects.get("grants", {"grants": ()})["grants"] if large.is_object_id(one["on"])}
    for key in {"grants", "default privileges"} & set(objects):
        held = [
            one
            for one in objects[key]["grants"]
            if (one["on"] if key == "grants" else SYSTEM if one["schema"] is None else f"schema {one['schema']}") in on
        ]
        objects[key] = {**objects[key], "grants": held}


def _table_order(tables: Mapping[str, Table], found: Objects) -> list[str]:
    """Tables after those they refer to or are made of; within a cycle by name."""
    edges: dict[str, set[str]] = {key: set(found.needs.get(key, ())) for key in tables}
    for key, table in tables.items():
        for constraint in table.definition["constraints"]:
            if constraint["references"] is not None:
                edges[key].add(
                    f"table {full_name(constraint['references']['schema'], constraint['references']['name'])}"
                )
    return in_order(edges)[0]


def _edges(edges: Mapping[str, Collection[str]], keys: Iterable[str]) -> dict[str, list[str]]:
    return {key: sorted(edges[key]) for key in sorted(keys) if edges.get(key)}
