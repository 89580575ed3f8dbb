"""One consistent state of a PostgreSQL database, as far as a selection goes (DESIGN: take).

    with open_view(url, Selection(tables=("public.*",)), PostgresView) as view:
        for batch in view.read(view.tables[0]):
            ...

How it comes to be one state is `snapstore.sources.postgres.locking`. Nothing is changed; restoring builds on the same
view with a stronger lock (`snapstore.sources.postgres.target`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, ClassVar, TypeVar

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from snapstore import keys
from snapstore.errors import Conflict, Corrupt, Invalid, Unavailable, Unsupported
from snapstore.multiset import by_content
from snapstore.rows import Batch, Cells, Table
from snapstore.sources import Selection
from snapstore.sources.postgres.catalog import Catalog
from snapstore.sources.postgres.connection import connect, translate, translated
from snapstore.sources.postgres.copying import Field, batch_of
from snapstore.sources.postgres.counting import count_rows
from snapstore.sources.postgres.culprit import is_about_a_row_sent, unsent
from snapstore.sources.postgres.large import is_large_objects
from snapstore.sources.postgres.locking import begin, read_again
from snapstore.sources.postgres.position import read_position
from snapstore.sources.postgres.reading import read_cells
from snapstore.sources.postgres.stamps import Window, doubt, moved, moved_condition, read_context, window_of
from snapstore.sources.postgres.stream import ahead
from snapstore.sources.postgres.toast import hint_of, hints_of, without_old, written_since

__all__ = ["PostgresView", "open_view"]

_LONGEST_KEY_BYTES = 65_533  # format.md §4


T = TypeVar("T")


class PostgresView:
    """The `View` over a transaction that is open, locked and has its snapshot. Made by `open_view`."""

    lock_mode: ClassVar[str] = "ACCESS SHARE"
    is_writable: ClassVar[bool] = False

    def __init__(
        self, connection: psycopg.Connection[Any], selection: Selection, catalog: Catalog, position: Mapping[str, Any]
    ) -> None:
        self._connection = connection
        self._selection = selection
        self._catalog = catalog
        self._position = position
        self._reading = ""
        self._open: Generator[Any, None, None] | None = None
        self._facts: dict[str, Any] | None = None

    @property
    def tables(self) -> Sequence[Table]:
        """The selected tables, referenced ones first."""
        return self._catalog.tables

    @property
    def definition(self) -> Mapping[str, Any]:
        """Extensions, schemas, types, sequences and whatever else recreating needs beyond tables."""
        return self._catalog.definition

    @property
    def position(self) -> Mapping[str, Any]:
        """As `snapstore.sources.postgres.position.read_position` gives it."""
        return self._position

    @property
    def missing(self) -> Sequence[str]:
        """What is selected and not held, and why."""
        return self._catalog.missing

    def read(self, table: Table) -> Iterator[Batch]:
        """The rows of a table of this shape, in ascending order of key, at most 8,192 rows or about 8 MB at once.

        One table at a time; closing the iterator early leaves the view usable. Raises `Invalid` for a bad
        condition, `Corrupt` where the server's order or a row does not hold, `Unsupported` for a key too long.
        """
        yield from self._guarded(table, self._parse(table), _size)

    def count(self, table: Table) -> tuple[int, bool]:
        """As `Counts.count`."""
        condition = self._selection.where.get(table.name)
        try:
            return count_rows(self._connection, table, condition)
        except psycopg.Error as error:
            raise self._condition_error(table, error) or translate(error, f"{table.name} cannot be counted") from error

    def context(self) -> Mapping[str, Any]:
        """As `Stamped.context`; read once, in this view's own transaction."""
        if self._facts is None:
            with translated("the context of stamps cannot be read"):
                self._facts = read_context(self._connection, self._catalog.tables, self._position)
        return self._facts

    def doubt(self, table: Table, since: Mapping[str, Any]) -> str:
        """As `Stamped.doubt`."""
        if table.by_content:
            return "it has no key"
        if is_large_objects(table):
            return "large objects have no stamps"
        if any(column.get("form") == "text" for column in table.definition["columns"]):
            return "it has cells that name things, which may have been renamed"
        return doubt(self.context(), since, table.name)

    def stamps(self, table: Table, since: Mapping[str, Any]) -> Generator[tuple[Cells, NDArray[np.bool_]], None, None]:
        """As `Stamped.stamps`: keys and xmin alone."""
        window = window_of(self._position, since, is_writable=self.is_writable)
        yield from self._guarded(table, self._parse_stamps(table, window), _size_of_stamps)

    def read_moved(self, table: Table, since: Mapping[str, Any]) -> Generator[Batch, None, None]:
        """As `Stamped.read_moved`."""
        window = window_of(self._position, since, is_writable=self.is_writable)
        yield from self._guarded(table, self._parse(table, window), _size)

    def hints(self, table: Table) -> Table | None:
        """As `Hinting.hints`."""
        with translated(f"the hints of {table.name} cannot be looked for"):
            return hints_of(self._connection, table)

    def read_hinted(
        self,
        table: Table,
        hints: Table,
        since: Mapping[str, Any] | None = None,
        *,
        leave_out: bool = False,
        is_much: bool = False,
    ) -> Generator[Batch, None, None]:
        """As `Hinting.read_hinted`."""
        window = None if since is None else window_of(self._position, since, is_writable=self.is_writable)
        rows = self._parse(table, window, hints, leave_out=leave_out, is_much=is_much)
        yield from self._guarded(table, rows, _size)

    def confirm(self) -> None:
        """End the reading transaction, then look at the catalogue anew: `Conflict` if a table's shape has moved."""
        with translated("the reading transaction cannot be ended"):
            self._connection.execute("COMMIT")
        fresh = read_again(self._connection, self._selection)
        now = {table.name: table for table in fresh.tables}
        for table in self._catalog.tables:
            if now.get(table.name) != table:
                raise Conflict(f"{table.name} changed its shape while it was read", hint="take the snapshot again")
        if self._facts is not None:
            # Functions that write cells look past the snapshot, at the catalogue of the moment: a label of an enum
            # that was renamed meanwhile stands in some rows and not in others.
            with translated("the context of stamps cannot be read again"):
                facts = read_context(self._connection, self._catalog.tables, self._position)
            if (facts["types"], facts["tables"]) != (self._facts["types"], self._facts["tables"]):
                raise Conflict("a type or table changed while it was read", hint="take the snapshot again")

    def close(self) -> None:
        """Stop a read that was left open, so that the connection may be closed."""
        if self._open is not None:
            self._open.close()

    def _guarded(
        self, table: Table, source: Generator[T, None, None], size_of: Callable[[T], int]
    ) -> Generator[T, None, None]:
        """Read under a savepoint: the transaction survives a bad condition and a reader who stops early."""
        if self._reading:
            raise Invalid(f"{table.name} cannot be read while {self._reading} is being read")
        doing, done = f"{table.name} cannot be read", False
        self._reading = table.name
        try:
            with translated(doing):
                self._connection.execute("SAVEPOINT snapstore_read")
            rows = self._open = ahead(self._connection, source, size_of)
            try:
                yield from rows
            except psycopg.Error as error:
                raise self._condition_error(table, error) or translate(error, doing) from error
            with translated(doing):
                self._connection.execute("RELEASE snapstore_read")
            done = True
        finally:
            self._reading, self._open = "", None
            if not done:
                with suppress(psycopg.Error):
                    self._connection.execute("ROLLBACK TO snapstore_read; RELEASE snapstore_read")

    def _condition_error(self, table: Table, error: psycopg.Error) -> Invalid | None:
        """What to say if a query failed on the user's own part of it."""
        condition = self._selection.where.get(table.name)
        if condition is None or not _is_about_a_condition(error):
            return None
        said = error.diag.message_primary
        return Invalid(
            f"the condition for {table.name} ({condition}) is not one the server understands: {said}",
            hint="write what could stand after WHERE, over the columns of that table",
        )

    def _parse(
        self,
        table: Table,
        window: Window | None = None,
        hints: Table | None = None,
        *,
        leave_out: bool = False,
        is_much: bool = False,
    ) -> Generator[Batch, None, None]:
        condition = self._selection.where.get(table.name)
        also = None if window is None else moved_condition(window)
        hinted = () if hints is None else tuple(column.name for column in hints.columns)
        more = [hint_of(table, name) for name in hinted]
        new = None
        if is_much and leave_out and hints is not None and window is not None:
            # Looking for each row's value takes the server four times as long as all else of such a read (measured).
            new = written_since(self._connection, hints, window)

        def instead(name: str, sent: sql.Composable) -> sql.Composable:
            if name not in hinted or hints is None or window is None or not leave_out:
                return sent
            return without_old(table, name, hints, sent, window, new)

        before: Cells | None = None
        given = 0

        def counted() -> Iterator[tuple[int, tuple[Cells, ...]]]:
            nonlocal given
            for count, cells in found:
                given += count
                yield count, cells

        with closing(
            read_cells(self._connection, table, condition=condition, also=also, more=more, instead=instead)
        ) as found:
            if table.by_content:
                batches = by_content(table, (cells or count for count, cells in counted()))
            else:
                batches = (_batch_of(table, cells, len(more)) for _, cells in counted())
            try:
                for batch in batches:
                    before = _check_keys(table.name, before, batch.keys)
                    yield batch
            except psycopg.Error as error:
                if not is_about_a_row_sent(error):
                    raise
                with suppress(psycopg.Error):
                    self._connection.execute("ROLLBACK TO snapstore_read")
                raise unsent(self._connection, error, table, given, condition, also) from error

    def _parse_stamps(self, table: Table, window: Window) -> Generator[tuple[Cells, NDArray[np.bool_]], None, None]:
        condition = self._selection.where.get(table.name)
        stamp = (Field("xmin", width=4), sql.SQL("xmin"))
        before: Cells | None = None
        with closing(read_cells(self._connection, table, (), condition=condition, more=[stamp])) as found:
            for _, (xmins, *cells) in found:
                encoded = batch_of(table.key, (), cells).keys
                before = _check_keys(table.name, before, encoded)
                yield encoded, moved(xmins, window)


AnyView = TypeVar("AnyView", bound=PostgresView)


@contextmanager
def open_view(
    url: str, selection: Selection, kind: type[AnyView], *, lock_timeout_seconds: float = 10.0, absent: bool = False
) -> Iterator[AnyView]:
    """Open a view of this kind, which says how its tables are locked and whether it may write.

    A writable view commits when its context ends without error; anything else rolls back. `absent` allows patterns
    of tables that fit nothing. Raises `Unavailable` for a lock that does not come in time, naming the table.
    """
    connection = connect(url)
    try:
        catalog = begin(
            connection,
            selection,
            lock_mode=kind.lock_mode,
            is_writable=kind.is_writable,
            lock_timeout_seconds=lock_timeout_seconds,
            absent=absent,
        )
        with translated("the position cannot be read"):
            position = read_position(connection)
        view = kind(connection, selection, catalog, position)
        try:
            yield view
        finally:
            view.close()
        if kind.is_writable:
            _commit(connection)
    finally:
        connection.close()  # rolls back what is open


def _commit(connection: psycopg.Connection[Any]) -> None:
    try:
        with translated("the changes cannot be committed"):
            connection.execute("COMMIT")
    except Unavailable as error:
        if not connection.closed:
            raise
        raise Unavailable(
            f"the connection was lost while the changes were committed, so nobody knows whether they were: {error}",
            hint="compare the snapshot with the live rows; if the changes are there, an undo takes them back",
        ) from error


def _is_about_a_condition(error: psycopg.Error) -> bool:
    """Whether a query failed on the one part of it that is not ours: what it names, or what it computes."""
    state = error.sqlstate or ""
    return state[:2] in ("42", "22", "21") and state != psycopg.errors.InsufficientPrivilege.sqlstate


def _batch_of(table: Table, cells: Sequence[Cells], hints: int) -> Batch:
    """The rows with these cells, of which so many are hints: their columns come last."""
    batch = batch_of(table.key, table.columns, cells[hints:])
    return Batch(batch.keys, (*batch.columns, *cells[:hints]))


def _size(batch: Batch) -> int:
    """Bytes of memory, near enough."""
    return sum(cells.data.nbytes + cells.offsets.nbytes for cells in (batch.keys, *batch.columns))


def _size_of_stamps(stamps: tuple[Cells, NDArray[np.bool_]]) -> int:
    keys, flags = stamps
    return keys.data.nbytes + keys.offsets.nbytes + flags.nbytes


def _check_keys(table: str, before: Cells | None, encoded: Cells) -> Cells:
    """The last key of these, all greater than the one `before`."""
    if (encoded.lengths > _LONGEST_KEY_BYTES).any():
        raise Unsupported(f"{table} has a key longer than {_LONGEST_KEY_BYTES:,} bytes, which cannot be held")
    run = encoded if before is None else Cells.concat([before, encoded])
    if not keys.is_ascending(run):
        raise Corrupt(
            f"{table}: the server gives rows out of the order of their key, or one key twice",
            hint=f"its index may be damaged: REINDEX TABLE {table}, then try again",
        )
    return encoded.slice(len(encoded) - 1, len(encoded))
