"""What a SQLite database has: its tables as `Table`s, and whatever else recreating it needs.

    catalog = read_catalog(connection, Selection())
    catalog.tables, catalog.definition, catalog.missing

It reads the schema inside the caller's transaction and decides what the key of each table is
(docs/decisions/0012); it reads no rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apsw

from snapstore.errors import Invalid, Unsupported
from snapstore.rows import Column, KeyPart, Table
from snapstore.sources import Selection
from snapstore.sources.patterns import fits
from snapstore.sources.sqlite.connection import quoted
from snapstore.sources.sqlite.modules import Virtual, read_virtual

__all__ = ["Catalog", "is_empty", "read_catalog"]

SCHEMA = "main"
_COLLATIONS = {"binary": "value", "nocase": "nocase", "rtrim": "rtrim"}
_ROWIDS = ("rowid", "_rowid_", "oid")
_PRAGMAS = ("page_size", "auto_vacuum", "user_version", "application_id", "encoding", "journal_mode")
_VECTOR_WORDS = ("embedding", "vector")
_CONTENT = (KeyPart("", "", "fixed20", lossless=False),)  # rows by content (format.md §8)
_HINT = "leave each out with --exclude NAME, or take the rest and name these as missing: --allow-partial"


@dataclass(frozen=True, slots=True)
class Catalog:
    """Tables that are held, what else there is, and what is left out with a reason."""

    tables: tuple[Table, ...]
    definition: Mapping[str, Any]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row of the schema table."""

    kind: str
    name: str
    table: str
    sql: str | None


def is_empty(connection: apsw.Connection) -> bool:
    """Whether nothing was ever made in the database."""
    return bool(connection.execute("SELECT count(*) FROM main.sqlite_schema").get == 0)


def read_catalog(connection: apsw.Connection, selection: Selection, *, absent: bool = False) -> Catalog:
    """The selected tables. Raises `Unsupported` naming what cannot be held, unless the selection is partial, and
    `Invalid` for a pattern that fits nothing, unless that may be (`absent`).
    """
    return _Reader(connection, selection, absent=absent).read()


class _Reader:
    def __init__(self, connection: apsw.Connection, selection: Selection, *, absent: bool) -> None:
        self._connection = connection
        self._selection = selection
        self._absent = absent
        rows = connection.execute("SELECT type, name, tbl_name, sql FROM main.sqlite_schema ORDER BY rowid")
        self._entries = [_Entry(*row) for row in rows]
        self._refused: dict[str, str] = {}
        self._pragmas = {name: connection.pragma(name, schema=SCHEMA) for name in _PRAGMAS}

    def read(self) -> Catalog:
        listed = {row[1]: row for row in self._connection.execute("PRAGMA main.table_list")}
        virtuals = [self._virtual(one) for one in self._entries if one.kind == "table" and _is_virtual(one)]
        # A module nobody knows may own all that begins with its name, so the longer name goes before the shorter one.
        by_length = sorted(virtuals, key=lambda virtual: len(virtual.name))
        parts = {
            one.name: virtual
            for one in self._entries
            for virtual in by_length
            if one.kind == "table" and not _is_virtual(one) and virtual.owns(one.name, self._columns(one.name))
        }
        tables = []
        for entry in self._entries:
            if entry.kind != "table" or entry.name.startswith("sqlite_"):
                continue
            virtual = next((one for one in virtuals if one.name == entry.name), parts.get(entry.name))
            is_part = entry.name in parts
            if virtual is not None and (virtual.held == "parts") != is_part:
                continue
            if not self._is_meant(entry.name, *([virtual.name] if virtual is not None and is_part else [])):
                continue
            _, _, _, _, without_rowid, strict = listed[entry.name]
            try:
                tables.append(self._table(entry, virtual, bool(without_rowid), bool(strict)))
            except Unsupported as error:
                self._refused[f"table {SCHEMA}.{entry.name}"] = error.message
        self._check_patterns()
        self._check_names(tables)
        meant = [one for one in virtuals if self._is_meant(one.name) or any(t.part_of == one.name for t in tables)]
        return Catalog(tuple(self._in_order(tables)), self._definition(meant), self._missing())

    def _virtual(self, entry: _Entry) -> Virtual:
        try:
            self._connection.execute(f"SELECT * FROM main.{quoted(entry.name)} LIMIT 0")
        except apsw.SQLError:
            return read_virtual(entry.name, entry.sql or "", works=False)
        return read_virtual(entry.name, entry.sql or "")

    def _columns(self, table: str) -> list[str]:
        return [str(row[1]) for row in self._connection.execute(f"PRAGMA main.table_xinfo({quoted(table)})")]

    def _is_meant(self, *names: str) -> bool:
        """Whether the selection means a table by one of its names: its own, and that of what it is a part of."""
        named = [f"{SCHEMA}.{name}" for name in names]
        chosen = not self._selection.tables or any(fits(one, name) for one in self._selection.tables for name in named)
        return chosen and not any(fits(one, name) for one in self._selection.exclude for name in named)

    def _check_patterns(self) -> None:
        names = [f"{SCHEMA}.{one.name}" for one in self._entries if one.kind in ("table", "view")]
        for pattern in (*self._selection.tables, *self._selection.exclude):
            if not self._absent and not any(fits(pattern, name) for name in names):
                raise Invalid(
                    f"nothing in this database fits the pattern {pattern!r}",
                    hint="patterns are names of tables, may use * and ?, and mind capitals",
                )

    def _check_names(self, tables: Sequence[Table]) -> None:
        """Conditions and columns must be about selected tables: else more would be taken than was asked for."""
        if self._absent:
            return
        refused = {key.removeprefix("table ") for key in self._refused}
        names = {table.name for table in tables} | refused
        for name in sorted({*self._selection.where, *self._selection.columns} - names):
            raise Invalid(f"a condition or columns are given for {name}, which is not among the selected tables")
        columns = [f"{table.name}.{one['name']}" for table in tables for one in table.definition["columns"]]
        for pattern in self._selection.exclude_columns:
            if any(_fits_column(pattern, one) for one in columns) or any(pattern.startswith(f"{n}.") for n in refused):
                continue
            raise Invalid(f"there is no column {pattern} to leave out", hint="columns are written table.column")
        for name, only in self._selection.columns.items():
            for one in only:
                if name not in refused and f"{name}.{one}" not in columns:
                    raise Invalid(f"there is no column {one} in {name}")

    def _missing(self) -> tuple[str, ...]:
        lines = [f"{key}: {reason}" for key, reason in sorted(self._refused.items())]
        if lines and not self._selection.partial:
            told = "\n".join(f"  {line}" for line in lines)
            count = f"{len(lines)} thing{'s' if len(lines) > 1 else ''}"
            raise Unsupported(f"{count} in this database cannot be held:\n{told}", hint=_HINT)
        return tuple(lines)

    def _definition(self, virtuals: Sequence[Virtual]) -> dict[str, Any]:
        names = {one.name for one in self._entries}
        sequences: dict[str, int] = {}
        if "sqlite_sequence" in names:
            rows = self._connection.execute("SELECT name, seq FROM main.sqlite_sequence WHERE typeof(seq) = 'integer'")
            sequences = {name: seq for name, seq in rows if isinstance(name, str)}
        return {
            **self._pragmas,
            "sequences": sequences,
            "has_statistics": "sqlite_stat1" in names,
            "virtual": [{"name": one.name, "sql": one.sql} for one in virtuals if one.held == "parts"],
            "views": [{"name": one.name, "sql": one.sql} for one in self._entries if one.kind == "view"],
            "view_triggers": self._of("trigger", {one.name for one in self._entries if one.kind == "view"}),
        }

    def _of(self, kind: str, tables: set[str]) -> list[dict[str, str]]:
        return [
            {"name": one.name, "sql": one.sql, "table": one.table}
            for one in self._entries
            if one.kind == kind and one.table in tables and one.sql is not None
        ]

    def _table(self, entry: _Entry, virtual: Virtual | None, without_rowid: bool, strict: bool) -> Table:
        own = virtual if virtual is not None and virtual.name == entry.name else None
        has_rowid_column = False
        infos = list(self._connection.execute(f"PRAGMA main.table_xinfo({quoted(entry.name)})"))
        hidden = () if own is None else own.hidden
        stored = [
            (name, declared, number) for _, name, declared, _, _, number, state in infos if state == 0 or name in hidden
        ]
        names = {name.casefold() for name, _, _ in stored} | {one[1].casefold() for one in infos}
        rowid = "" if without_rowid else next((one for one in _ROWIDS if one not in names), "")
        columns = [self._column(name, declared, strict, own) for name, declared, _ in stored]
        key: tuple[KeyPart, ...] = _CONTENT
        if own is not None and not own.has_rows:
            columns, rowid = [], ""
        elif own is not None:
            key, rowid = _virtual_key(own, [one[0] for one in stored if one[2]], infos)
            columns = [one for one in columns if one.name != key[0].name]
        else:
            key = self._key(entry.name, stored, without_rowid, rowid)
            columns = [one for one in columns if not any(one.name == part.name and part.lossless for part in key)]
            if has_rowid_column := bool(rowid) and not _is_alias(key):
                columns.append(Column(rowid, "sqlite.integer", width=8))
        definition: dict[str, Any] = {
            "name": entry.name,
            "sql": entry.sql,
            "rowid": rowid,
            "without_rowid": without_rowid,
            "strict": strict,
            "primary_key": [name for _, name in sorted((number, name) for name, _, number in stored if number)],
            "columns": [
                {
                    "name": name,
                    "type": declared,
                    "not_null": bool(not_null),
                    "default": default,
                    "computed": state in (2, 3),
                }
                for _, name, declared, not_null, default, _, state in infos
                if state != 1 or name in hidden
            ],
            "indexes": self._of("index", {entry.name}),
            "triggers": self._of("trigger", {entry.name}),
        }
        if has_rowid_column:
            definition["loose"] = [rowid]
        if virtual is not None:
            definition["part_of" if own is None else "module"] = virtual.name if own is None else virtual.module
        if own is not None:
            definition |= {"held": own.held, "content": own.content, "settings": self._settings(own)}
        return self._without(Table(f"{SCHEMA}.{entry.name}", key, tuple(columns), definition))

    def _settings(self, virtual: Virtual) -> list[list[Any]]:
        """What a full-text table was told after it was made: how it ranks, how it merges."""
        if not virtual.settings:
            return []
        rows = self._connection.execute(f"SELECT k, v FROM main.{quoted(virtual.settings)} WHERE k <> 'version'")
        return [list(row) for row in rows]

    def _column(self, name: str, declared: str, strict: bool, virtual: Virtual | None) -> Column:
        if virtual is not None:
            is_vector = virtual.is_vector(name)
            return Column(name, "sqlite.blob" if is_vector else "sqlite.value", stride=virtual.stride(name))
        kind = declared.upper()
        if strict and kind in ("INT", "INTEGER", "REAL"):
            return Column(name, "sqlite.real" if kind == "REAL" else "sqlite.integer", width=8)
        if strict and kind == "BLOB":
            return Column(name, "sqlite.blob", stride=_stride(name, kind))
        if strict and kind == "TEXT" and self._pragmas["encoding"] == "UTF-8":
            return Column(name, "sqlite.text")
        return Column(name, "sqlite.value", stride=_stride(name, kind))

    def _key(self, table: str, stored: Sequence[Any], without_rowid: bool, rowid: str) -> tuple[KeyPart, ...]:
        """docs/decisions/0012: the primary key where it names every row, else the rowid, else the row's content."""
        declared = {name: kind for name, kind, _ in stored}
        keyed = sorted((number, name) for name, _, number in stored if number)
        index = next(
            (row[1] for row in self._connection.execute(f"PRAGMA main.index_list({quoted(table)})") if row[3] == "pk"),
            None,
        )
        if len(keyed) == 1 and index is None and not without_rowid and declared[keyed[0][1]].upper() == "INTEGER":
            return (KeyPart(keyed[0][1], "sqlite.integer", "int8"),)
        parts = () if index is None else self._parts(index)
        if parts and not without_rowid and self._has_null(table, [part.name for part in parts]):
            parts = ()
        if parts:
            return parts
        if rowid:
            return (KeyPart(rowid, "sqlite.integer", "int8"),)
        return _CONTENT

    def _parts(self, index: str) -> tuple[KeyPart, ...]:
        parts = []
        for _, _, name, _, collation, is_key in self._connection.execute(f"PRAGMA main.index_xinfo({quoted(index)})"):
            if not is_key:
                continue
            encoding = _COLLATIONS.get(collation.casefold())
            if encoding is None or self._pragmas["encoding"] != "UTF-8":
                return ()
            parts.append(KeyPart(name, "sqlite.value", encoding, lossless=encoding == "value"))
        return tuple(parts)

    def _has_null(self, table: str, names: Sequence[str]) -> bool:
        """SQLite lets the primary key of a table with rowids be NULL, in any number of rows."""
        condition = " OR ".join(f"{quoted(name)} IS NULL" for name in names)
        query = f"SELECT EXISTS (SELECT 1 FROM main.{quoted(table)} WHERE {condition})"
        return bool(self._connection.execute(query).get)

    def _without(self, table: Table) -> Table:
        """The table without the columns that the selection leaves out."""
        out = []
        only = self._selection.columns.get(table.name)
        for part in table.key:
            whole = f"{table.name}.{part.name}"
            if any(whole in (one, f"{SCHEMA}.{one}") for one in self._selection.exclude_columns):
                raise Invalid(f"{table.name}.{part.name} is part of the key and cannot be left out")
        kept = {*table.definition.get("loose", ()), *(part.name for part in table.key)}
        for column in table.columns:
            excluded = any(_fits_column(one, f"{table.name}.{column.name}") for one in self._selection.exclude_columns)
            is_other = only is not None and column.name not in only and column.name not in kept
            if excluded or is_other or (not self._selection.vectors and column.stride > 1):
                out.append(column.name)
        if not out:
            return table
        held = tuple(column for column in table.columns if column.name not in out)
        return replace(table, columns=held, definition={**table.definition, "left_out": out})

    def _in_order(self, tables: Sequence[Table]) -> list[Table]:
        """Referenced tables first, as far as that goes."""
        by_name = {table.definition["name"].casefold(): table for table in tables}
        done: dict[str, Table] = {}

        def visit(name: str, open_: frozenset[str]) -> None:
            if name in done or name in open_ or name not in by_name:
                return
            query = f"PRAGMA main.foreign_key_list({quoted(by_name[name].definition['name'])})"
            for row in list(self._connection.execute(query)):
                visit(str(row[2]).casefold(), open_ | {name})
            done[name] = by_name[name]

        for name in by_name:
            visit(name, frozenset())
        return list(done.values())


def _fits_column(pattern: str, column: str) -> bool:
    """Whether a pattern means this column (`main.table.column`), with the schema or without."""
    return fits(pattern, column) or column == f"{SCHEMA}.{pattern}"


def _is_virtual(entry: _Entry) -> bool:
    return (entry.sql or "").lstrip()[:14].upper() == "CREATE VIRTUAL"


def _is_alias(key: tuple[KeyPart, ...]) -> bool:
    """Whether the key is the rowid by another name."""
    return key[0].encoding == "int8"


def _virtual_key(virtual: Virtual, keyed: Sequence[str], infos: Sequence[Any]) -> tuple[tuple[KeyPart, ...], str]:
    """The key of a virtual table's rows, and the name of its rowid."""
    if keyed:
        return (KeyPart(keyed[0], "sqlite.value", "value"),), ""
    name = str(infos[0][1]) if virtual.module in ("rtree", "rtree_i32") else virtual.key
    return (KeyPart(name, "sqlite.integer", "int8"),), name


def _stride(name: str, declared: str) -> int:
    """Columns that by their name and type hold float32 vectors compress as such; it changes nothing else."""
    is_blob = declared in ("BLOB", "") or declared.startswith(("F32_BLOB", "FLOAT32", "VECTOR"))
    return 4 if is_blob and any(word in name.casefold() for word in _VECTOR_WORDS) else 1
