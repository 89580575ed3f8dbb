"""Rows into a SQLite table, out of it, and changed in it.

    insert_rows(connection, table, batches)
    update_rows(connection, table, ["heat"], batches)
    delete_rows(connection, table, keys)

Values are bound, never written into a statement; the class of each is kept. Conflict clauses in a table's definition
(`ON CONFLICT REPLACE`) do not count: a row in the way is an error, or told to whom wants to leave such rows out (a
`Refuse`). It begins and ends no transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from snapstore import keys, tagged
from snapstore.errors import Conflict, Unsupported
from snapstore.multiset import DIGEST_BYTES, digests_of
from snapstore.rows import Batch, Cells, Column, Table
from snapstore.sources.sqlite.connection import quoted
from snapstore.sources.sqlite.modules import read_virtual
from snapstore.sources.sqlite.reading import collated, columns_of, read_cells

__all__ = ["Refuse", "Row", "bound_rows", "delete_rows", "insert_rows", "inserted_columns", "update_rows"]

Row = tuple[Any, ...]

Refuse = Callable[[bytes, Row, str], None]
"""Is told of a row that is refused: its key, its values as they were bound, and the engine's words."""

_HOMELESS = 4096
"""Rows that wait for another rowid, at most."""


@dataclass(frozen=True, slots=True)
class _Done:
    """How many rows a statement changed, and the numbers and values of those it could not insert where they were."""

    count: int
    homeless: list[tuple[int, Row]]


def insert_rows(
    connection: apsw.Connection, table: Table, batches: Iterable[Batch], refuse: Refuse | None = None
) -> tuple[int, int]:
    """Insert rows; returns how many, and how many of them got another rowid because theirs is taken by a row that
    stays. Raises `Conflict` naming a row that cannot be inserted, unless it can be told to `refuse`; then it counts.
    """
    fields = inserted_columns(table)
    wrap = _wrapper(table)
    into = f"main.{quoted(table.definition['name'])} ({', '.join(quoted(one.name) for one in fields)})"

    def statement(casts: Sequence[bool]) -> str:
        values = ["CAST(? AS TEXT)" if cast else wrap(one.name) for one, cast in zip(fields, casts, strict=True)]
        return f"INSERT OR ABORT INTO {into} VALUES ({', '.join(values)})"

    loose = [at for at, field in enumerate(fields) if field.name in table.loose]
    done = moved = 0
    homeless: list[Row] = []
    homeless_keys: list[bytes] = []

    def settle() -> None:
        # NULL for a rowid lets the engine choose. They come last, so that they take no place of a row to come.
        if homeless:
            refusing = _refusing(refuse, homeless_keys)
            _run(connection, table, statement, list(zip(*homeless, strict=True)), "inserted", refuse=refusing)
            homeless.clear()
            homeless_keys.clear()

    for batch in batches:
        columns = [_values(field, own) for field, own in zip(fields, _cells(table, batch, fields), strict=True)]
        own = batch.keys.to_list()
        refusing = _refusing(refuse, own)
        found = _run(connection, table, statement, columns, "inserted", movable=bool(loose), refuse=refusing)
        for number, row in found.homeless:
            homeless.append(tuple(None if at in loose else value for at, value in enumerate(row)))
            homeless_keys.append(own[number] or b"")
            moved += 1
        if len(homeless) >= _HOMELESS:
            settle()
        done += len(batch)
    settle()
    return done, moved


def update_rows(
    connection: apsw.Connection,
    table: Table,
    columns: Sequence[str],
    batches: Iterable[Batch],
    refuse: Refuse | None = None,
) -> int:
    """Set these columns of the rows found by key; returns how many there were. `refuse` is as for `insert_rows`."""
    fields = [table.columns[table.column(name)] for name in columns]
    terms = _key_terms(table)

    def statement(casts: Sequence[bool]) -> str:
        marks = ["CAST(? AS TEXT)" if cast else "?" for cast in casts]
        sets = ", ".join(f"{quoted(one.name)} = {mark}" for one, mark in zip(fields, marks, strict=False))
        found = " AND ".join(f"{one} = {mark}" for one, mark in zip(terms, marks[len(fields) :], strict=True))
        return f"UPDATE OR ABORT main.{quoted(table.definition['name'])} SET {sets} WHERE {found}"

    done = 0
    for batch in batches:
        values = [_values(field, own) for field, own in zip(fields, batch.columns, strict=True)]
        values += _key_values(table, batch.keys)
        refusing = _refusing(refuse, batch.keys.to_list())
        done += _run(connection, table, statement, values, "updated", refuse=refusing).count
    return done


def delete_rows(connection: apsw.Connection, table: Table, groups: Iterable[Cells]) -> int:
    """Delete the rows with these keys; returns how many there were."""
    if table.by_content:
        return _delete_by_content(connection, table, groups)
    terms = _key_terms(table)

    def statement(casts: Sequence[bool]) -> str:
        marks = ["CAST(? AS TEXT)" if cast else "?" for cast in casts]
        found = " AND ".join(f"{one} = {mark}" for one, mark in zip(terms, marks, strict=True))
        return f"DELETE FROM main.{quoted(table.definition['name'])} WHERE {found}"

    return sum(_run(connection, table, statement, _key_values(table, group), "deleted").count for group in groups)


def _delete_by_content(connection: apsw.Connection, table: Table, groups: Iterable[Cells]) -> int:
    """Rows known by their content: found by reading all of them, and deleted by their primary key."""
    wanted = {(key or b"")[:DIGEST_BYTES] for group in groups for key in group.to_list()}
    names = table.definition["primary_key"]
    fields = [table.columns[table.column(name)] for name in names]
    found: list[list[Any]] = [[] for _ in names]
    for cells in read_cells(connection, table):
        for at, digest in enumerate(digests_of(table, cells)):
            if digest.tobytes() in wanted:
                for own, field in zip(found, fields, strict=True):
                    own.append(_values(field, cells[table.column(field.name)].slice(at, at + 1))[0])

    def statement(casts: Sequence[bool]) -> str:
        # These are the row's own values, whatever else equals them by the collation of the column.
        marks = [f"CAST(?{at} AS TEXT)" if cast else f"?{at}" for at, cast in enumerate(casts, 1)]
        terms = (
            f"{quoted(one)} = {mark} AND {quoted(one)} COLLATE BINARY = {mark}"
            for one, mark in zip(names, marks, strict=True)
        )
        condition = " AND ".join(terms)
        return f"DELETE FROM main.{quoted(table.definition['name'])} WHERE {condition}"

    return _run(connection, table, statement, found, "deleted").count


def _run(
    connection: apsw.Connection,
    table: Table,
    statement: Callable[[Sequence[bool]], str],
    columns: Sequence[Sequence[Any]],
    doing: str,
    *,
    movable: bool = False,
    refuse: Callable[[int, Row, str], None] | None = None,
) -> _Done:
    """Execute the statement for each row; where they are `movable` a rowid that is taken is no error. Where there is
    `refuse` it is told of rows the engine does not take, by number, and they count.
    """
    raw = any(type(value) is tagged.RawText for values in columns for value in values)
    one_by_one = raw or "module" in table.definition  # where a module counts its own changes too
    waiting = zip(*columns, strict=True)
    plain = statement([False] * len(columns))
    cursor, done, homeless = connection.cursor(), 0, list[tuple[int, Row]]()
    row: Row = ()
    number = -1

    def fed() -> Iterator[Row]:
        nonlocal row, number
        for row in waiting:  # the last one is remembered
            number += 1
            yield row

    while True:
        before = connection.total_changes()
        try:
            if not one_by_one:
                cursor.executemany(plain, fed())
            for row in fed():
                if raw and any(type(value) is tagged.RawText for value in row):
                    casts = [type(one) is tagged.RawText for one in row]
                    cursor.execute(statement(casts), _bytes(connection, table, row))
                else:
                    cursor.execute(plain, row)
                done += connection.changes()
        except (apsw.ConstraintError, apsw.MismatchError) as error:
            said = " ".join(str(error).split())
            is_homeless = movable and getattr(error, "extendedresult", 0) == apsw.SQLITE_CONSTRAINT_ROWID
            if is_homeless or refuse is not None:
                done += 0 if one_by_one else connection.total_changes() - before
                if is_homeless:
                    homeless.append((number, row))
                elif refuse is not None:
                    refuse(number, row, said)
                    done += 1
                continue  # with the row after
            raise Conflict(
                f"{table.name}: a row cannot be {doing}: {said} ({_told(row)})",
                hint=f"{_why(error)}, --on-error skip leaves such rows out; nothing was changed.",
            ) from error
        done += 0 if one_by_one else connection.total_changes() - before
        return _Done(done, homeless)


def _why(error: apsw.Error) -> str:
    if getattr(error, "extendedresult", 0) == apsw.SQLITE_CONSTRAINT_CHECK:
        return "The live table has other rules than it had (a table that was dropped is made as it was)"
    return "Another row is in the way. --conflict update or --exact may resolve it"


def _refusing(refuse: Refuse | None, own: Sequence[bytes | None]) -> Callable[[int, Row, str], None] | None:
    """The same for rows by their number among those with these keys."""
    if refuse is None:
        return None
    known = list(own)
    return lambda number, row, said: refuse(known[number] or b"", row, said)


def _bytes(connection: apsw.Connection, table: Table, row: Row) -> Row:
    """The row with raw text as bytes, which the statement casts."""
    encoding = str(connection.pragma("encoding", schema="main")).lower().replace("utf-16", "utf-16-")
    for value in row:
        if isinstance(value, tagged.RawText) and value.encoding != encoding:
            raise Unsupported(
                f"{table.name} holds a text that is not valid {value.encoding}, and this database is in {encoding}",
                hint="Restore it to a new file, which gets the encoding it had.",
            )
    return tuple(value.data if isinstance(value, tagged.RawText) else value for value in row)


def _told(row: Row) -> str:
    shown = ", ".join(repr(value)[:40] for value in row[:4])
    return shown + (", …" if len(row) > 4 else "")


def inserted_columns(table: Table) -> list[Column]:
    """The columns whose values an insert binds, in this order."""
    given = _given(table)
    return [column for column in columns_of(table) if column.name in given]


def bound_rows(table: Table, batch: Batch) -> list[Row]:
    """The values of these rows as an insert binds them, in the order of `inserted_columns`."""
    fields = inserted_columns(table)
    columns = [_values(field, own) for field, own in zip(fields, _cells(table, batch, fields), strict=True)]
    return list(zip(*columns, strict=True))


def _given(table: Table) -> set[str]:
    """The columns whose values a batch carries."""
    return {part.name for part in table.key if part.lossless} | {column.name for column in table.columns}


def _cells(table: Table, batch: Batch, fields: Sequence[Column]) -> Iterator[Cells]:
    of_key = (
        {}
        if table.by_content
        else dict(zip([part.name for part in table.key], keys.decode(table.key, batch.keys), strict=True))
    )
    stored = {column.name: own for column, own in zip(table.columns, batch.columns, strict=True)}
    for field in fields:
        cells = stored.get(field.name)
        found = of_key[field.name] if cells is None else cells
        assert found is not None
        yield found


def _key_terms(table: Table) -> list[str]:
    """What a statement finds rows by. Modules compare as they do, whatever a statement says."""
    return [quoted(part.name) if "module" in table.definition else collated(part) for part in table.key]


def _key_values(table: Table, found: Cells) -> list[list[Any]]:
    cells = keys.decode_equal(table.key, found)
    return [_values(Column(part.name, part.type), own) for part, own in zip(table.key, cells, strict=True)]


def _values(field: Column, cells: Cells) -> list[Any]:
    """The values to bind."""
    if field.type == "sqlite.value":
        return tagged.decode(cells)
    if field.type in ("sqlite.integer", "sqlite.real"):
        numbers = cells.data.view(">i8" if field.type == "sqlite.integer" else ">f8").tolist()
        if cells.valid is None:
            return list(numbers)
        return [number if ok else None for number, ok in zip(numbers, cells.valid.tolist(), strict=True)]
    if field.type == "sqlite.text":
        return [None if one is None else _text(one) for one in cells.to_list()]
    return list(cells.to_list())


def _text(data: bytes) -> str | tagged.RawText:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return tagged.RawText(data)


def _wrapper(table: Table) -> Callable[[str], str]:
    if "module" not in table.definition:
        return lambda _: "?"
    return read_virtual(table.definition["name"], table.definition["sql"]).expression
