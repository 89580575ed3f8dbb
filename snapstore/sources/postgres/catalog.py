"""The catalogue of a database: the selected tables and all that recreating them needs, as plain data.

    catalog = read_catalog(connection, Selection(tables=("public.*",)))
    [table.name for table in catalog.tables]      # referenced tables before referring ones
    catalog.definition["objects"]["extension vector"]["version"]

What snapstore cannot hold is refused by name, or with `Selection.partial` named in `Catalog.missing`; only what an
extension owns is left to the extension. Owners and tablespaces are facts of a machine and not part of a catalogue. It
reads no rows, but reads where sequences stand.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from snapstore.errors import Invalid, Unsupported
from snapstore.rows import Column, KeyPart, Table
from snapstore.sources import Selection
from snapstore.sources.postgres.grants import SYSTEM
from snapstore.sources.postgres.objects import Objects, Relation, read_objects, read_sequence_states
from snapstore.sources.postgres.order import closure, in_order
from snapstore.sources.postgres.tables import Definition, full_name, read_definitions
from snapstore.sources.postgres.types import key_part, stored_column

__all__ = ["Catalog", "fits", "read_catalog", "table_of"]


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
        found = read_objects(connection)
        chosen = _choose(found, selection, absent)
        relations = [r for r in found.relations.values() if r.id in chosen.ids and not r.refusal]
        definitions = read_definitions(connection, [r.oid for r in relations])
        for relation in relations:
            if relation.kind == "view":
                found.objects[relation.id].update(_of_a_view(definitions[relation.oid]))
            elif relation.kind == "materialized view":
                found.objects[relation.id].update(_of_a_materialized_view(definitions[relation.oid]))
        tables = _tables(relations, definitions, selection, chosen, absent)
        _spread(found, chosen)
        _refuse(chosen, selection)
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


class _Chosen:
    """The ids that are meant and held, and what is meant and not held: refused (with why) or skipped with a word."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.refused: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self.excluded: set[str] = set()

    def refuse(self, key: str, reason: str) -> None:
        self.ids.discard(key)
        self.refused[key] = reason

    @property
    def missing(self) -> list[str]:
        return [f"{key}: {reason}" for key, reason in {**self.refused, **self.skipped}.items()]


def _choose(found: Objects, selection: Selection, absent: bool) -> _Chosen:
    """Selected relations and all other things that go with them, before the definitions of tables are looked at."""
    names = {relation.id: full_name(relation.schema, relation.name) for relation in found.relations.values()}
    for key, one in found.objects.items():
        names[key] = full_name(one["schema"], one["name"]) if "schema" in one else one["name"]
    unheld = {thing.id: thing.name for thing in found.unheld}
    chosen = _Chosen()
    chosen.excluded = _matching(selection.exclude, {**names, **unheld}, absent)
    relation_names = {key: name for key, name in names.items() if key.startswith(_RELATIONS)}
    if selection.tables:
        meant = _matching(selection.tables, relation_names, absent) - chosen.excluded
        chosen.ids = _with_needs(found, meant, chosen.excluded)
    else:
        meant = set(relation_names) - chosen.excluded
        chosen.ids = set(names) - chosen.excluded
        for thing in found.unheld:
            if thing.id not in chosen.excluded and not (thing.within and thing.within not in chosen.ids):
                (chosen.skipped if thing.skipped else chosen.refused)[thing.id] = thing.reason
    for thing in found.unheld:  # what is part of a selected relation (a rule, an index) is selected with it
        if thing.within in meant and thing.id not in chosen.excluded:
            chosen.refused[thing.id] = thing.reason
    for key in sorted(meant):
        relation = found.relations.get(key)
        if relation is not None and relation.refusal:
            chosen.refuse(key, relation.refusal)
            if relation.skipped:
                chosen.skipped[key] = chosen.refused.pop(key)
    return chosen


# How the ids begin that a pattern of tables reaches.
_RELATIONS = ("table ", "view ", "materialized view ", "foreign table ", "sequence ")


def _with_needs(found: Objects, meant: Collection[str], excluded: Collection[str]) -> set[str]:
    """What was asked for by name, with the objects it needs (functions, types, extensions …) and its own sequences.

    Other tables are not drawn in: where they are needed, `_spread` says so.
    """
    owned = set()
    for key, one in found.objects.items():
        if one["kind"] == "sequence" and _owner(one) in meant:
            owned.add(key)
    reached = closure([*meant, *owned], _between_others(found, found.needs), _between_others(found, found.uses))
    reached |= {"grants"} & set(found.objects)
    others = {key for key in reached if key in found.objects and key not in found.relations}
    return (set(meant) | others) - set(excluded)


def _owner(sequence: Mapping[str, Any]) -> str:
    """The id of the table whose column owns this sequence, or nothing."""
    owner = sequence["owner"]
    return "" if owner is None else f"table {full_name(owner['schema'], owner['name'])}"


def _between_others(found: Objects, edges: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    return {key: [needed for needed in needs if needed not in found.relations] for key, needs in edges.items()}


def _matching(patterns: Iterable[str], names: Mapping[str, str], absent: bool) -> set[str]:
    """The ids whose names fit one of the patterns; `Invalid` for a pattern that fits none."""
    matched: set[str] = set()
    for pattern in patterns:
        ids = {key for key, name in names.items() if fits(pattern, name)}
        if not ids and not absent:
            raise Invalid(
                f"nothing in this database fits the pattern {pattern!r}",
                hint="patterns are schema.table, may use * and ?, and mind capitals; without a dot they fit any schema",
            )
        matched |= ids
    return matched


def fits(pattern: str, name: str) -> bool:
    """Whether a name (`schema.name`, or one without a schema) fits a pattern with `*` and `?`.

    A pattern without a dot means the part after the schema, whatever the schema.
    """
    whole = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    if "." not in pattern:
        name = re.sub(r'^("([^"]|"")*"|[^."]*)\.(?=.)', "", name)
    return re.fullmatch(whole, name, re.DOTALL) is not None


def _tables(
    relations: list[Relation],
    definitions: Mapping[int, Definition],
    selection: Selection,
    chosen: _Chosen,
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
            left_out -= {column for column in mine if column[len(name) + 1 :] in {c["name"] for c in columns}}
            try:
                without = {column[len(name) + 1 :] for column in mine}
                tables[relation.id] = table_of(definitions[relation.oid], without, vectors=selection.vectors)
            except Unsupported as error:
                chosen.refuse(relation.id, error.message)
    held = {table.name for table in tables.values()}
    refused = {key.removeprefix("table ") for key in chosen.refused}
    for column in () if absent else sorted(left_out):
        if not any(column.startswith(f"{name}.") for name in refused):
            raise Invalid(f"there is no column {column} to leave out", hint="columns are written schema.table.column")
    for name in () if absent else sorted(selection.where):
        if name not in held and name not in refused:
            raise Invalid(f"a condition is given for {name}, which is not among the selected tables")
    return tables


def table_of(definition: Definition, left_out: Collection[str] = (), *, vectors: bool = True) -> Table:
    """The table of this definition, without the cells of these columns (and of vectors, if so wished).

    Columns without cells are still in the definition, and named in its `left_out`.
    Raises `Unsupported` for a table without a primary key or with a column that cannot be held, `Invalid` for a key
    left out.
    """
    name = full_name(definition["schema"], definition["name"])
    by_name = {column["name"]: column for column in definition["columns"]}
    primary = next((one for one in definition["constraints"] if one["kind"] == "primary key"), None)
    if primary is None:
        raise Unsupported("it has no primary key, and tables without one are not held yet")
    key = tuple(_key_part(by_name[column]) for column in primary["columns"])
    for column in sorted(set(left_out) & {part.name for part in key}):
        raise Invalid(f"{name}.{column} is part of the primary key and cannot be left out")
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


def _stored(column: Definition) -> Column:
    return stored_column(
        column["name"],
        column["base_type"],
        column["type"],
        kind=column["base_kind"],
        element=column["element"],
        has_send=column["send"] is not None,
        extension=column["extension"],
    )


def _key_part(column: Definition) -> KeyPart:
    return key_part(
        column["name"],
        column["base_type"],
        column["type"],
        kind=column["base_kind"],
        element=column["element"],
        has_send=column["send"] is not None,
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
    common = {part: definition[part] for part in ("options", "comment", "triggers", "rules")}
    return {**common, "columns": columns}


def _of_a_materialized_view(definition: Definition) -> Definition:
    """What a materialized view has beyond its query: what a table has about how it is stored and found."""
    parts = ("name", "storage", "compression", "statistics", "options", "comment")
    columns = [{part: column[part] for part in parts} for column in definition["columns"]]
    common = {part: definition[part] for part in ("options", "toast_options", "comment", "indexes", "statistics")}
    return {**common, "columns": [one for one in columns if any(one[part] for part in parts[1:])]}


def _spread(found: Objects, chosen: _Chosen) -> None:
    """Whatever needs something that is left out cannot be made again: refuse it too, and so on."""
    changed = True
    while changed:
        changed = False
        for key in sorted(chosen.ids):
            needed = found.needs.get(key, set()) | {
                one for one in found.uses.get(key, ()) if not one.startswith("table ")
            }
            lacking = sorted(one for one in needed if one not in chosen.ids)
            if lacking:
                chosen.refuse(key, f"it needs {lacking[0]}, which is left out")
                changed = True
    for key, one in found.objects.items():
        if one["kind"] == "sequence" and _owner(one) and _owner(one) not in chosen.ids:
            chosen.ids.discard(key)  # it comes and goes with its table, which is named already


def _refuse(chosen: _Chosen, selection: Selection) -> None:
    if chosen.refused and not selection.partial:
        lines = "\n".join(f"  {key}: {reason}" for key, reason in sorted(chosen.refused.items()))
        count = len(chosen.refused)
        raise Unsupported(
            f"{count} thing{'s' if count > 1 else ''} in this database cannot be held:\n{lines}",
            hint="leave each out with --exclude NAME, or take the rest and name these as missing: --allow-partial",
        )


def _read_states(connection: psycopg.Connection[Any], objects: dict[str, dict[str, Any]]) -> None:
    sequences = [key for key, one in objects.items() if one["kind"] == "sequence"]
    states = read_sequence_states(connection, [(objects[key]["schema"], objects[key]["name"]) for key in sequences])
    for key, (last_value, is_called) in zip(sequences, states, strict=True):
        objects[key] = {**objects[key], "state": [last_value, is_called]}


def _narrow_grants(objects: dict[str, dict[str, Any]], chosen: _Chosen, selection: Selection) -> None:
    """Only privileges on what is held are told; those on the server's own with the whole database alone."""
    if not selection.privileges:
        objects.pop("grants", None)
        objects.pop("default privileges", None)
    on = chosen.ids | (set() if selection.tables else {SYSTEM})
    for key in {"grants", "default privileges"} & set(objects):
        held = [
            one
            for one in objects[key]["grants"]
            if (one["on"] in on if key == "grants" else one["schema"] is None or f"schema {one['schema']}" in on)
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
