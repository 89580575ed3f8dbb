"""One consistent state of a SQLite database, as far as a selection goes.

    with open_view(place, Selection()) as view:
        for batch in view.read(view.tables[0]):
            ...

A read transaction is such a state: whatever others write meanwhile, log included, is not in it. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw

from snapstore.errors import Corrupt
from snapstore.rows import Batch, Table
from snapstore.sources import Selection
from snapstore.sources.sqlite.catalog import Catalog, read_catalog
from snapstore.sources.sqlite.connection import memory, open_reading, quoted, translated
from snapstore.sources.sqlite.matching import check_condition
from snapstore.sources.sqlite.reading import read_rows
from snapstore.sources.sqlite.salvage import Rescue, report
from snapstore.sources.sqlite.stamps import context_of, doubt, read_facts

__all__ = ["SqliteView", "open_view"]


class SqliteView:
    """The `View` over a transaction that is open. Made by `open_view`."""

    def __init__(
        self,
        connection: apsw.Connection,
        place: Path,
        selection: Selection,
        catalog: Catalog,
        context: Mapping[str, Any],
        missing: tuple[str, ...] = (),
    ) -> None:
        self._connection = connection
        self._place = place
        self._selection = selection
        self._catalog = catalog
        self._context = context
        self._missing = missing
        self._rescue: Rescue | None = None
        if selection.salvage:
            self._rescue = Rescue(connection, catalog.definition["encoding"])
            # Whoever goes by this snapshot next must read everything: some of it is lost, not unchanged.
            self._context = {}

    @property
    def tables(self) -> Sequence[Table]:
        """The selected tables, referenced ones first."""
        return self._catalog.tables

    @property
    def definition(self) -> Mapping[str, Any]:
        """Views, settings of the file, and virtual tables that are not held by their rows."""
        return self._catalog.definition

    @property
    def position(self) -> Mapping[str, Any]:
        """The file, its journal mode, and the version of its schema."""
        with translated(self._place, "its position cannot be read"):
            version = self._connection.pragma("schema_version", schema="main")
        return {
            "database": str(self._place),
            "journal_mode": self.definition["journal_mode"],
            "schema_version": version,
            "sqlite_version": apsw.sqlite_lib_version(),
        }

    @property
    def missing(self) -> Sequence[str]:
        """What is selected and not held, and why."""
        return (*self._catalog.missing, *self._missing, *(self._rescue.told if self._rescue else ()))

    def read(self, table: Table) -> Iterator[Batch]:
        """The rows of a table of this shape, in ascending order of key, at most 8,192 rows or about 4 MB at once."""
        if table.definition.get("held", "rows") != "rows":
            return  # it has no rows of its own
        where = self._selection.where.get(table.name)
        if where is not None:
            check_condition(self._connection, table, where)
        connection = self._connection
        if self._rescue is not None and self._rescue.table(table):
            connection = self._rescue.connection
        try:
            with translated(self._place, f"{table.name} cannot be read"):
                yield from read_rows(connection, table, where=where)
        except Corrupt as error:
            told = "\n".join(f"  {line}" for line in report(self._connection, self.tables))
            raise Corrupt(f"{error.message}\n{told}", hint=error.hint) from error

    def count(self, table: Table) -> tuple[int, bool]:
        """As `Counts.count`: counted."""
        if table.definition.get("held", "rows") != "rows":
            return 0, True
        where = self._selection.where.get(table.name)
        if where is not None:
            check_condition(self._connection, table, where)
        chosen = "" if where is None else f" WHERE (\n{where}\n)"
        with translated(self._place, f"{table.name} cannot be counted"):
            query = f"SELECT count(*) FROM main.{quoted(table.definition['name'])}{chosen}"
            return int(self._connection.execute(query).get), True

    def context(self) -> Mapping[str, Any]:
        """As `Dated.context`: the file as it was when the transaction had begun."""
        return self._context

    def doubt(self, table: Table, since: Mapping[str, Any]) -> str:
        """As `Dated.doubt`."""
        if self._rescue is not None:
            return "what can still be read was asked for"
        if table.name in self._selection.where:
            return "a condition chooses its rows"
        return doubt(self._context, since)

    def confirm(self) -> None:
        """Nothing to do: the transaction keeps every shape as it was."""


@contextmanager
def open_view(place: Path, selection: Selection, *, wait_seconds: float, settle_seconds: float) -> Iterator[SqliteView]:
    """Open a view on the state of this moment; where the selection is optional a file that is not there has nothing."""
    before = read_facts(place)
    is_there = place.exists() or not selection.optional
    with open_reading(place, wait_seconds=wait_seconds) if is_there else closing(memory()) as connection:
        with translated(place, "it cannot be read"):
            connection.execute("BEGIN; SELECT count(*) FROM main.sqlite_schema").fetchall()
            context = context_of(place, before, settle_seconds=settle_seconds)
            catalog = read_catalog(connection, selection, absent=selection.optional)
        missing = () if is_there else (f"there is no file {place}",)
        yield SqliteView(connection, place, selection, catalog, context, missing)
