"""What comes last in a restore: where sequences stand, rows of materialized views, privileges, the database's settings.

    check_all_roles(connection, objects, making, privileges=True)       # before anything is touched
    ...
    refresh_views(connection, objects, making)
    set_sequences(connection, objects, making)
    give_privileges(connection, objects, making)
    set_settings(connection, objects, making)

Each knows what this restore made and what was there before, and leaves what was there as it is. When they run is the
business of `snapstore.sources.postgres.target`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from snapstore.errors import Invalid
from snapstore.sources.postgres.connection import explained
from snapstore.sources.postgres.ddl import comment_on, relation
from snapstore.sources.postgres.defaults import give_default_privileges
from snapstore.sources.postgres.grants import DATABASE, SYSTEM, Grant, check_roles, give_grants
from snapstore.sources.postgres.large import LargeObjects, is_object_id
from snapstore.sources.postgres.making import Making
from snapstore.sources.postgres.objectddl import own_sequence, refresh
from snapstore.sources.postgres.objects import read_objects, read_sequence_states
from snapstore.sources.postgres.tables import full_name, rows_of

__all__ = ["check_all_roles", "describe_database", "give_privileges", "refresh_views", "set_sequences", "set_settings"]

Definition = Mapping[str, Any]
_GRANTS, _DEFAULTS = "grants", "default privileges"


def check_all_roles(
    connection: psycopg.Connection[Any], objects: Definition, making: Making, *, makes_large_objects: bool
) -> None:
    """Raise `Unsupported` naming the roles that privileges and policies of what is made need and the server lacks."""
    hint = "create them first (CREATE ROLE), or leave privileges out: --no-privileges"
    grants = _grants(objects, making)
    if makes_large_objects:
        grants += [one for one in _all_grants(objects, making) if is_object_id(one["on"])]
    names = {one["role"] for one in grants}
    for one in _default_privileges(objects, making):
        names |= {one["role"], one["owner"]}
    check_roles(connection, names - {None}, "privileges", hint)
    for work in making.tables.values():
        table = work.table.definition
        roles = {role for policy in table["policies"] for role in policy["roles"]}
        what = f"the policies of {work.table.name}"
        check_roles(connection, roles - {""}, what, "create them first (CREATE ROLE)")


def refresh_views(connection: psycopg.Connection[Any], objects: Definition, making: Making) -> None:
    """Fill the materialized views that were made and had rows, each after those it reads.

    Functions may hide who reads whom, so one that finds another empty waits for the others.
    """
    waiting = [key for key in (*making.early, *making.late) if key.startswith("materialized view ")]
    waiting = [key for key in waiting if objects[key]["populated"]]
    while waiting:
        later = []
        for key in waiting:
            connection.execute("SAVEPOINT snapstore_refresh")
            try:
                with explained(f"{key} cannot be filled"):
                    connection.execute(refresh(objects[key]))
            except Exception as error:
                if not isinstance(error.__cause__, psycopg.errors.ObjectNotInPrerequisiteState):
                    raise
                connection.execute("ROLLBACK TO snapstore_refresh")
                later.append((key, error))
            connection.execute("RELEASE snapstore_refresh")
        if len(later) == len(waiting):
            raise later[0][1]
        waiting = [key for key, _ in later]


def set_sequences(connection: psycopg.Connection[Any], objects: Definition, making: Making) -> None:
    """Ownership and state of sequences: as in the snapshot if this restore made them, else only forward."""
    for key in sorted(making.meant):
        one = objects[key]
        if one["kind"] == "sequence":
            owner = one["owner"]
            with_its_table = owner is not None and (
                f"table {full_name(owner['schema'], owner['name'])}" in making.tables
            )
            created = key in (*making.early, *making.late)
            made = created or (one["identity"] and with_its_table)
            with explained(f"{key} cannot be set"):
                if created:
                    for statement in own_sequence(one):
                        connection.execute(statement)
                if made or _is_live(connection, one):
                    _set_sequence(connection, one, made=made)


def give_privileges(
    connection: psycopg.Connection[Any], objects: Definition, making: Making, large: LargeObjects
) -> list[str]:
    """Privileges on what was made: those of the snapshot, and none that a live default privilege added.

    Gives in words those on the server's own things that could not be given.
    """
    made, notes = set(making.made(objects)), list[str]()
    if _GRANTS in making.meant:
        with _hinted("privileges cannot be given"):
            live = read_objects(connection).objects[_GRANTS]["grants"]
            wanted = _all_grants(objects, making)
            made |= large.made_among(one["on"] for one in (*wanted, *live))
            give_grants(
                connection,
                [one for one in wanted if one["on"] in made],
                [one for one in live if one["on"] in made],
            )
            if making.was_empty and making.is_whole:
                notes = _give_beyond(connection, objects[_GRANTS]["grants"], live)
    with _hinted("default privileges cannot be given"):
        give_default_privileges(connection, _default_privileges(objects, making))
    return notes


@contextmanager
def _hinted(doing: str) -> Iterator[None]:
    """As `explained`, with the way out."""
    try:
        with explained(doing):
            yield
    except Invalid as error:
        hint = "restore as a role that may, or leave privileges out: --no-privileges"
        raise Invalid(error.message, hint=hint) from error


def _give_beyond(connection: psycopg.Connection[Any], wanted: Sequence[Grant], live: Sequence[Grant]) -> list[str]:
    """Privileges on the database itself, which its owner may give, and on functions, types and schemas that the server
    brought, which only a superuser may.

    What others have there is left to them: the server may be somebody else's.
    """
    roles = {row["name"] for row in rows_of(connection, "SELECT rolname::text AS name FROM pg_roles")}
    [own] = rows_of(connection, _OWN)
    notes = []
    for one in wanted:
        if one["on"] not in (SYSTEM, DATABASE) or one in live:
            continue
        may = own["is_superuser"] or (one["on"] == DATABASE and own["is_owner"])
        if may and (one["role"] is None or one["role"] in roles):
            on = sql.SQL("DATABASE {}").format(sql.Identifier(own["name"])).as_string(connection)
            give_grants(connection, [{**one, "target": on} if one["on"] == DATABASE else one], [])
        else:
            what = "given to" if one["granted"] else "taken from"
            whom = one["role"] or ("its owner" if one["to_owner"] else "PUBLIC")
            why = "it is the server's own" if one["on"] == SYSTEM else "this role does not own it"
            why = f"there is no role {one['role']}" if may else why
            notes.append(f"{one['privilege']} on {one['target']} is not {what} {whom}: {why}")
    return notes


_OWN = """
SELECT current_database()::text AS name, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser,
  (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()) AS is_owner"""


def describe_database(connection: psycopg.Connection[Any], objects: Definition, making: Making) -> list[str]:
    """The comment on the database, where everything is restored into an empty one. Gives in words why not."""
    if "database" not in making.meant or not (making.is_whole and making.was_empty):
        return []
    [own] = rows_of(connection, _OWN)
    if not (own["is_superuser"] or own["is_owner"]):
        return ["the comment on the database is not made: this role does not own it"]
    for statement in comment_on("database", sql.Identifier(own["name"]), objects["database"]["comment"]):
        connection.execute(statement)
    return []


def _grants(objects: Definition, making: Making) -> list[Mapping[str, Any]]:
    """The privileges of the snapshot that this restore is to give."""
    made = set(making.made(objects))
    return [one for one in _all_grants(objects, making) if one["on"] in made]


def _all_grants(objects: Definition, making: Making) -> list[Mapping[str, Any]]:
    """The privileges of the snapshot, if this restore gives any."""
    return list(objects[_GRANTS]["grants"]) if _GRANTS in making.meant else []


def _default_privileges(objects: Definition, making: Making) -> list[Mapping[str, Any]]:
    """Those in a schema that this restore makes; all of them with the whole database."""
    if _DEFAULTS not in making.meant:
        return []
    made = making.made(objects)
    return [one for one in objects[_DEFAULTS]["grants"] if making.is_whole or f"schema {one['schema']}" in made]


def _is_live(connection: psycopg.Connection[Any], one: Definition) -> bool:
    query = "SELECT to_regclass(%s) IS NOT NULL AS is_live"
    [row] = rows_of(connection, query, (relation(one).as_string(connection),))
    return bool(row["is_live"])


def _set_sequence(connection: psycopg.Connection[Any], one: Definition, *, made: bool) -> None:
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


def set_settings(connection: psycopg.Connection[Any], objects: Definition, making: Making) -> None:
    """Settings of the database (ALTER DATABASE … SET) that it lacks. One it has is left as it is."""
    if "settings" not in making.meant or not making.is_whole:
        return
    has = {setting.partition("=")[0] for setting in making.live_settings}
    [row] = rows_of(connection, "SELECT current_database() AS name")
    for setting in objects["settings"]["settings"]:
        name, _, value = setting.partition("=")
        if name not in has:
            # FROM CURRENT takes lists such as search_path as they are; the server alone knows which settings are lists.
            query = "SELECT current_setting(%s, true) AS before, set_config(%s, %s, true)"
            with explained(f"the setting {name} of the database cannot be made"):
                [before] = rows_of(connection, query, (name, name, value))
                statement = sql.SQL("ALTER DATABASE {} SET {} FROM CURRENT")
                connection.execute(statement.format(sql.Identifier(row["name"]), sql.Identifier(*name.split("."))))
                connection.execute("SELECT set_config(%s, %s, true)", (name, before["before"] or ""))
