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
from snapstore.sources.postgres.catalog import fits
from snapstore.sources.postgres.ddl import create_object, create_table, relation
from snapstore.sources.postgres.objects import Objects, read_sequence_states
from snapstore.sources.postgres.order import closure, in_order
from snapstore.sources.postgres.tables import full_name, rows_of

__all__ = ["Making", "is_whole", "make_object", "make_table", "plan_making", "set_sequence", "set_settings"]

Definition = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Making:
    """What to make, in order, as ids. `meant` are the objects of the definition that this is about, made or live."""

    early: tuple[str, ...]
    late: tuple[str, ...]
    tables: Mapping[str, Work]
    meant: frozenset[str]


def plan_making(definition: Definition, works: Sequence[Work], live: Objects, selection: Selection) -> Making:
    """What of `definition` and `works` the database lacks. Raises `Conflict` and `Unsupported` as the module says.

    Where the selection has every table of the definition, everything else in it is meant too; else only what the
    tables in `works` lean on, and what else the patterns fit.
    """
    objects: Definition = definition.get("objects", {})
    needs: Mapping[str, Collection[str]] = definition.get("needs", {})
    tables = {f"table {work.table.name}": work for work in works if not work.exists or work.recreate}
    meant = _meant(definition, works, selection)
    lacking = {key for key in meant if key not in live.objects and objects[key]["kind"] not in ("settings", "grants")}
    lacking -= {key for key in lacking if _comes_with_a_table(objects[key], tables)}
    _check_types(objects, live, closure(tables, needs))
    wanted = lacking | set(tables)
    order, cycles = in_order({key: [one for one in needs.get(key, ()) if one in wanted] for key in wanted})
    if cycles:
        pairs = ", ".join(f"{name} needs {needed}" for name, needed in cycles)
        raise Unsupported(f"these need each other, so none can be made first: {pairs}")
    # A view may lean on a primary key (GROUP BY), so views wait; what a new table leans on cannot.
    before = closure(tables, needs)
    views = {key for key in lacking if objects[key]["kind"] == "view"}
    late = {key for key in order if key not in before and closure([key], needs) & views}
    return Making(
        tuple(key for key in order if key not in late),
        tuple(key for key in order if key in late),
        tables,
        frozenset(meant),
    )


def _meant(definition: Definition, works: Sequence[Work], selection: Selection) -> set[str]:
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
        others = {"grants"} & set(objects)
        start = {f"table {name}" for name in names}
        start |= {key for key in objects if key.split(" ")[0] in ("view", "sequence") and is_any(key, selection.tables)}
        start |= {key for key, one in objects.items() if one["kind"] == "sequence" and _owner(one) in names}
        meant = closure(start, definition.get("needs", {}), definition.get("uses", {})) & set(objects) | others
    else:
        meant = {
            key for key, one in objects.items() if one["kind"] != "sequence" or not _owner(one) or _owner(one) in names
        }
    return {key for key in meant if not is_any(key, selection.exclude)}


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


def make_table(connection: psycopg.Connection[Any], table: Definition, objects: Definition) -> None:
    """Create a table; its identity columns get their sequences from the objects of the definition."""
    sequences = {}
    for one in objects.values():
        if one["kind"] == "sequence" and one["identity"]:
            owner = one["owner"]
            if (owner["schema"], owner["name"]) == (table["schema"], table["name"]):
                sequences[owner["column"]] = one
    for statement in create_table(table, sequences):
        connection.execute(statement)


def make_object(connection: psycopg.Connection[Any], one: Definition) -> None:
    """Create an object of the definition."""
    if one["kind"] == "extension":
        _make_extension(connection, one)
    else:
        for statement in create_object(one):
            connection.execute(statement)


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


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def set_sequence(connection: psycopg.Connection[Any], one: Definition, *, made: bool) -> None:
    """Put a sequence where the snapshot has it: exactly if this restore made it, else only forward.

    `setval` outlives a rollback, and a sequence of a live database may have been drawn from since: going back would
    hand out a value twice. Where it has to move the sequence is locked first (by an ALTER that changes nothing), so
    that nobody draws from it between the look and the move.
    """
    name = (one["schema"], one["name"])
    last_value, is_called = one["state"]
    if not made:
        if not _is_behind(connection, one):
            return
        connection.execute(
            sql.SQL("ALTER SEQUENCE {} CACHE {}").format(relation(one), sql.Literal(_cache(connection, one)))
        )
        if not _is_behind(connection, one):
            return
    statement = sql.SQL("SELECT setval({}::regclass, {}, {})")
    qualified = sql.Identifier(*name).as_string(connection)
    connection.execute(statement.format(sql.Literal(qualified), sql.Literal(last_value), sql.Literal(is_called)))


def _is_behind(connection: psycopg.Connection[Any], one: Definition) -> bool:
    """Whether the next value of the live sequence comes before the next one in the snapshot."""
    [(live_value, live_called)] = read_sequence_states(connection, [(one["schema"], one["name"])])
    last_value, is_called = one["state"]
    down = one["increment"] < 0
    live, told = (live_value, live_called), (last_value, is_called)
    return told < live if down and told[0] != live[0] else live < told


def _cache(connection: psycopg.Connection[Any], one: Definition) -> int:
    query = "SELECT seqcache AS cache FROM pg_sequence WHERE seqrelid = %s::regclass"
    [row] = rows_of(connection, query, (relation(one).as_string(connection),))
    return int(row["cache"])


def set_settings(connection: psycopg.Connection[Any], one: Definition, live: Definition | None) -> None:
    """Settings of the database (ALTER DATABASE … SET) that it lacks. One it has is left as it is."""
    has = {setting.partition("=")[0] for setting in (live or {}).get("settings", ())}
    [row] = rows_of(connection, "SELECT current_database() AS name")
    for setting in one["settings"]:
        name, _, value = setting.partition("=")
        if name not in has:
            # FROM CURRENT takes lists such as search_path as they are; the server alone knows which settings are lists.
            query = "SELECT current_setting(%s, true) AS before, set_config(%s, %s, true)"
            [before] = rows_of(connection, query, (name, name, value))
            statement = sql.SQL("ALTER DATABASE {} SET {} FROM CURRENT")
            connection.execute(statement.format(sql.Identifier(row["name"]), sql.Identifier(*name.split("."))))
            connection.execute("SELECT set_config(%s, %s, true)", (name, before["before"] or ""))
