"""Making what a database lacks: which objects and tables, in which order, before the rows or after.

    making = plan_making(definition, works, live, selection)
    for name in making.early: ...        # extensions, schemas, types, sequences, functions, tables
    for name in making.late: ...         # views and what leans on them: after rows and keys

What is live and differs from the snapshot is left as it is (a restore puts back rows, not schemas), unless a table
about to be made leans on a type that has changed: that is a `Conflict`. The module decides and executes single objects;
when is up to `snapstore.sources.postgres.target`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from snapstore.errors import Conflict, Unsupported
from snapstore.sources import Selection, Work
from snapstore.sources.patterns import fits
from snapstore.sources.postgres.choosing import VIEWS
from snapstore.sources.postgres.connection import execute_one
from snapstore.sources.postgres.ddl import comment_on, create_table
from snapstore.sources.postgres.objectddl import create_object
from snapstore.sources.postgres.objects import Objects
from snapstore.sources.postgres.order import closure, in_order
from snapstore.sources.postgres.tables import full_name, rows_of

__all__ = ["Making", "is_whole", "make_object", "make_table", "plan_making", "read_published", "views_over"]

Definition = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Making:
    """What to make, in order, as ids: before the rows, after them, and when nothing else is left to do.

    `meant` are the objects of the definition that this is about, made or live; `is_whole` that it is about all of them.
    `was_empty` and `live_settings` are the database's before.
    """

    early: tuple[str, ...]
    late: tuple[str, ...]
    last: tuple[str, ...]
    tables: Mapping[str, Work]
    meant: frozenset[str]
    is_whole: bool
    was_empty: bool
    live_settings: tuple[str, ...]

    def made(self, objects: Definition) -> dict[str, Definition]:
        """Everything this restore makes, with its definition."""
        made = {key: objects[key] for key in (*self.early, *self.late, *self.last) if key in objects}
        made |= {key: work.table.definition for key, work in self.tables.items()}
        for key, one in objects.items():
            if one["kind"] == "sequence" and one["identity"] and key in self.meant:
                owner = one["owner"]
                if f"table {full_name(owner['schema'], owner['name'])}" in self.tables:
                    made[key] = one
        if self.was_empty and "schema public" in objects:
            made["schema public"] = objects["schema public"]  # it is there in every new database
        return made


# What is no thing of its own to make: `snapstore.sources.postgres.finals` sees to these.
_FINALS = ("settings", "database", "grants", "default privileges")


def plan_making(
    definition: Definition,
    works: Sequence[Work],
    live: Objects,
    selection: Selection,
    *,
    privileges: bool = True,
    dropped: Collection[str] = (),
) -> Making:
    """What of `definition` and `works` the database lacks. Raises `Conflict` and `Unsupported` as the module says.

    Where the selection has every table of the definition, everything else in it is meant too (without any work the
    sequences of all tables, which go on where they stood); else only what the
    tables in `works` lean on, what was `dropped` for them, and what else the patterns fit.
    """
    objects: Definition = definition.get("objects", {})
    needs: Mapping[str, Collection[str]] = definition.get("needs", {})
    tables = {f"table {work.table.name}": work for work in works if not work.exists or work.recreate}
    meant = _meant(definition, works, selection, dropped) - (set() if privileges else {"grants", "default privileges"})
    lacking = {key for key in meant if key not in live.objects and objects[key]["kind"] not in _FINALS}
    lacking -= {key for key in lacking if _comes_with_a_table(objects[key], tables)}
    _check_types(objects, live, closure(tables, needs))
    written = [f"table {work.table.name}" for work in works if work.inserts or work.updates]
    _check_parts(objects, live, closure(written, needs))
    wanted = lacking | set(tables)
    order, cycles = in_order({key: [one for one in needs.get(key, ()) if one in wanted] for key in wanted})
    if cycles:
        pairs = ", ".join(f"{name} needs {needed}" for name, needed in cycles)
        raise Unsupported(f"these need each other, so none can be made first: {pairs}")
    # A view may lean on a primary key (GROUP BY), so views wait; what a new table leans on cannot.
    before = closure(tables, needs)
    views = {key for key in lacking if objects[key]["kind"] in ("view", "materialized view")}
    last = {key for key in lacking if objects[key]["kind"] == "event trigger"}
    late = {key for key in order if key not in before and closure([key], needs) & views}
    return Making(
        tuple(key for key in order if key not in late | last),
        tuple(key for key in order if key in late),
        tuple(key for key in order if key in last),
        tables,
        frozenset(meant),
        is_whole(definition, selection),
        not live.relations,
        tuple(live.objects.get("settings", {"settings": ()})["settings"]),
    )


def _meant(definition: Definition, works: Sequence[Work], selection: Selection, dropped: Collection[str]) -> set[str]:
    objects: Definition = definition.get("objects", {})

    def is_any(key: str, patterns: Sequence[str]) -> bool:
        name = (
            full_name(objects[key]["schema"], objects[key]["name"])
            if "schema" in objects[key]
            else objects[key]["name"]
        )
        return any(fits(pattern, name) for pattern in patterns)

    names = {work.table.name for work in works}
    if not is_whole(definition, selection):
        others = {"grants", "default privileges"} & set(objects)  # of which only those on what is made are given
        start = {*dropped, *(f"table {name}" for name in names)}
        relations = [key for key in objects if key.startswith(("view ", "materialized view ", "sequence "))]
        start |= {key for key in relations if is_any(key, selection.tables)}
        start |= {key for key, one in objects.items() if one["kind"] == "sequence" and _owner(one) in names}
        meant = closure(start, definition.get("needs", {}), definition.get("uses", {})) & set(objects) | others
    else:
        meant = {
            key
            for key, one in objects.items()
            if one["kind"] != "sequence" or not _owner(one) or _owner(one) in names or not works
        }
    return {key for key in meant if key in dropped or not is_any(key, selection.exclude)}


def is_whole(definition: Definition, selection: Selection) -> bool:
    """Whether the selection has every table of the definition."""
    return not selection.tables or all(
        any(fits(pattern, name) for pattern in selection.tables) for name in definition.get("tables", ())
    )


def _owner(sequence: Definition) -> str:
    owner = sequence["owner"]
    return full_name(owner["schema"], owner["name"]) if owner is not None else ""


def _comes_with_a_table(one: Definition, tables: Mapping[str, Work]) -> bool:
    """Whether an identity column makes this sequence, or had it in a live table that lacks it now."""
    if one["kind"] != "sequence" or not _owner(one):
        return False
    return bool(one["identity"]) or f"table {_owner(one)}" not in tables


def _check_types(objects: Definition, live: Objects, needed: Collection[str]) -> None:
    for key in sorted(needed):
        if key.startswith("type ") and key in objects and key in live.objects:
            told = {part: value for part, value in objects[key].items() if part != "comment"}
            there = {part: value for part, value in live.objects[key].items() if part != "comment"}
            if told != there:
                raise Conflict(
                    f"{key} is not what it was when the snapshot was taken, and a table to be made needs it",
                    hint="rename or drop the live type, or restore into another database",
                )


def _check_parts(objects: Definition, live: Objects, needed: Collection[str]) -> None:
    """Cells of these types have bytes in them and no names: those of other fields, or over another type, would be mixed
    up.
    """
    for key in sorted(needed):
        told, there = (_parts(one.get(key, {})) for one in (objects, live.objects))
        if told and there and told != there:
            raise Conflict(
                f"{key} is {there} and was {told} when the snapshot was taken, and rows to restore have cells of it",
                hint="make the live type what it was, or restore into another database",
            )


def _parts(one: Definition) -> str:
    """What a composite, a domain or a range is made of, in words; a length or dimension moves no cell."""
    if one.get("attributes") is not None:
        return "made of ({})".format(", ".join(f"{own['name']} {own['type']}" for own in one["attributes"]))
    if one.get("variety") == "domain":
        return "over " + _LENGTH.sub("", one["base"])
    return f"made by {one['statements'][0]}" if one.get("variety") == "range" else ""


_LENGTH = re.compile(r"\([0-9, -]*\)")


def views_over(live: Objects, tables: Collection[str], definition: Definition) -> dict[str, Definition]:
    """The live views over these tables, each before what it leans on; none where one of them would not come back: the
    server then says what stands in the way.
    """
    order, _ = in_order(live.needs)
    anew = {f"table {name}" for name in tables}
    views = [key for key in order if key.startswith(VIEWS) and closure([key], live.needs) & anew]
    is_held = all(key in definition.get("objects", {}) for key in views)
    return {key: live.objects[key] for key in reversed(views)} if is_held else {}


def read_published(connection: psycopg.Connection[Any], tables: Sequence[Definition]) -> list[str]:
    """The statements that add each of these tables to the publications it is listed in: to drop it ends that."""
    is_old = connection.info.server_version < 150_000  # which knows neither columns nor conditions there
    query = sql.SQL(
        """SELECT format('ALTER PUBLICATION %%I ADD TABLE ONLY %%I.%%I', p.pubname, n.nspname, c.relname) || {} AS made
        FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid JOIN pg_class c ON c.oid = r.prrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE (n.nspname, c.relname) IN (SELECT * FROM unnest(%s::name[], %s::name[])) ORDER BY 1"""
    ).format(sql.SQL("''" if is_old else _PUBLISHED))
    schemas, names = ([table[part] for table in tables] for part in ("schema", "name"))
    return [row["made"] for row in rows_of(connection, query, (schemas, names))]


_PUBLISHED = """
  coalesce((SELECT ' (' || string_agg(quote_ident(a.attname), ', ' ORDER BY k.place) || ')'
    FROM unnest(r.prattrs::int2[]) WITH ORDINALITY AS k(number, place)
    JOIN pg_attribute a ON a.attrelid = r.prrelid AND a.attnum = k.number), '')
  || coalesce(' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')', '')"""


def make_table(connection: psycopg.Connection[Any], table: Definition, objects: Definition) -> None:
    """Create a table; its identity columns get their sequences from the objects of the definition."""
    sequences = {}
    for one in objects.values():
        if one["kind"] == "sequence" and one["identity"]:
            owner = one["owner"]
            if (owner["schema"], owner["name"]) == (table["schema"], table["name"]):
                sequences[owner["column"]] = one
    for statement in create_table(table, sequences):
        execute_one(connection, statement)


def make_object(connection: psycopg.Connection[Any], one: Definition) -> None:
    """Create an object of the definition."""
    if one["kind"] == "extension":
        _make_extension(connection, one)
    else:
        for statement in create_object(one):
            execute_one(connection, statement)


def _make_extension(connection: psycopg.Connection[Any], one: Definition) -> None:
    """In the version it had, or the server's own if that is newer. Raises `Unsupported` where there is neither."""
    query = "SELECT version FROM pg_available_extension_versions WHERE name = %s"
    versions = {row["version"] for row in rows_of(connection, query, (one["name"],))}
    newer = [version for version in versions if _numbers(version) > _numbers(one["version"])]
    if one["version"] in versions:
        version = one["version"]
    elif newer:
        version = max(newer, key=_numbers)
    else:
        there = f"only {', '.join(sorted(versions, key=_numbers))}" if versions else "nothing of that name"
        raise Unsupported(
            f"the snapshot needs the extension {one['name']} {one['version']}, and this server has {there}",
            hint=f"install {one['name']} {one['version']} or newer on the server",
        )
    statement = sql.SQL("CREATE EXTENSION {} WITH SCHEMA {} VERSION {}")
    connection.execute(
        statement.format(sql.Identifier(one["name"]), sql.Identifier(one["in_schema"]), sql.Literal(version))
    )
    for comment in comment_on("extension", sql.Identifier(one["name"]), one["comment"]):
        connection.execute(comment)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
