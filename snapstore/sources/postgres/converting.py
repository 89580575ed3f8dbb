"""Asks the server to turn the cells of a snapshot into those of a live table whose columns have other types by now.

    with converting(url, table, live) as conversion:
        conversion.table            # the snapshot's table, its columns of the live types
        conversion.turn(batch)      # the same rows, as rows of that table
        conversion.lost["heat"]     # cells that turned back would be others

The cells go into a temporary table of the old types and from there into one of the live types, by INSERT … SELECT: what
the server does there is what it calls an assignment, and what it refuses there is refused here, with its words. Columns
of one type on both sides do not go to the server. Nothing else is read or locked, and all is rolled back.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg
from psycopg import sql

from snapstore import keys
from snapstore.errors import SnapstoreError, Unsupported
from snapstore.rows import Batch, Cells, Column, KeyPart, Table
from snapstore.sources import Refusal
from snapstore.sources.postgres.applying import insert_rows
from snapstore.sources.postgres.connection import connect, execute_one, translated
from snapstore.sources.postgres.culprit import first_refused, named_row
from snapstore.sources.postgres.ddl import text
from snapstore.sources.postgres.reading import read_cells
from snapstore.sources.postgres.sparing import Refused, is_about_a_row, said

__all__ = ["Conversion", "converting"]

# Floats are compared by their text, which must be exact; and the repository may be slow between two batches.
_BEGIN = """BEGIN; SET LOCAL extra_float_digits = 1; SET LOCAL statement_timeout = 0;
  SET LOCAL idle_in_transaction_session_timeout = 0"""

_GIVEN, _TAKEN = sql.Identifier("pg_temp", "snapstore_given"), sql.Identifier("pg_temp", "snapstore_taken")


@contextmanager
def converting(url: str, table: Table, live: Table) -> Iterator[Conversion]:
    """As `Converts.converting`."""
    connection = connect(url)
    try:
        with translated(f"cells of {table.name} cannot be converted"):
            connection.execute(_BEGIN)
            conversion = Conversion(connection, table, live)
        yield conversion
    finally:
        connection.close()  # rolls back


class Conversion:
    """As `snapstore.sources.Conversion`, over a transaction that is open."""

    def __init__(self, connection: psycopg.Connection[Any], table: Table, live: Table) -> None:
        self._connection = connection
        self._was = table
        now, then = (_types(one) for one in (live, table))
        self.columns = tuple(name for name in then if name in now and now[name] != then[name])
        self.table = _of_live_types(table, live, self.columns)
        self.lost: dict[str, int | None] = dict.fromkeys(self.columns, 0)
        self.notes = self._zones(then, now)
        number = "row"
        while number in then:
            number += "_"
        self._number = sql.Identifier(number)
        self._given = _carrier(_where_extensions_are(table, live), self.columns, number, "snapstore_given")
        self._taken = _carrier(self.table, self.columns, number, "snapstore_taken")
        for carrier in (self._given, self._taken):
            self._try(_create(carrier))
        self._try(self._assign())
        self._savepoint("SAVEPOINT snapstore_lost")
        try:
            execute_one(self._connection, self._count_lost())
        except psycopg.Error:
            self.lost = dict.fromkeys(self.columns)  # there is no way back to compare by
        self._savepoint("ROLLBACK TO snapstore_lost")

    def turn(self, batch: Batch, refused: Refused | None = None) -> Batch:
        """As `Conversion.turn`."""
        if refused is None:
            return self._turn(batch)
        turned, waiting = [self._turn(batch.slice(0, 0))], [batch]
        while waiting:
            some = waiting.pop()
            self._savepoint("SAVEPOINT snapstore_turn")
            try:
                turned.append(self._turn(some))
            except Unsupported as error:
                cause = error.__cause__.__cause__ if isinstance(error.__cause__, SnapstoreError) else error.__cause__
                if not is_about_a_row(cause):
                    raise
                self._savepoint("ROLLBACK TO snapstore_turn")
                if len(some) == 1:
                    refused(Refusal(self._was.name, some.keys[0] or b"", said(cause)))
                else:
                    middle = len(some) // 2
                    waiting += [some.slice(middle, len(some)), some.slice(0, middle)]
            self._savepoint("RELEASE snapstore_turn")
        return Batch.concat(turned)

    def _turn(self, batch: Batch) -> Batch:
        if not len(batch):
            return Batch(batch.keys, tuple(Cells.of([], width=column.width) for column in self.table.columns))
        cells = _cells(self._was, batch)
        cells.update(self._turned(batch, {name: cells[name] for name in self.columns}))
        key = keys.encode(self.table.key, [cells[part.name] for part in self.table.key])
        return Batch(key, tuple(cells[column.name] for column in self.table.columns))

    def _turned(self, batch: Batch, cells: Mapping[str, Cells]) -> dict[str, Cells]:
        count = len(batch)
        numbers = keys.encode(self._given.key, [_counted(count)])
        with translated(f"cells of {self._was.name} cannot be converted"):
            self._connection.execute(sql.SQL("TRUNCATE {}, {}").format(_GIVEN, _TAKEN))
            given = Batch(numbers, tuple(cells[one.name] for one in self._given.columns))
            try:
                insert_rows(self._connection, self._given, [given])
            except SnapstoreError as error:
                if not isinstance(error.__cause__, psycopg.Error):
                    raise
                # The old type is there and takes its own values no more, as a domain may.
                raise self._refusal(error.__cause__) from error
            self._savepoint("SAVEPOINT snapstore_rows")
            try:
                self._connection.execute(self._assign())
            except psycopg.Error as error:
                at = first_refused(
                    self._connection, error, count, lambda stop: self._connection.execute(self._assign(stop))
                )
                row = "" if at is None else named_row(self._was, batch.keys.slice(at, at + 1))
                raise self._refusal(error, row) from error
            self._count()
            self._savepoint("RELEASE snapstore_rows")
            groups = [own for _, own in read_cells(self._connection, self._taken)]
        columns = [Cells.concat(list(parts)) for parts in zip(*groups, strict=True)]
        return dict(zip(self.columns, columns[1:], strict=True))

    def _count(self) -> None:
        """Add up which cells are not what they were."""
        if not any(lost is not None for lost in self.lost.values()):
            return
        self._savepoint("SAVEPOINT snapstore_lost")
        try:
            row = self._connection.execute(self._count_lost()).fetchone()
        except psycopg.Error:
            self.lost = dict.fromkeys(self.columns)
            self._savepoint("ROLLBACK TO snapstore_lost")
            return
        self._savepoint("RELEASE snapstore_lost")
        assert row is not None
        for name, lost in zip(self.columns, row, strict=True):
            self.lost[name] = (self.lost[name] or 0) + lost

    def _zones(self, then: Mapping[str, tuple[str, str]], now: Mapping[str, tuple[str, str]]) -> dict[str, str]:
        """What becomes of a time with a zone in a column without one depends on the session: that of the database."""
        zoned = {"pg_catalog.timestamptz", "pg_catalog.timetz"}
        found = [name for name in self.columns if (then[name][1] in zoned) != (now[name][1] in zoned)]
        if not found:
            return {}
        [(zone,)] = self._connection.execute("SELECT current_setting('TimeZone')").fetchall()
        return dict.fromkeys(found, f"times in the zone {zone}")

    def _try(self, statement: sql.Composed) -> None:
        try:
            execute_one(self._connection, statement)
        except psycopg.Error as error:
            raise self._refusal(error) from error

    def _refusal(self, error: psycopg.Error, row: str = "") -> Unsupported:
        said = error.diag.message_primary or str(error)
        if (error.sqlstate or "")[:2] not in ("22", "23", "42", "0A"):
            raise error
        there = f" in the row {row}" if row else ""
        return Unsupported(f"the server does not convert its cells{there}: {said}")

    def _savepoint(self, statement: str) -> None:
        self._connection.execute(statement.encode())

    def _assign(self, stop: int | None = None) -> sql.Composed:
        names = sql.SQL(", ").join([self._number, *map(sql.Identifier, self.columns)])
        some: sql.Composable = sql.SQL("")
        if stop is not None:
            some = sql.SQL(" WHERE {} < {}").format(self._number, sql.Literal(stop))
        return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}{}").format(_TAKEN, names, names, _GIVEN, some)

    def _count_lost(self) -> sql.Composed:
        then = {column["name"]: column["type"] for column in self._given.definition["columns"]}
        counts = [
            sql.SQL("count(*) FILTER (WHERE CAST(taken.{0} AS {1})::text IS DISTINCT FROM given.{0}::text)").format(
                sql.Identifier(name), text(then[name])
            )
            for name in self.columns
        ]
        return sql.SQL("SELECT {} FROM {} AS given JOIN {} AS taken USING ({})").format(
            sql.SQL(", ").join(counts), _GIVEN, _TAKEN, self._number
        )


def _types(table: Table) -> dict[str, tuple[str, str]]:
    """The types of the columns that are held, by name: as declared, and beneath domains."""
    held = {part.name for part in table.key} | {column.name for column in table.columns}
    return {one["name"]: (one["type"], one["base_type"]) for one in table.definition["columns"] if one["name"] in held}


def _of_live_types(table: Table, live: Table, names: Sequence[str]) -> Table:
    """The table with these columns as they are now."""
    now = {column.name: column for column in live.columns}
    new = {part.name: part for part in live.key}
    key = tuple(new[part.name] if part.name in names else part for part in table.key)
    in_key = {part.name for part in key if part.lossless}
    # A part of the key that the key does not hold exactly is a column as well.
    columns = [now[part.name] for part in key if part.name in names and part.name not in in_key]
    columns += [now.get(one.name, one) if one.name in names else one for one in table.columns]
    columns = [one for one in {one.name: one for one in columns}.values() if one.name not in in_key]
    definitions = {one["name"]: one for one in live.definition["columns"]}
    listed = [definitions[one["name"]] if one["name"] in names else one for one in table.definition["columns"]]
    return Table(table.name, key, tuple(columns), {**table.definition, "columns": listed})


def _where_extensions_are(table: Table, live: Table) -> Table:
    """The table with types of extensions in the schemas where these are now (`extensions.vector` on some services)."""
    now = {one["name"]: one for one in live.definition["columns"]}
    listed = []
    for column in table.definition["columns"]:
        then = column
        there, bare = now.get(then["name"], {}), then["base_type"].rpartition(".")[2]
        if then["extension"] and then["extension"] == there.get("extension") and then["type"] != there["type"]:
            is_same = bare == there["base_type"].rpartition(".")[2] and there["base_kind"] == then["base_kind"] == "b"
            form = re.fullmatch(r"(.*?)(\([^()]*\))?", then["type"])
            if is_same and form is not None and "." in form[1]:
                schema = there["type"].rpartition(".")[0]
                then = {**then, "type": f"{schema}.{form[1].rpartition('.')[2]}{form[2] or ''}"}
        listed.append(then)
    return dataclasses.replace(table, definition={**table.definition, "columns": listed})


def _carrier(table: Table, names: Sequence[str], number: str, name: str) -> Table:
    """A temporary table of these columns, whose key is the number of the row."""
    parts = {part.name: Column(part.name, part.type, part.width) for part in table.key}
    stored = {**parts, **{column.name: column for column in table.columns}}
    listed = [one for one in table.definition["columns"] if one["name"] in names]
    key = KeyPart(number, "pg_catalog.int4", "int4")
    plain = {"name": number, "type": "pg_catalog.int4", "base_type": "pg_catalog.int4", "send": None}
    columns = [plain, *({**one, "identity": None} for one in listed)]
    definition = {"schema": "pg_temp", "name": name, "columns": [{**one, "generated": None} for one in columns]}
    return Table(name, (key,), tuple(stored[one] for one in names), definition)


def _create(carrier: Table) -> sql.Composed:
    declared = [
        sql.SQL("{} {}").format(sql.Identifier(one["name"]), text(one["type"])) for one in carrier.definition["columns"]
    ]
    return sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(
        sql.Identifier(carrier.name), sql.SQL(", ").join(declared)
    )


def _cells(table: Table, batch: Batch) -> dict[str, Cells]:
    """The cells of each column, also of those that only the key holds."""
    decoded = zip(table.key, keys.decode(table.key, batch.keys), strict=True)
    cells = {part.name: own for part, own in decoded if own is not None}
    return {**cells, **{one.name: own for one, own in zip(table.columns, batch.columns, strict=True)}}


def _counted(count: int) -> Cells:
    return Cells.fixed(np.arange(count, dtype=">i4").view(np.uint8).reshape(-1, 4))
