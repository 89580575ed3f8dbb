"""What can still be read of a damaged database.

    told = report(connection, tables)                 # lines for people, one a table
    rescue = Rescue(connection, encoding)
    rescue.table(table)                               # True: it was damaged, and its rows are in rescue.connection

Rows are looked for by their rowid, past each damaged place, and copied to a database of their own, from which they are
read in order like any others. What damage took away without a trace nobody can tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import apsw

from snapstore import tagged
from snapstore.errors import Corrupt
from snapstore.rows import Table
from snapstore.sources.sqlite.connection import quoted
from snapstore.sources.sqlite.reading import columns_of, exact_rows, ordered, read_rows, selected

__all__ = ["Rescue", "report"]

_DAMAGE = (apsw.CorruptError, apsw.NotADBError, apsw.IOError)
_LAST = (1 << 63) - 1  # the greatest rowid


def report(connection: apsw.Connection, tables: Sequence[Table]) -> list[str]:
    """How many rows of each table can be read, until the first damage."""
    lines = []
    for table in tables:
        if table.definition.get("held", "rows") != "rows":
            continue
        count, damage = _drained(connection, table)
        if damage:
            lines.append(f"{table.name}: damaged after {count:,} rows that can be read")
        else:
            lines.append(f"{table.name}: all of its {count:,} rows can be read")
    return lines


def _drained(connection: apsw.Connection, table: Table) -> tuple[int, bool]:
    """How many rows come by in order of their key, and whether that is the end of them."""
    count = 0
    try:
        for batch in read_rows(connection, table):
            count += len(batch)
    except (*_DAMAGE, apsw.SQLError, Corrupt):
        return count, True
    return count, False


class Rescue:
    """A database in a temporary file for the rows of damaged tables; `told` says in words what became of each."""

    def __init__(self, connection: apsw.Connection, encoding: str) -> None:
        self._damaged = connection
        self._encoding = encoding
        self.connection = apsw.Connection("")  # a temporary file that vanishes with the connection
        self.connection.pragma("encoding", encoding)
        self.told: list[str] = []

    def table(self, table: Table) -> bool:
        """Copy what can be read of a table, if not all of it can."""
        if not _drained(self._damaged, table)[1]:
            return False
        fields = columns_of(table)
        name = f"main.{quoted(table.definition['name'])}"
        self.connection.execute(f"CREATE TABLE {name} ({', '.join(quoted(one.name) for one in fields)})")
        if not table.by_content:
            terms = ordered(table).removeprefix(" ORDER BY ")
            index = quoted(f"snapstore {len(self.told)}")
            self.connection.execute(f"CREATE UNIQUE INDEX main.{index} ON {quoted(table.definition['name'])} ({terms})")
        with self.connection:
            for row in self._rows(table):
                marks = ", ".join("CAST(? AS TEXT)" if type(one) is tagged.RawText else "?" for one in row)
                values = tuple(one.data if isinstance(one, tagged.RawText) else one for one in row)
                self.connection.execute(f"INSERT OR IGNORE INTO {name} VALUES ({marks})", values)
        count = self.connection.execute(f"SELECT count(*) FROM {name}").get
        self.told.append(f"table {table.name}: it is damaged; {count:,} of its rows could be read")
        return True

    def _rows(self, table: Table) -> Iterator[tuple[Any, ...]]:
        rowid = next((part.name for part in table.key if part.encoding == "int8"), table.definition["rowid"])
        if rowid and any(field.name == rowid for field in columns_of(table)):
            yield from self._by_rowid(table, rowid)
        else:
            for descending in (False, True):
                yield from self._until_damage(table, order=_order(table, descending=descending))

    def _until_damage(
        self, table: Table, *, where: str | None = None, order: str = "", values: tuple[int, ...] = ()
    ) -> Iterator[tuple[Any, ...]]:
        query = selected(table, exact=True, where=where, order=order)
        try:
            yield from exact_rows(self._damaged.execute(query, values), self._encoding)
        except (*_DAMAGE, apsw.SQLError):
            return

    def _by_rowid(self, table: Table, rowid: str) -> Iterator[tuple[Any, ...]]:
        """Rows upwards; past a damaged place the next rowid from which reading goes on."""
        name, column = quoted(table.definition["name"]), quoted(rowid)
        at = [field.name for field in columns_of(table)].index(rowid)
        start = -(1 << 63)
        while True:
            last = None
            where = f"{column} >= ?"
            for row in self._until_damage(table, where=where, order=f" ORDER BY {column}", values=(start,)):
                yield row
                last = row[at]
            after = start if last is None else int(last) + 1
            found = self._next_readable(name, column, after)
            if found is None:
                return
            start = found

    def _next_readable(self, name: str, column: str, after: int) -> int | None:
        """The least rowid, as far as halving finds it, from which a row can be read; None if there is none."""
        query = f"SELECT * FROM main.{name} WHERE {column} >= ? ORDER BY {column} LIMIT 1"

        def is_readable(start: int) -> bool | None:
            try:
                return bool(self._damaged.execute(query, (start,)).fetchall())
            except (*_DAMAGE, apsw.SQLError, UnicodeDecodeError):
                return None

        after = max(after, self._least(name, column))
        furthest = _LAST - after
        if furthest < 1:
            return None
        low, high = 0, 1
        while (found := is_readable(after + high)) is None:
            if high == furthest:
                return None
            low, high = high, min(2 * high, furthest)
        # Damage ends between the two. A start after the last row gives none and no damage: rows may stand before it.
        least = after + high if found else None
        while high - low > 1:
            middle = (low + high) // 2
            found = is_readable(after + middle)
            low, high = (middle, high) if found is None else (low, middle)
            least = after + middle if found else least
        return least

    def _least(self, name: str, column: str) -> int:
        try:
            return int(self._damaged.execute(f"SELECT min({column}) FROM main.{name}").get or 0)
        except (*_DAMAGE, apsw.SQLError):
            return 0


def _order(table: Table, *, descending: bool) -> str:
    names = table.definition["primary_key"] or [part.name for part in table.key]
    return " ORDER BY " + ", ".join(quoted(name) + (" DESC" if descending else "") for name in names)
