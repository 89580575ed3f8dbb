"""The rows of a live table as columns of cells in the forms in which they are held: what a view and a restore read by.

    for cells in read_cells(connection, table, condition="heat > 0.5"):       # in the order of fields_of(...)
        ...

Works in the transaction that is open. It knows what the server sends and what is kept of it, and nothing of keys but
the order they give.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any

import psycopg
from psycopg import sql

from snapstore.errors import Conflict
from snapstore.rows import Cells, Column, Table
from snapstore.sources.postgres import large
from snapstore.sources.postgres.copying import Field, decode, fields_of
from snapstore.sources.postgres.forms import Form, forms_of
from snapstore.sources.postgres.oids import to_names
from snapstore.sources.postgres.ordering import order_by
from snapstore.sources.postgres.stream import groups

__all__ = ["forms_in", "read_cells", "relation_of"]


def read_cells(
    connection: psycopg.Connection[Any],
    table: Table,
    columns: Sequence[Column] | None = None,
    *,
    condition: str | None = None,
    also: sql.Composable | None = None,
    more: Sequence[tuple[Field, sql.Composable]] = (),
    instead: Callable[[str, sql.Composable], sql.Composable] | None = None,
) -> Generator[tuple[int, tuple[Cells, ...]], None, None]:
    """Groups of rows, in order of key where there is one: how many, and the cells of each field of
    `fields_of(table.key, columns)`, by default all columns. `condition` is the user's own, `also` ours. Before all
    others come the fields of `more`, as they are selected; `instead` may select something else for a column.
    """
    fields = fields_of(() if table.by_content else table.key, table.columns if columns is None else columns)
    forms = forms_in(connection, table, [field.name for field in fields])
    has_text = any(form.kind == "text" for form in forms.values())
    if has_text:
        # Names are held in full, whatever is in the path.
        connection.execute("SET LOCAL search_path = ''")
    sent = (*(field for field, _ in more), *fields)
    selected = [_selected(field.name, forms) for field in fields]
    if instead is not None:
        selected = [instead(field.name, one) for field, one in zip(fields, selected, strict=True)]
    query = _copy_query(connection, table, [*(one for _, one in more), *selected], forms, condition, also)
    with closing(groups(connection, query, table.name)) as found:
        for rows in found:
            count = len(rows)
            cells = decode(table.name, sent, rows)
            rows.clear()  # a large row is not to be held twice
            yield (
                count,
                (
                    *cells[: len(more)],
                    *(_kept(field, own, forms) for field, own in zip(fields, cells[len(more) :], strict=True)),
                ),
            )
    if has_text:
        connection.execute("SET LOCAL search_path TO DEFAULT")


def forms_in(connection: psycopg.Connection[Any], table: Table, names: Sequence[str]) -> dict[str, Form]:
    """The forms, in this database, of those of these columns that are not held as the server sends them, or that have
    rows of a table in them.

    Raises `Conflict` where the live column can no longer be held in the form of the snapshot, or is made of others.
    """
    told = {one["name"]: one["form"] for one in table.definition.get("columns", ()) if "form" in one}
    # The type of a column that has rows of some table in it (`Types.spelled`).
    types = {part.name: part.type for part in table.key} | {column.name: column.type for column in table.columns}
    made_of = {name: spelled for name, spelled in types.items() if spelled.endswith((")", ")[]"))}
    forms = forms_of(connection, relation_of(table), [name for name in names if name in told or name in made_of])
    for name in names:
        if name in told and (name not in forms or forms[name].kind != told[name]):
            raise Conflict(f"{table.name}.{name} is of another kind of type than in the snapshot")
        if name in made_of and (name not in forms or forms[name].spelled != made_of[name]):
            now = forms[name].spelled if name in forms else "nothing"
            raise Conflict(
                f"{table.name}.{name} is made of {now}, and was of {made_of[name]} when the snapshot was taken",
                hint="give the live types and tables the columns they had, or restore into another database",
            )
    return forms


def relation_of(table: Table) -> sql.Identifier:
    """The table's qualified name for a query."""
    return sql.Identifier(table.definition["schema"], table.definition["name"])


def _selected(name: str, forms: dict[str, Form]) -> sql.Composable:
    return forms[name].sent(sql.Identifier(name)) if name in forms else sql.Identifier(name)


def _kept(field: Field, cells: Cells, forms: dict[str, Form]) -> Cells:
    form = forms.get(field.name)
    return to_names(form.shape, cells) if form is not None and form.kind == "named" else cells


def _copy_query(
    connection: psycopg.Connection[Any],
    table: Table,
    selected: Sequence[sql.Composable],
    forms: dict[str, Form],
    condition: str | None,
    also: sql.Composable | None,
) -> sql.Composed:
    encoding = connection.info.parameter_status("server_encoding") or ""
    sends = {column["name"]: column["send"] for column in table.definition["columns"]}
    # The condition is the user's own SQL. The line ends keep a comment at its end from swallowing what follows.
    chosen: list[sql.Composable] = [] if condition is None else [sql.SQL("(\n" + condition + "\n)")]
    if also is not None:
        chosen.append(also)
    where = sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(chosen)) if chosen else sql.SQL("")
    order: sql.Composable = sql.SQL("")
    if not table.by_content:
        terms = [
            order_by(part, send=sends[part.name], encoding=encoding, form=forms.get(part.name)) for part in table.key
        ]
        order = sql.SQL(" ORDER BY {}").format(sql.SQL(", ").join(terms))
    place = large.rows() if large.is_large_objects(table) else sql.SQL("ONLY {}").format(relation_of(table))
    return sql.SQL("COPY (SELECT {} FROM {}{}{}) TO STDOUT (FORMAT BINARY)").format(
        sql.SQL(", ").join(selected), place, where, order
    )
