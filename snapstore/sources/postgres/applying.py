"""Rows into a live table: inserted, updated and deleted, many at once, by COPY BINARY.

    insert_rows(connection, table, batches)
    update_rows(connection, table, ["heat"], batches)     # Batch.columns are these columns alone
    delete_rows(connection, table, keys)

Nothing is turned into text on the way. Updates and deletions go through a temporary table that ends with the
transaction, and one statement that joins it by key, so that the server plans once and only what differs is set. Memory
is bounded by a batch.

Errors are ours, and name the table, the row by its key (where the batches can be gone through again to find it), the
server's words and its DETAIL. Where somebody wants to be told of rows that are refused they are none: the others go in.
What else stands in the way of rows (triggers, foreign keys) is up to `snapstore.sources.postgres.target`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from psycopg import sql

from snapstore import keys
from snapstore.rows import Batch, Cells, Table
from snapstore.sources.postgres.connection import explained, explanation
from snapstore.sources.postgres.contents import delete_by_content
from snapstore.sources.postgres.copying import HEADER, TRAILER, encode
from snapstore.sources.postgres.culprit import RefusedError, copied_line, first_refused, first_rows, named_row_at
from snapstore.sources.postgres.ddl import relation
from snapstore.sources.postgres.given import GIVEN, Given, same_key, temporary
from snapstore.sources.postgres.sparing import Refused, is_about_a_row, write_taken
from snapstore.sources.postgres.stream import ahead

__all__ = ["delete_rows", "insert_rows", "update_rows"]

_Write = Callable[[Iterable[Batch]], int]


def insert_rows(
    connection: psycopg.Connection[Any], table: Table, batches: Iterable[Batch], refused: Refused | None = None
) -> int:
    """Insert whole rows; returns how many. Raises `Conflict` naming a row in the way, with the server's DETAIL.

    Every stored column is named, so dropped columns and another order of columns do not matter; generated ones
    are left to the server. GENERATED ALWAYS AS IDENTITY columns are filled as they are told to be. Where `refused` is
    given, it is told of the rows in the way, and they count.
    """
    write = _inserting(connection, table, find=refused is None)
    return _written(connection, table, batches, write, "cannot be inserted into", refused)


def update_rows(
    connection: psycopg.Connection[Any],
    table: Table,
    columns: Sequence[str],
    batches: Iterable[Batch],
    refused: Refused | None = None,
) -> int:
    """Set these columns in the rows with these keys; returns how many there were. Keys occur once in all batches.

    `refused` is as for `insert_rows`.
    """
    write = _updating(connection, table, columns, find=refused is None)
    return _written(connection, table, batches, write, "cannot be updated in", refused)


def _written(
    connection: psycopg.Connection[Any],
    table: Table,
    batches: Iterable[Batch],
    write: _Write,
    doing: str,
    refused: Refused | None,
) -> int:
    if refused is None:
        with _named(table, batches, doing):
            return write(batches)
    with _named(table, (), doing):
        return write_taken(connection, table, batches, write, refused)


def _inserting(connection: psycopg.Connection[Any], table: Table, *, find: bool) -> _Write:
    generated = {column["name"] for column in table.definition.get("columns", ()) if column["generated"]}
    from_key = [part.lossless and part.name not in generated for part in table.key]
    names = [part.name for part, is_meant in zip(table.key, from_key, strict=True) if is_meant]
    names += [column.name for column in table.columns]
    given = Given(connection, table, names)

    def rows(batches: Iterable[Batch]) -> Generator[memoryview, None, None]:
        for batch in batches:
            if len(batch):
                decoded = keys.decode(table.key, batch.keys)
                cells = [one for one, is_meant in zip(decoded, from_key, strict=True) if is_meant and one is not None]
                yield given.encode([*cells, *batch.columns])

    def write(batches: Iterable[Batch]) -> int:
        if not names:
            return _insert_nothing(connection, table, sum(map(len, batches)))
        into = relation(table.definition)
        if not given.has_text:
            return _copy_ahead(connection, into, names, rows(batches), name=table.definition["name"])
        places = [sql.Identifier(f"c{at}") for at in range(len(names))]
        with temporary(connection, table, given, "c") as passed:
            copied = _copy_ahead(connection, passed, [f"c{at}" for at in range(len(names))], rows(batches))
            statement = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} AS given WHERE ").format(
                into,
                sql.SQL(", ").join(map(sql.Identifier, names)),
                sql.SQL(", ").join(given.taken(name, place) for name, place in zip(names, places, strict=True)),
                passed,
            )
            return _execute(connection, statement, passed, copied, find=find)

    return write


def _updating(connection: psycopg.Connection[Any], table: Table, columns: Sequence[str], *, find: bool) -> _Write:
    key, set_ = Given(connection, table, [part.name for part in table.key]), Given(connection, table, columns)
    settings = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), set_.taken(name, sql.Identifier("given", f"c{at}")))
        for at, name in enumerate(columns)
    )
    names = [f"k{at}" for at in range(len(table.key))] + [f"c{at}" for at in range(len(columns))]
    same: sql.Composed | None = None

    def rows(batches: Iterable[Batch]) -> Iterator[memoryview]:
        for batch in batches:
            if len(batch):
                cells = [*key.live(keys.decode_equal(table.key, batch.keys)), *set_.live(batch.columns)]
                yield encode(table.name, [*key.fields, *set_.fields], cells)

    def write(batches: Iterable[Batch]) -> int:
        nonlocal same
        with temporary(connection, table, key, "k", set_) as given:
            copied = _copy(connection, given, names, rows(batches))
            same = same or same_key(connection, table, key)
            statement = sql.SQL("UPDATE ONLY {} AS live SET {} FROM {} AS given WHERE {} AND ").format(
                relation(table.definition), settings, given, same
            )
            return _execute(connection, statement, given, copied, find=find)

    return write


def delete_rows(connection: psycopg.Connection[Any], table: Table, groups: Iterable[Cells]) -> int:
    """Delete the rows with these keys, which ascend; returns how many there were."""
    if table.by_content:
        with explained(f"rows of {table.name} cannot be deleted"):
            return delete_by_content(connection, table, groups)
    key = Given(connection, table, [part.name for part in table.key])

    def rows() -> Iterator[memoryview]:
        for group in groups:
            if len(group):
                yield key.encode(keys.decode_equal(table.key, group))

    with _named(table, (), "cannot be deleted from"), temporary(connection, table, key, "k") as given:
        _copy(connection, given, [f"k{at}" for at in range(len(table.key))], rows())
        statement = sql.SQL("DELETE FROM ONLY {} AS live USING {} AS given WHERE {}")
        return connection.execute(
            statement.format(relation(table.definition), given, same_key(connection, table, key))
        ).rowcount


@contextmanager
def _named(table: Table, batches: Iterable[Batch], doing: str) -> Iterator[None]:
    """As `explained`, with the row by its key."""
    try:
        yield
    except (psycopg.Error, RefusedError) as error:
        cause = error if isinstance(error, psycopg.Error) else error.__cause__
        assert isinstance(cause, psycopg.Error)
        number = error.number if isinstance(error, RefusedError) else None
        row = named_row_at(table, batches, number)
        ours = explanation(cause, f"{f'the row {row}' if row else 'rows'} {doing} {table.name}")
        if is_about_a_row(cause):
            ours.hint = f"{ours.hint}; " * bool(ours.hint) + "--on-error skip leaves such rows out; nothing was changed"
        raise ours from cause


def _execute(
    connection: psycopg.Connection[Any], statement: sql.Composed, given: sql.Composable, count: int, *, find: bool
) -> int:
    """Run a statement over all `count` rows of the table `given`; its condition is still to be ended.

    Unless told to `find` it, a row that is refused is not looked for.
    """
    if not find:
        return connection.execute(sql.SQL("{}true").format(statement)).rowcount
    connection.execute("SAVEPOINT snapstore_rows")
    try:
        done = connection.execute(sql.SQL("{}true").format(statement)).rowcount
    except psycopg.Error as error:
        number = first_refused(
            connection,
            error,
            count,
            lambda stop: connection.execute(sql.SQL("{}{}").format(statement, first_rows(given, stop))),
        )
        raise RefusedError(number) from error
    connection.execute("RELEASE snapstore_rows")
    return done


def _copy(
    connection: psycopg.Connection[Any],
    into: sql.Composable,
    names: Sequence[str],
    rows: Iterable[memoryview],
    *,
    name: str = GIVEN,
) -> int:
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)")
    with connection.cursor() as cursor:
        try:
            with cursor.copy(statement.format(into, sql.SQL(", ").join(map(sql.Identifier, names)))) as copy:
                copy.write(HEADER)
                for some in rows:
                    copy.write(some)
                copy.write(TRAILER)
        except psycopg.Error as error:
            raise RefusedError(copied_line(error, name)) from error
        return cursor.rowcount


def _copy_ahead(
    connection: psycopg.Connection[Any],
    into: sql.Composable,
    names: Sequence[str],
    rows: Generator[memoryview, None, None],
    *,
    name: str = GIVEN,
) -> int:
    """As `_copy`, while the server is at the rows before the next ones are fetched and put in its form."""
    with closing(ahead(None, rows, len)) as made:
        return _copy(connection, into, names, made, name=name)


def _insert_nothing(connection: psycopg.Connection[Any], table: Table, count: int) -> int:
    """Rows of a table in which no column is stored."""
    statement = sql.SQL("INSERT INTO {} SELECT FROM pg_catalog.generate_series(1, {})")
    return connection.execute(statement.format(relation(table.definition), sql.Literal(count))).rowcount
