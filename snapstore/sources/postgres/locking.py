"""How a transaction comes to show one state of tables that others change: list, lock, snapshot, list again.

    catalog = begin(connection, selection, lock_mode="ACCESS SHARE", is_writable=False, lock_timeout_seconds=10)

The order is the point. Tables are listed; they are locked, as the first statements of a transaction that has no
snapshot yet; only then comes the snapshot; and the list is read again within it. A snapshot taken before the locks
would show a table that another session truncates or rewrites meanwhile as empty, in silence.

It reads no rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import sql

from snapstore.errors import Conflict, Invalid, SnapstoreError, Unsupported
from snapstore.rows import Table
from snapstore.sources import Selection
from snapstore.sources.postgres import large
from snapstore.sources.postgres.catalog import Catalog, read_catalog
from snapstore.sources.postgres.connection import translated
from snapstore.sources.postgres.waiting import BusyError, Patience, busy

__all__ = ["begin", "read_again", "relation_of", "set_locally"]

_ATTEMPTS = 5

# For the transaction only (poolers hand the session on). SET takes no snapshot; set_config() would. What the server
# writes (definitions, cells held as text) and reads must not hang on settings of the database, the role or the client.
_SETTINGS = {
    "client_encoding": "UTF8",
    "row_security": "off",  # fail rather than filter
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "work_mem": "64MB",
    "jit": "off",
    "standard_conforming_strings": "on",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmloption": "content",
    "quote_all_identifiers": "off",
    "array_nulls": "on",
    "transform_null_equals": "off",
}


def begin(
    connection: psycopg.Connection[Any],
    selection: Selection,
    *,
    lock_mode: str,
    is_writable: bool,
    lock_timeout_seconds: float,
    absent: bool = False,
) -> Catalog:
    """Begin a REPEATABLE READ transaction in which the selected tables are locked; what they are.

    `absent` allows patterns of tables that fit nothing. Raises `Unavailable` naming the table for a lock that does not
    come in time, `Conflict` where tables keep changing, and what `read_catalog` raises.
    """
    access = "READ WRITE" if is_writable else "READ ONLY"
    patience = Patience(lock_timeout_seconds)
    moved: list[str] = []
    while len(moved) < _ATTEMPTS:
        lock_timeout = _milliseconds(patience.slice_seconds)
        try:
            with busy():
                listed = _list(connection, selection, lock_timeout, absent=absent)
                with translated("a transaction cannot be begun"):
                    connection.execute(f"BEGIN ISOLATION LEVEL REPEATABLE READ {access}")
                    set_locally(connection, lock_timeout)
                _lock(connection, listed.tables, lock_mode)
                catalog = _read_catalog(connection, selection, absent=absent)
            _check_same(listed.tables, catalog.tables)
        except _MovedError as error:
            moved.append(str(error))
            _roll_back(connection)
        except BusyError as error:
            _roll_back(connection)
            patience.wait(connection, error, lock_mode)
        else:
            with translated("the transaction cannot be set up"):
                connection.execute(f"SET LOCAL lock_timeout = '{_milliseconds(lock_timeout_seconds)}'")
                # read_catalog empties it; conditions may use functions and operators of extensions.
                connection.execute("SET LOCAL search_path TO DEFAULT")
            return catalog
    raise Conflict(
        f"tables keep changing while they are listed, last: {moved[-1]}", hint="wait until the migration is over"
    )


def read_again(connection: psycopg.Connection[Any], selection: Selection) -> Catalog:
    """The catalogue as it is now, in a transaction of its own; raises `Conflict` where it cannot be had any more."""
    try:
        with _transaction(connection, "READ ONLY"):
            with translated("the catalogue cannot be read again"):
                set_locally(connection)
            return _read_catalog(connection, selection, absent=True)
    except (Invalid, Unsupported, _MovedError) as error:
        raise Conflict(f"the schema changed while it was read: {error}", hint="take the snapshot again") from error


def relation_of(table: Table) -> sql.Identifier:
    """The table's qualified name for a query."""
    return sql.Identifier(table.definition["schema"], table.definition["name"])


@contextmanager
def _transaction(connection: psycopg.Connection[Any], access: str) -> Iterator[None]:
    with translated("a transaction cannot be begun"):
        connection.execute(f"BEGIN ISOLATION LEVEL REPEATABLE READ {access}")
    try:
        yield
    except BaseException:
        with suppress(psycopg.Error):
            connection.execute("ROLLBACK")
        raise
    with translated("a transaction cannot be ended"):
        connection.execute("COMMIT")


def _milliseconds(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def _roll_back(connection: psycopg.Connection[Any]) -> None:
    with translated("the transaction cannot be ended"):
        connection.execute("ROLLBACK")


def set_locally(connection: psycopg.Connection[Any], lock_timeout: str = "0") -> None:
    """Settings until the transaction that is open ends, under which every server writes and reads the same words."""
    settings = {**_SETTINGS, "lock_timeout": lock_timeout}
    if connection.info.server_version >= 170_000:
        settings["transaction_timeout"] = "0"
    assignments = [
        sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value))
        for name, value in settings.items()
    ]
    connection.execute(sql.SQL("; ").join(assignments))


class _MovedError(Exception):
    """Someone else changed what was being listed: begin again."""


def _list(connection: psycopg.Connection[Any], selection: Selection, lock_timeout: str, *, absent: bool) -> Catalog:
    """The catalogue in a transaction of its own."""
    with _transaction(connection, "READ ONLY"):
        with translated("the catalogue cannot be read"):
            set_locally(connection, lock_timeout)
        return _read_catalog(connection, selection, absent=absent)


def _read_catalog(connection: psycopg.Connection[Any], selection: Selection, *, absent: bool) -> Catalog:
    """The catalogue; raises `_MovedError` where someone dropped or altered what was being described.

    The server's own functions look at the newest state, not at the snapshot's, and complain of what is missing in it
    as of an internal error.
    """
    try:
        with translated("the catalogue cannot be read"):
            return read_catalog(connection, selection, absent=absent)
    except SnapstoreError as error:
        cause = error.__cause__
        if isinstance(cause, psycopg.Error) and (cause.sqlstate == "XX000" or isinstance(error, Conflict)):
            raise _MovedError(error.message) from error
        raise


def _lock(connection: psycopg.Connection[Any], tables: Sequence[Table], mode: str) -> None:
    """Lock every table; raises `_MovedError` naming one that is gone by now."""
    for table in tables:
        if large.is_large_objects(table):
            with translated("the large objects cannot be locked"):
                large.lock(connection, mode)
            continue
        statement = sql.SQL("LOCK TABLE ONLY {} IN {} MODE").format(relation_of(table), sql.SQL(mode))
        try:
            with translated(f"{table.name} cannot be locked"):
                connection.execute(statement)
        except Conflict as error:
            if isinstance(error.__cause__, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
                raise _MovedError(error.message) from error
            raise


def _check_same(before: Sequence[Table], after: Sequence[Table]) -> None:
    """Raise `_MovedError` naming a table that is not the same in both."""
    old, new = ({table.name: table for table in tables} for tables in (before, after))
    for name in [*old, *new]:
        if old.get(name) != new.get(name):
            raise _MovedError(f"{name} came, went or changed")
