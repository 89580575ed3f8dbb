"""The rows that a SQLite database refused, and the rows that refer to them.

    sparing = Sparing(connection)
    with sparing.trying(place, refused):
        insert_rows(connection, table, batches, sparing.refuse(table, is_insert=True))
        for refusal in sparing.dangling(child): ...     # its rows that refer to one of those, and to nothing else

SQLite lets rows refer to nothing where nobody switched foreign keys on, and a snapshot may have such rows: they come
back as they were. A row is left out only if what it refers to is a row that was refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import apsw

from snapstore.rows import Table
from snapstore.sources import Refusal
from snapstore.sources.sqlite.applying import Refuse, Row, bound_rows, inserted_columns
from snapstore.sources.sqlite.connection import quoted, translated
from snapstore.sources.sqlite.reading import read_rows

__all__ = ["Sparing"]


class Sparing:
    """The rows that were refused so far, by table; they outlive attempts that are undone."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._gone: dict[str, list[dict[str, Any]]] = {}
        self._refused: Callable[[Refusal], None] | None = None
        self.is_undone = False

    @contextmanager
    def trying(self, place: Path, refused: Callable[[Refusal], None]) -> Iterator[Callable[[Refusal], None]]:
        """As `Trying.trying`; afterwards `is_undone` says whether all of it was."""
        is_told = self.is_undone = False

        def told(refusal: Refusal) -> None:
            nonlocal is_told
            is_told = True
            refused(refusal)

        if not self._connection.in_transaction:
            yield told
            return
        with translated(place, "the rows cannot be tried"):
            self._connection.execute("SAVEPOINT snapstore_trying")
        self._refused = told
        yield told
        self._refused = None
        with translated(place, "what was tried cannot be undone"):
            if is_told:
                self._connection.execute("ROLLBACK TO snapstore_trying")
                self.is_undone = True
            self._connection.execute("RELEASE snapstore_trying")

    def refuse(self, table: Table, *, is_insert: bool = False) -> Refuse | None:
        """What is done about a row of the table that is refused; None while nothing is tried."""
        told = self._refused
        if told is None:
            return None

        def refuse(key: bytes, row: Row, said: str) -> None:
            if is_insert:
                self._remember(table, row)
            told(Refusal(table.name, key, said))

        return refuse

    def dangling(self, table: Table) -> Iterator[Refusal]:
        """The rows that refer to a row that was refused; they are remembered as such."""
        own = table.definition["name"]
        if "module" in table.definition:
            return
        rows = list(self._connection.execute(f"PRAGMA main.foreign_key_list({quoted(own)})"))
        for _, group in groupby(sorted(rows, key=lambda row: (row[0], row[1])), key=lambda row: row[0]):
            parts = list(group)
            other = str(parts[0][2])
            gone = self._gone.get(other.casefold(), [])
            targets = [str(part[4]) for part in parts] if parts[0][4] is not None else self._primary_key(other)
            if not gone or len(targets) != len(parts):
                continue
            try:
                where = self._prepared(own, [str(part[3]) for part in parts], other, targets, gone)
            except apsw.SQLError:  # the key refers to columns that cannot be referred to: it was never checked
                continue
            for batch in list(read_rows(self._connection, table, where=where)):
                for key, row in zip(batch.keys.to_list(), bound_rows(table, batch), strict=True):
                    yield Refusal(table.name, key or b"", f"it refers to a row of {other} that is left out")
                    self._remember(table, row)

    def _remember(self, table: Table, row: Row) -> None:
        values = {field.name.casefold(): value for field, value in zip(inserted_columns(table), row, strict=True)}
        self._gone.setdefault(table.definition["name"].casefold(), []).append(values)

    def _primary_key(self, name: str) -> list[str]:
        found = self._connection.execute(f"PRAGMA main.table_info({quoted(name)})")
        return [str(row[1]) for row in sorted((row for row in found if row[5]), key=lambda row: row[5])]

    def _prepared(
        self, own: str, columns: Sequence[str], other: str, targets: Sequence[str], gone: Sequence[dict[str, Any]]
    ) -> str:
        """The condition that a row refers to one that is gone, over a temporary table of what these were known by."""
        names = ", ".join(map(quoted, targets))
        self._connection.execute("DROP TABLE IF EXISTS temp.snapstore_gone")
        self._connection.execute(
            f"CREATE TEMP TABLE snapstore_gone AS SELECT {names} FROM main.{quoted(other)} WHERE false"
        )
        marks = ", ".join("?" for _ in targets)
        values = [tuple(row.get(name.casefold()) for name in targets) for row in gone]
        known = [row for row in values if all(isinstance(value, int | float | str | bytes) for value in row)]
        self._connection.executemany(f"INSERT INTO temp.snapstore_gone VALUES ({marks})", known)
        mine = [f"{quoted(own)}.{quoted(name)}" for name in columns]
        terms = []
        for name, one in zip(targets, mine, strict=True):
            collation = self._connection.column_metadata("main", other, name)[1]
            terms.append(f"snapstore_other.{quoted(name)} COLLATE {quoted(collation)} = {one}")
        meets = " AND ".join(terms)
        return (
            f"EXISTS (SELECT 1 FROM temp.snapstore_gone AS snapstore_other WHERE {meets}) "
            f"AND NOT EXISTS (SELECT 1 FROM main.{quoted(other)} AS snapstore_other WHERE {meets})"
        )
