"""A SQLite database being restored: one write transaction, beside an application that may have it open.

    with open_target(place, selection, wait_seconds=10) as target:
        target.begin(definition, works)
        target.insert(table, batches)
        target.finish()

Triggers do not fire and foreign keys do not cascade on this connection; others are not affected. A file that is not
there is built under another name and appears whole, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw

from snapstore.errors import Conflict
from snapstore.rows import Batch, Cells, Table
from snapstore.sources import Refusal, Selection, Work, untrusted
from snapstore.sources.sqlite.applying import delete_rows, insert_rows, update_rows
from snapstore.sources.sqlite.catalog import Catalog, is_empty, read_catalog
from snapstore.sources.sqlite.connection import create, open_writing, quoted, translated
from snapstore.sources.sqlite.newfile import new_file, put
from snapstore.sources.sqlite.sparing import Sparing
from snapstore.sources.sqlite.view import SqliteView

__all__ = ["SqliteTarget", "open_target"]

_EXTRA = 3  # also syncs the folder, whatever the library was made to do


class SqliteTarget(SqliteView):
    """The `Target` over a transaction that is open and holds the write lock. Made by `open_target`."""

    def __init__(self, connection: apsw.Connection, place: Path, selection: Selection, catalog: Catalog) -> None:
        super().__init__(connection, place, selection, catalog, {})
        self._wanted: Mapping[str, Any] = {}
        self._work: Sequence[Work] = ()
        self._was_empty = is_empty(connection)
        self._notes: list[str] = []
        self._sparing = Sparing(connection)
        self._judged: set[str] = set()

    @property
    def notes(self) -> Sequence[str]:
        """As `Target.notes`."""
        return tuple(self._notes)

    def doubt(self, table: Table, since: Mapping[str, Any]) -> str:
        """As `Dated.doubt`: what this transaction writes is in no file yet, so it is read."""
        return "it is being restored"

    def begin(
        self, definition: Mapping[str, Any], work: Sequence[Work], *, privileges: bool = True, trusted: bool = True
    ) -> None:
        """As `Target.begin`; there are no privileges here."""
        if not trusted:
            self._refuse_texts(definition, work)
        self._wanted, self._work = definition, work
        live = {table.name: table.definition["sql"] for table in self._catalog.tables}
        self._judged = {
            one.table.name
            for one in work
            if one.exists and not one.recreate and live.get(one.table.name) != one.table.definition["sql"]
        }
        with translated(self._place, "it cannot be made ready"):
            if not self._connection.in_transaction:
                self._set_up()
            for one in work:
                if one.exists and one.recreate:
                    self._connection.execute(f"DROP TABLE main.{quoted(one.table.definition['name'])}")
            for one in work:
                if (not one.exists or one.recreate) and _has_rows(one.table):
                    self._make(one.table.definition["name"], one.table.definition["sql"])
                    self._tell_settings(one.table)

    def _refuse_texts(self, definition: Mapping[str, Any], work: Sequence[Work]) -> None:
        named = [one.table.name for one in work if not one.exists or one.recreate]
        if self._was_empty or not work:
            named += [f"view {view['name']}" for view in definition["views"]]
        parts = {one.table.part_of.casefold() for one in work}
        named += [f"virtual table {one['name']}" for one in definition["virtual"] if one["name"].casefold() in parts]
        if named:
            raise untrusted(named)

    def replaces(self, table: Table, columns: Sequence[str]) -> bool:
        """As `Target.replaces`: where a unique index holds such a column, and for virtual tables always."""
        definition = table.definition
        if "module" in definition or definition["rowid"] in columns:
            return True
        setting = {name.casefold() for name in columns}
        name = quoted(definition["name"])
        with translated(self._place, f"the indexes of {table.name} cannot be read"):
            for _, index, is_unique, _, _ in list(self._connection.execute(f"PRAGMA main.index_list({name})")):
                held = self._connection.execute(f"PRAGMA main.index_xinfo({quoted(index)})")
                names = [row[2] for row in held if row[5]]
                if is_unique and any(one is None or one.casefold() in setting for one in names):
                    return True
                if is_unique and any(self._is_generated(table, str(one)) for one in names):
                    return True
        return False

    def insert(self, table: Table, batches: Iterable[Batch]) -> int:
        """As `Target.insert`."""
        self._judge(table)
        with translated(self._place, f"rows cannot be inserted into {table.name}"):
            done, moved = insert_rows(self._connection, table, batches, self._sparing.refuse(table, is_insert=True))
        if moved:
            rows = "row has" if moved == 1 else "rows have"
            self._notes.append(f"{table.name}: {moved:,} {rows} another rowid than before, because theirs is taken")
        return done

    def update(self, table: Table, columns: Sequence[str], batches: Iterable[Batch]) -> int:
        """As `Target.update`."""
        self._judge(table)
        with translated(self._place, f"rows of {table.name} cannot be updated"):
            return update_rows(self._connection, table, columns, batches, self._sparing.refuse(table))

    def _judge(self, table: Table) -> None:
        """Have CHECK constraints count where the table is not as it was, so that a new one is not broken unseen.

        Where it is as it was, rows that broke them, while the engine was told not to look, may come back.
        """
        self._connection.execute(f"PRAGMA ignore_check_constraints = {int(table.name not in self._judged)}")

    def delete(self, table: Table, keys: Iterable[Cells]) -> int:
        """As `Target.delete`."""
        with translated(self._place, f"rows of {table.name} cannot be deleted"):
            return delete_rows(self._connection, table, keys)

    @contextmanager
    def trying(self, refused: Callable[[Refusal], None]) -> Iterator[Callable[[Refusal], None]]:
        """As `Trying.trying`. A file of nothing has nothing that could refuse a row: there all is as ever."""
        with self._sparing.trying(self._place, refused) as told:
            yield told
        if self._sparing.is_undone:
            self._notes.clear()

    def dangling(self) -> Iterable[Refusal]:
        """As `Trying.dangling`: only rows that refer to a row that was refused."""
        with translated(self._place, "it cannot be told which rows refer to those left out"):
            return [refusal for one in self._work for refusal in self._sparing.dangling(one.table)]

    def finish(self) -> None:
        """As `Target.finish`: indexes, triggers, views, virtual tables without rows of their own, sequences."""
        made = [one.table for one in self._work if not one.exists or one.recreate]
        names = {table.definition["name"].casefold() for table in made}
        touched = {one.table.definition["name"].casefold() for one in self._work}
        with translated(self._place, "indexes and triggers cannot be made"):
            for table in made:
                for index in table.definition["indexes"]:
                    self._make(index["name"], index["sql"])
            self._make_views(names)
            self._enter_virtual()
            self._rebuild([table for table in made if not _has_rows(table)], touched)
            for table in made:
                for trigger in table.definition["triggers"]:
                    self._make(trigger["name"], trigger["sql"])
            self._set_sequences(touched)
            if self._was_empty:
                for setting in ("user_version", "application_id"):
                    self._connection.pragma(setting, int(self._wanted[setting]), schema="main")
                if self._wanted["has_statistics"]:
                    self._connection.execute("ANALYZE main")
            self._tell_dangling()
            self._catalog = read_catalog(self._connection, self._selection, absent=True)

    def _set_up(self) -> None:
        """Give a file of nothing the shape the snapshot's had, then lock it."""
        self._connection.pragma("encoding", self._wanted["encoding"])
        self._connection.pragma("page_size", int(self._wanted["page_size"]), schema="main")
        self._connection.pragma("auto_vacuum", int(self._wanted["auto_vacuum"]), schema="main")
        self._connection.execute("BEGIN IMMEDIATE")
        if not is_empty(self._connection):
            raise Conflict(f"{self._place} is no longer empty", hint="Make a new plan with --dry-run.", again=True)

    def _make(self, name: str, sql: str) -> None:
        query = "SELECT type FROM main.sqlite_schema WHERE name = ? COLLATE NOCASE"
        found = self._connection.execute(query, (name,)).get
        if found is not None:
            raise Conflict(
                f"{self._place}: {name} cannot be made: a {found} of that name is there",
                hint="Rename or drop it, then try again; nothing was changed.",
            )
        create(self._connection, sql)

    def _has(self, name: str) -> bool:
        query = "SELECT count(*) FROM main.sqlite_schema WHERE name = ? COLLATE NOCASE"
        return bool(self._connection.execute(query, (name,)).get)

    def _tell_settings(self, table: Table) -> None:
        """What a full-text table was told after it was made, said to it again."""
        name = quoted(table.definition["name"])
        for word, value in table.definition.get("settings", ()):
            self._connection.execute(f"INSERT INTO main.{name} ({name}, rank) VALUES (?, ?)", (word, value))

    def _enter_virtual(self) -> None:
        """Virtual tables whose parts were restored as they are."""
        parts = {one.table.part_of.casefold() for one in self._work}
        for one in self._wanted["virtual"]:
            if one["name"].casefold() in parts and not self._has(one["name"]):
                self._enter(one["name"], one["sql"])

    def _rebuild(self, missing: Sequence[Table], touched: set[str]) -> None:
        """Make the tables that have no rows of their own, and bring those in step whose content was touched."""
        for table in missing:
            self._make(table.definition["name"], table.definition["sql"])
            self._tell_settings(table)
        live = read_catalog(self._connection, Selection(partial=True), absent=True)
        views = {view["name"].casefold() for view in live.definition["views"]}  # over tables that nobody names here
        anew = {table.name for table in missing}
        for table in live.tables:
            content = table.definition.get("content", "").casefold()
            is_touched = table.name in anew or content in touched or (content in views and bool(touched))
            if table.definition.get("held") == "rebuilt" and is_touched:
                name = quoted(table.definition["name"])
                self._connection.execute(f"INSERT INTO main.{name} ({name}) VALUES ('rebuild')")

    def _enter(self, name: str, sql: str) -> None:
        """Enter a virtual table into the schema without its module, which would make shadow tables of its own."""
        version = self._connection.pragma("schema_version", schema="main")
        self._connection.execute("PRAGMA writable_schema = 1")
        try:
            self._connection.execute(
                "INSERT INTO main.sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES ('table', ?1, ?1, 0, ?2)",
                (name, sql),
            )
            self._connection.execute(f"PRAGMA main.schema_version = {int(version) + 1}")
        finally:
            self._connection.execute("PRAGMA writable_schema = RESET")

    def _make_views(self, made: set[str]) -> None:
        """The views of an empty database, or those that speak of a table that is made; without any work all of them."""
        for view in self._wanted["views"]:
            words = {word.casefold() for word in re.findall(r"\w+", view["sql"])}
            if self._has(view["name"]) or not (
                self._was_empty or not self._work or any(name in words for name in made)
            ):
                continue
            self._make(view["name"], view["sql"])
            if not self._work:
                self._notes.append(f"made again: view {view['name']}")
            for trigger in self._wanted["view_triggers"]:
                if trigger["table"] == view["name"]:
                    self._make(trigger["name"], trigger["sql"])

    def _set_sequences(self, touched: set[str]) -> None:
        """AUTOINCREMENT goes on where it stood; in a database that was not empty only ever forward."""
        for name, value in self._wanted["sequences"].items():
            if (self._work and name.casefold() not in touched) or not self._has(name):
                continue
            query = "SELECT max(seq) FROM main.sqlite_sequence WHERE name = ?"
            now = self._connection.execute(query, (name,)).get
            if now is None:
                self._connection.execute("INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)", (name, value))
            elif self._was_empty or value > now:
                self._connection.execute("UPDATE main.sqlite_sequence SET seq = ? WHERE name = ?", (value, name))

    def _tell_dangling(self) -> None:
        """Rows that refer to none: the application may not check that, so it is told and not refused."""
        for one in self._work:
            name = quoted(one.table.definition["name"])
            query = f"SELECT count(*) FROM pragma_foreign_key_check({_text(one.table.definition['name'])}, 'main')"
            if "module" not in one.table.definition and list(
                self._connection.execute(f"PRAGMA main.foreign_key_list({name})")
            ):
                try:
                    count = int(self._connection.execute(query).get or 0)
                except apsw.SQLError:  # the key refers to columns that cannot be referred to: it was never checked
                    continue
                if count:
                    verb = "refers" if count == 1 else "refer"
                    self._notes.append(f"{one.table.name}: {count:,} of its rows {verb} to rows that are not there")

    def _is_generated(self, table: Table, column: str) -> bool:
        return any(one["name"] == column and one["computed"] for one in table.definition["columns"])


def _has_rows(table: Table) -> bool:
    return bool(table.definition.get("held", "rows") == "rows")


def _text(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


@contextmanager
def open_target(place: Path, selection: Selection, *, wait_seconds: float) -> Iterator[SqliteTarget]:
    """Lock the database against other writers and open it for changes; committed when the context ends well."""
    lenient = replace(selection, partial=True)
    if not place.exists():
        with _in_new_file(place, lenient, wait_seconds) as target:
            yield target
        return
    connection = open_writing(place, wait_seconds=wait_seconds)
    try:
        with translated(place, "it cannot be locked"):
            # Else a power cut may bring the journal back after the commit, and undo it (sqlite.org/pragma.html).
            connection.pragma("synchronous", _EXTRA, schema="main")
            if place.stat().st_size:
                connection.execute("BEGIN IMMEDIATE")
        with translated(place, "its tables cannot be read"):
            catalog = read_catalog(connection, lenient, absent=True)
        yield SqliteTarget(connection, place, lenient, catalog)
        if connection.in_transaction:
            with translated(place, "the changes cannot be committed"):
                connection.execute("COMMIT")
    finally:
        connection.close(True)  # rolls back what is open


@contextmanager
def _in_new_file(place: Path, selection: Selection, wait_seconds: float) -> Iterator[SqliteTarget]:
    """Build the database beside its place and put it there at the end."""
    with new_file(place) as building, ExitStack() as stack:
        connection = open_writing(building, wait_seconds=wait_seconds, create=True)
        stack.callback(connection.close, True)
        with translated(place, "it cannot be made"):
            # Nobody sees the file until it is whole and on the disk.
            connection.pragma("journal_mode", "memory", schema="main")
            connection.pragma("synchronous", 0, schema="main")
            catalog = read_catalog(connection, selection, absent=True)
        target = SqliteTarget(connection, place, selection, catalog)
        yield target
        is_begun = connection.in_transaction
        if is_begun:
            with translated(place, "it cannot be written"):
                connection.execute("COMMIT")
                if target._wanted["journal_mode"] == "wal":
                    connection.pragma("journal_mode", "wal", schema="main")
        connection.close(True)
        if is_begun:
            put(building, place)
