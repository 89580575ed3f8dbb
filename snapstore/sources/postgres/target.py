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

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import psycopg
from psycopg import sql

from snapstore.errors import Conflict
from snapstore.rows import Batch, Cells, Table
from snapstore.sources import Refusal, Selection, Work
from snapstore.sources.postgres import ddl
from snapstore.sources.postgres.applying import delete_rows, insert_rows, update_rows
from snapstore.sources.postgres.aside import Aside
from snapstore.sources.postgres.catalog import Catalog, read_catalog
from snapstore.sources.postgres.choosing import VIEWS
from snapstore.sources.postgres.connection import execute_one, explained
from snapstore.sources.postgres.dangling import dangling, links_of
from snapstore.sources.postgres.extrasddl import create_extras, create_rules, create_trigger
from snapstore.sources.postgres.feasible import check_references, check_texts, check_works
from snapstore.sources.postgres.finals import (
    check_all_roles,
    describe_database,
    give_privileges,
    refresh_views,
    set_sequences,
    set_settings,
)
from snapstore.sources.postgres.large import LARGE_OBJECTS, LargeObjects, is_large_objects
from snapstore.sources.postgres.lineage import children_first, join, join_indexes, joins_empty
from snapstore.sources.postgres.making import Making, make_object, make_table, plan_making, read_published, views_over
from snapstore.sources.postgres.objectddl import finish_materialized_view
from snapstore.sources.postgres.objects import read_objects
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
        self._making = Making((), (), (), {}, frozenset(), is_whole=False, was_empty=False, live_settings=())
        self._aside = Aside(connection)
        self._large = LargeObjects(connection)
        self._notes: list[str] = []
        self._refused: Callable[[Refusal], None] | None = None

    @property
    def notes(self) -> Sequence[str]:
        """As `Target.notes`."""
        return (*self._aside.notes, *self._notes)

    def begin(
        self, definition: Mapping[str, Any], work: Sequence[Work], *, privileges: bool = True, trusted: bool = True
    ) -> None:
        """As `Target.begin`. Raises `Conflict` for what stands in the way and would have to be dropped with it.

        Replaced rows count in `deletes` and in `inserts`.
        """
        self._wanted = definition
        with explained("the database cannot be made ready"), self._qualified():
            self._connection.execute("SET LOCAL check_function_bodies = off")
            check_works(work, self._live)
            self._aside.silence()
            dropped = self._drop([one for one in work if one.recreate and one.exists], definition)
            live = read_objects(self._connection)
            self._making = plan_making(definition, work, live, self._selection, privileges=privileges, dropped=dropped)
            if not trusted:
                check_texts(self._making, definition.get("objects", {}), work)
            check_all_roles(
                self._connection,
                definition.get("objects", {}),
                self._making,
                makes_large_objects=any(is_large_objects(one.table) and one.inserts for one in work),
            )
            check_references(self._making, live.relations.keys())
            for key in self._making.early:
                self._make(key)
            there = [one for one in work if one.exists and not one.recreate and not is_large_objects(one.table)]
            self._aside.clear(there, work, self._live, tries=self._refused is not None)

    @contextmanager
    def trying(self, refused: Callable[[Refusal], None]) -> Iterator[Callable[[Refusal], None]]:
        """As `Trying.trying`. What is checked at commit otherwise is checked at once: a row must fail when it comes."""
        is_told = False

        def told(refusal: Refusal) -> None:
            nonlocal is_told
            is_told = True
            refused(refusal)

        with explained("the rows cannot be tried"):
            self._connection.execute("SAVEPOINT snapstore_trying")
            self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        self._refused = told
        yield told
        self._refused = None
        with explained("what was tried cannot be undone"):
            if is_told:
                self._connection.execute("ROLLBACK TO SAVEPOINT snapstore_trying")
                self._aside, self._large, self._notes = Aside(self._connection), LargeObjects(self._connection), []
            self._connection.execute("RELEASE SAVEPOINT snapstore_trying")

    def dangling(self) -> Iterable[Refusal]:
        """As `Trying.dangling`, by the foreign keys that were set aside and those of tables that are made."""
        made = [work.table for work in self._making.tables.values()]
        names = {table.name for table in made}
        live = {name: table for name, table in self._live.items() if name not in names}
        with explained("it cannot be told which rows refer to none"):
            return list(dangling(self._connection, links_of(self._aside.foreign_keys, live, made)))

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
        if is_large_objects(table):
            with explained("large objects cannot be made"):
                return self._large.insert(table, batches)
        return insert_rows(self._connection, table, batches, self._refused)

    def update(self, table: Table, columns: Sequence[str], batches: Iterable[Batch]) -> int:
        """As `Target.update`."""
        if is_large_objects(table):
            with explained("large objects cannot be changed"):
                return self._large.update(table, columns, batches)
        return update_rows(self._connection, table, columns, batches, self._refused)

    def delete(self, table: Table, keys: Iterable[Cells]) -> int:
        """As `Target.delete`."""
        if is_large_objects(table):
            with explained("large objects cannot be deleted"):
                return self._large.delete(keys)
        return delete_rows(self._connection, table, keys)

    def finish(self) -> None:
        """As `Target.finish`. Raises `Conflict` for rows that violate a constraint, naming both."""
        making, objects = self._making, self._wanted.get("objects", {})
        made = [work.table.definition for work in making.tables.values()]
        with explained("the changes cannot be finished"):
            # What was deferred is checked now: a table with checks still waiting cannot be altered.
            self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with self._qualified():
            self._make_whole(made)
            self._aside.put_back_indexes()
            for key in making.late:
                self._make(key)
            views = [objects[key] for key in (*making.early, *making.late) if key.startswith(VIEWS)]
            for view in views:
                for trigger in view.get("triggers", ()):
                    self._execute(view, create_trigger(view, trigger))
            self._aside.put_back_keys()
            for table in made:
                self._execute(table, ddl.create_foreign_keys(table))
            for table in made:
                self._execute(table, create_extras(table))
            for view in views:
                if view["kind"] == "materialized view":
                    self._execute(view, finish_materialized_view(view))
        with explained("the materialized views cannot be filled"):
            refresh_views(self._connection, objects, making)
        with self._qualified():
            for relation in (*made, *views):
                self._execute(relation, create_rules(relation))
            set_sequences(self._connection, objects, making)
            self._notes += give_privileges(self._connection, objects, making, self._large)
            set_settings(self._connection, objects, making)
            self._notes += describe_database(self._connection, objects, making)
            for key in making.last:
                self._make(key)
            self._aside.put_back_triggers()
            self._note_made(objects)
            catalog = read_catalog(self._connection, self._selection, absent=True)
        self._catalog = catalog
        self._facts = None  # tables may have been made anew
        self._live = {table.name: table for table in catalog.tables}

    def _make_whole(self, made: Sequence[Mapping[str, Any]]) -> None:
        """Keys, indexes and checks; partitions and heirs first, so that each is whole when it joins its parent."""
        joined: set[str] = set()  # to all its parents at once, in their order
        for table, children in children_first(made):
            for child in children:
                name = full_name(child["schema"], child["name"])
                if name not in joined and not joins_empty(child, self._making.tables):
                    self._execute(child, join(child))
                joined.add(name)
            self._execute(table, ddl.create_keys(table), ddl.create_indexes(table), ddl.create_checks(table))
            for child in children:
                self._execute(child, join_indexes(child))
        for table in made:
            # A parent that was there has its indexes, and finds those of the partition that fit.
            if full_name(table["schema"], table["name"]) not in joined:
                self._execute(table, join(table))

    def _drop(self, works: Sequence[Work], definition: Mapping[str, Any]) -> list[str]:
        """Drop the tables to be made anew, together, so that they may refer to each other, the keys by which others
        refer to them, and the views of the snapshot that lean on them, which are made again with what else is lacking;
        nothing else that does. Gives the ids of these views.
        """
        views: dict[str, Mapping[str, Any]] = {}
        if works:
            names = ", ".join(work.table.name for work in works)
            there = [self._live[work.table.name].definition for work in works]
            tables = sql.SQL(", ").join(map(ddl.relation, there))
            published = read_published(self._connection, there)
            views = views_over(read_objects(self._connection), [work.table.name for work in works], definition)
            self._aside.release({work.table.name for work in works})
            try:
                for view in views.values():
                    statement = sql.SQL("DROP {} {} RESTRICT")
                    self._connection.execute(statement.format(sql.SQL(view["kind"].upper()), ddl.relation(view)))
                self._connection.execute(sql.SQL("DROP TABLE {} RESTRICT").format(tables))
            except psycopg.errors.DependentObjectsStillExist as error:
                detail = "; ".join((error.diag.message_detail or "").splitlines())
                raise Conflict(
                    f"{names} cannot be made anew: {detail}",
                    hint="drop these first, or restore the rows of the live table without making it anew",
                ) from error
            known, held = self._catalog.definition["objects"], definition["objects"]
            if others := [key for key in views if known.get(key) != held[key]]:
                self._notes.append(f"made again as the snapshot has them, and were otherwise: {', '.join(others)}")
            self._notes += [f"no longer published, since replication is set up anew: {one}" for one in published]
        return list(views)

    def _make(self, key: str) -> None:
        objects = self._wanted.get("objects", {})
        with explained(f"{key} cannot be made"):
            if key == LARGE_OBJECTS:
                return  # as soon as there is one
            if key in self._making.tables:
                table = self._making.tables[key].table.definition
                make_table(self._connection, table, objects)
                if joins_empty(table, self._making.tables):
                    self._run(join(table))
            else:
                make_object(self._connection, objects[key])

    def _note_made(self, objects: Mapping[str, Any]) -> None:
        """What no plan speaks of, and whose what was made is. Owners are not held: roles are a server's own, and only a
        superuser may give things away.
        """
        making = self._making
        if objects_made := [*making.early, *making.late, *making.last] if not making.tables else []:
            self._notes.append(f"made again: {', '.join(objects_made)}")
        if making.made(objects) or self._large.has_made:
            [row] = rows_of(self._connection, "SELECT current_user::text AS name")
            self._notes.append(f"what was made belongs to {row['name']}")

    def _execute(self, table: Mapping[str, Any], *groups: Iterator[ddl.Statement]) -> None:
        with explained(f"{full_name(table['schema'], table['name'])} cannot be finished"):
            for statements in groups:
                self._run(statements)

    def _run(self, statements: Iterable[ddl.Statement]) -> None:
        for statement in statements:
            execute_one(self._connection, statement)

    @contextmanager
    def _qualified(self) -> Iterator[None]:
        """Definitions name everything in full; rows go in under the database's own path, as its functions expect."""
        self._connection.execute("SET LOCAL search_path = ''")
        yield
        self._connection.execute("SET LOCAL search_path TO DEFAULT")
