"""A PostgreSQL database being restored: a view that may write, in one transaction, locked against other writers.

    with open_target(url, selection) as target:
        target.begin(definition, works)
        target.insert(table, batches)
        target.finish()

`begin` makes what is missing and clears the way; `finish` builds indexes, constraints, views and triggers and puts back
what stood in the way, in the state it had. All of it is one transaction: an error anywhere leaves the database as it
was (but for sequences, which only move forward). Nothing is ever dropped with CASCADE, and triggers are set aside table
by table, never by session_replication_role, which would switch foreign keys off unseen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import psycopg
from psycopg import sql

from snapstore.errors import Conflict, Unsupported
from snapstore.rows import Batch, Cells, Table
from snapstore.sources import Selection, Work
from snapstore.sources.postgres import ddl
from snapstore.sources.postgres.applying import delete_rows, explained, insert_rows, update_rows
from snapstore.sources.postgres.catalog import Catalog, read_catalog
from snapstore.sources.postgres.grants import give_grants
from snapstore.sources.postgres.making import (
    Making,
    is_whole,
    make_object,
    make_table,
    plan_making,
    set_sequence,
    set_settings,
)
from snapstore.sources.postgres.objects import read_objects
from snapstore.sources.postgres.obstacles import (
    ForeignKey,
    dear_indexes,
    read_foreign_keys,
    read_rules,
    unvalidated,
    upset_foreign_keys,
)
from snapstore.sources.postgres.tables import full_name, rows_of
from snapstore.sources.postgres.view import PostgresView, open_view

__all__ = ["PostgresTarget", "open_target"]


def open_target(
    url: str, selection: Selection, *, lock_timeout_seconds: float = 10.0
) -> AbstractContextManager[PostgresTarget]:
    """Lock the selected tables that exist against other writers, and open them for changes.

    Patterns may name tables that are gone. What is live and not held (a publication, say) is in `missing` and stays as
    it is.
    """
    lenient = replace(selection, partial=True)
    return open_view(url, lenient, PostgresTarget, lock_timeout_seconds=lock_timeout_seconds, absent=True)


class PostgresTarget(PostgresView):
    """The `Target` over a transaction that is open, locked and has its snapshot. Made by `open_target`."""

    lock_mode: ClassVar[str] = "SHARE ROW EXCLUSIVE"
    is_writable: ClassVar[bool] = True

    def __init__(
        self, connection: psycopg.Connection[Any], selection: Selection, catalog: Catalog, position: Mapping[str, Any]
    ) -> None:
        super().__init__(connection, selection, catalog, position)
        self._live = {table.name: table for table in catalog.tables}
        self._wanted: Mapping[str, Any] = {}
        self._making = Making((), (), {}, frozenset())
        self._live_settings: Mapping[str, Any] | None = None
        self._was_empty = False
        self._foreign_keys: list[ForeignKey] = []
        self._triggers: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
        self._indexes: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
        self._constraints: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []

    def begin(self, definition: Mapping[str, Any], work: Sequence[Work]) -> None:
        """As `Target.begin`. Raises `Conflict` for what stands in the way and would have to be dropped with it.

        Replaced rows count in `deletes` and in `inserts`.
        """
        self._wanted = definition
        with explained("the database cannot be made ready"), self._qualified():
            self._connection.execute("SET LOCAL check_function_bodies = off")
            self._check(work)
            self._drop([one for one in work if one.recreate and one.exists])
            live = read_objects(self._connection)
            self._live_settings = live.objects.get("settings")
            self._was_empty = not live.relations
            self._making = plan_making(definition, work, live, self._selection)
            self._check_references(live.relations.keys())
            for key in self._making.early:
                self._make(key)
            self._clear([one for one in work if one.exists and not one.recreate], work)

    def confirm(self) -> None:
        """Nothing to do: the locks kept every shape as it was."""

    def replaces(self, table: Table, columns: Sequence[str]) -> bool:
        """As `Target.replaces`: decided by the live table's indexes, else by those it will have."""
        definition = self._live.get(table.name, table).definition
        setting = set(columns)
        generated = {column["name"] for column in definition["columns"] if column["generated"]}
        always = {column["name"] for column in definition["columns"] if column["identity"] == "always"}
        unique = [one["index_columns"] for one in definition["constraints"] if one["kind"] in ("unique", "exclusion")]
        unique += [index["columns"] for index in definition["indexes"] if index["is_unique"]]
        # A generated column moves with columns that its definition does not list, so any may be one of them.
        moves = any(not setting.isdisjoint(one) or (setting and generated.intersection(one)) for one in unique)
        return moves or bool(setting & always)

    def insert(self, table: Table, batches: Iterable[Batch]) -> int:
        """As `Target.insert`."""
        return insert_rows(self._connection, table, batches)

    def update(self, table: Table, columns: Sequence[str], batches: Iterable[Batch]) -> int:
        """As `Target.update`."""
        return update_rows(self._connection, table, columns, batches)

    def delete(self, table: Table, keys: Iterable[Cells]) -> int:
        """As `Target.delete`."""
        return delete_rows(self._connection, table, keys)

    def finish(self) -> None:
        """As `Target.finish`. Raises `Conflict` for rows that violate a constraint, naming both."""
        made = [work.table.definition for work in self._making.tables.values()]
        with explained("the changes cannot be finished"):
            # What was deferred is checked now: a table with checks still waiting cannot be altered.
            self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with self._qualified():
            for table in made:
                self._execute(table, ddl.create_keys(table), ddl.create_indexes(table), ddl.create_checks(table))
            for table, constraint in self._constraints:
                self._execute(table, ddl.create_constraint(table, constraint))
            for table, index in self._indexes:
                self._execute(table, ddl.create_index(table, index))
            for key in self._making.late:
                with explained(f"{key} cannot be made"):
                    self._make(key)
            for key in (*self._making.early, *self._making.late):
                if key.startswith("view "):
                    view = self._wanted["objects"][key]
                    for trigger in view["triggers"]:
                        self._execute(view, ddl.create_trigger(view, trigger))
            for foreign_key in self._foreign_keys:
                with explained(f"the foreign key {foreign_key.name} of {foreign_key.table} does not hold"):
                    self._run(foreign_key.create())
            for table in made:
                self._execute(table, ddl.create_foreign_keys(table))
            for table in made:
                self._execute(table, ddl.create_extras(table))
            for table, trigger in self._triggers:
                self._execute(table, iter([ddl.set_trigger(table, trigger)]))
            self._finish_objects()
            catalog = read_catalog(self._connection, self._selection, absent=True)
        self._catalog = catalog
        self._facts = None  # tables may have been made anew
        self._live = {table.name: table for table in catalog.tables}

    def _check(self, works: Sequence[Work]) -> None:
        """Refuse what cannot be worked on before anything is touched."""
        rules = read_rules(self._connection)
        for work in works:
            name = work.table.name
            if work.exists and name not in self._live:
                raise Conflict(f"{name} was there when the restore was planned and is not now", hint="plan it again")
            if work.exists and not work.recreate:
                _check_shape(work, self._live[name])
            if work.exists and not work.recreate and name in rules:
                raise Unsupported(
                    f"{name} has the rule {rules[name]}, which makes changes of rows mean something else",
                    hint=f"ALTER TABLE {name} DISABLE RULE for the time of the restore, or --exclude it",
                )

    def _check_references(self, there: Collection[str]) -> None:
        """A foreign key of a table to be made must find the other table."""
        for work in self._making.tables.values():
            for constraint in work.table.definition["constraints"]:
                if other := constraint["references"]:
                    other_name = full_name(other["schema"], other["name"])
                    if f"table {other_name}" not in {*there, *self._making.tables}:
                        raise Conflict(
                            f"{work.table.name} has the foreign key {constraint['name']} to {other_name}, which is not "
                            "in the database",
                            hint=f"restore {other_name} too",
                        )

    def _drop(self, works: Sequence[Work]) -> None:
        """Drop the tables to be made anew, together, so that they may refer to each other; never what leans on them."""
        if works:
            names = ", ".join(work.table.name for work in works)
            tables = sql.SQL(", ").join(ddl.relation(self._live[work.table.name].definition) for work in works)
            try:
                self._connection.execute(sql.SQL("DROP TABLE {} RESTRICT").format(tables))
            except psycopg.errors.DependentObjectsStillExist as error:
                detail = "; ".join((error.diag.message_detail or "").splitlines())
                raise Conflict(
                    f"{names} cannot be made anew: {detail}",
                    hint="drop these first, or restore the rows of the live table without making it anew",
                ) from error

    def _clear(self, works: Sequence[Work], all_works: Sequence[Work]) -> None:
        """Set aside what would fire, fail or cost too much while the rows of these live tables change."""
        self._foreign_keys = upset_foreign_keys(read_foreign_keys(self._connection), all_works)
        for key in self._foreign_keys:
            if key.altered:
                raise Unsupported(
                    f"the foreign key {key.name} of {key.table} has its own triggers disabled or altered, a state that "
                    "cannot be put back",
                    hint=f"ALTER TABLE {key.table} ENABLE TRIGGER ALL, or --exclude it",
                )
            with explained(f"the foreign key {key.name} of {key.table} cannot be set aside"):
                self._connection.execute(key.drop())
        for work in works:
            table = self._live[work.table.name].definition
            changes = work.inserts + work.deletes > 0 or work.updates
            enabled = [trigger for trigger in table["triggers"] if trigger["enabled"] != "D"]
            if enabled and changes:
                self._connection.execute(ddl.alter(table, "DISABLE TRIGGER USER"))
                self._triggers += [(table, trigger) for trigger in enabled]
            if changes:
                for constraint in unvalidated(table):
                    self._connection.execute(ddl.alter(table, "DROP CONSTRAINT {}", sql.Identifier(constraint["name"])))
                    self._constraints.append((table, constraint))
                for index in dear_indexes(table, work, self._rows(table)):
                    self._connection.execute(sql.SQL("DROP INDEX {}").format(ddl.relation(index)))
                    self._indexes.append((table, index))

    def _rows(self, table: Mapping[str, Any]) -> float:
        """About how many rows a live table has: the server's estimate, or a count where it has none."""
        query = "SELECT reltuples AS rows FROM pg_class WHERE oid = %s::regclass"
        [row] = rows_of(self._connection, query, (ddl.relation(table).as_string(self._connection),))
        if row["rows"] <= 0:
            [row] = rows_of(
                self._connection, sql.SQL("SELECT count(*) AS rows FROM ONLY {}").format(ddl.relation(table))
            )
        return float(row["rows"])

    def _make(self, key: str) -> None:
        objects = self._wanted.get("objects", {})
        with explained(f"{key} cannot be made"):
            if key in self._making.tables:
                make_table(self._connection, self._making.tables[key].table.definition, objects)
            else:
                make_object(self._connection, objects[key])

    def _finish_objects(self) -> None:
        """Ownership and state of sequences, and the database's own settings."""
        objects = self._wanted.get("objects", {})
        created = {*self._making.early, *self._making.late}
        for key in sorted(self._making.meant):
            one = objects[key]
            if one["kind"] == "sequence":
                owner = one["owner"]
                with_its_table = owner is not None and (
                    f"table {full_name(owner['schema'], owner['name'])}" in self._making.tables
                )
                made = key in created or (one["identity"] and with_its_table)
                with explained(f"{key} cannot be set"):
                    if key in created:
                        self._run(ddl.own_sequence(one))
                    if made or self._is_live(one):
                        set_sequence(self._connection, one, made=made)
            elif one["kind"] == "grants":
                with explained("privileges cannot be given"):
                    give_grants(self._connection, one["grants"], self._made())
            elif one["kind"] == "settings" and is_whole(self._wanted, self._selection):
                with explained("the settings of the database cannot be made"):
                    set_settings(self._connection, one, self._live_settings)

    def _made(self) -> dict[str, Mapping[str, Any]]:
        """Everything this restore made, with its definition."""
        objects = self._wanted.get("objects", {})
        made = {key: objects[key] for key in (*self._making.early, *self._making.late) if key in objects}
        made |= {key: work.table.definition for key, work in self._making.tables.items()}
        for key, one in objects.items():
            if one["kind"] == "sequence" and one["identity"] and key in self._making.meant:
                owner = one["owner"]
                if f"table {full_name(owner['schema'], owner['name'])}" in self._making.tables:
                    made[key] = one
        if self._was_empty and "schema public" in objects:
            made["schema public"] = objects["schema public"]  # it is there in every new database
        return made

    def _is_live(self, one: Mapping[str, Any]) -> bool:
        query = "SELECT to_regclass(%s) IS NOT NULL AS is_live"
        [row] = rows_of(self._connection, query, (ddl.relation(one).as_string(self._connection),))
        return bool(row["is_live"])

    def _execute(self, table: Mapping[str, Any], *groups: Iterator[ddl.Statement]) -> None:
        with explained(f"{full_name(table['schema'], table['name'])} cannot be finished"):
            for statements in groups:
                self._run(statements)

    def _run(self, statements: Iterable[ddl.Statement]) -> None:
        for statement in statements:
            self._connection.execute(statement)

    @contextmanager
    def _qualified(self) -> Iterator[None]:
        """Definitions name everything in full; rows go in under the database's own path, as its functions expect."""
        self._connection.execute("SET LOCAL search_path = ''")
        yield
        self._connection.execute("SET LOCAL search_path TO DEFAULT")


# Their binary forms are one, so their cells may go from one to the other.
_TEXT = {"pg_catalog.text", "pg_catalog.varchar", "pg_catalog.bpchar"}


def _check_shape(work: Work, live: Table) -> None:
    """`Conflict` if cells of the snapshot would mean something else in the live table.

    The server takes four bytes of an integer for a real without a word, and rounds for another numeric(p, s).
    """
    if not (work.inserts or work.deletes or work.updates):
        return
    name = work.table.name
    hint = "let the restore make the table anew, restore into another database, or undo the change of the live table"
    if [part.name for part in live.key] != [part.name for part in work.table.key]:
        raise Conflict(f"{name} has another primary key than in the snapshot", hint=hint)
    now = {column["name"]: column for column in live.definition["columns"]}
    then = {column["name"]: column for column in work.table.definition["columns"]}
    for column in dict.fromkeys([*(part.name for part in live.key), *(one.name for one in work.table.columns)]):
        if column not in now:
            continue  # the plan says what becomes of it; naming it in a COPY would fail
        was, is_now = then[column], now[column]
        if was["type"] != is_now["type"] and not {was["base_type"], is_now["base_type"]} <= _TEXT:
            raise Conflict(f"{name}.{column} was {was['type']} and is {is_now['type']} now", hint=hint)
