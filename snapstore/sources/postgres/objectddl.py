"""The statements that make everything but tables: schemas, types, sequences, functions, views and the rest.

    for statement in create_object(definition["objects"]["view public.happy"]):
        connection.execute(statement)

As `snapstore.sources.postgres.ddl`, whose words it uses: plain data in, statements out.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from snapstore.errors import Unsupported
from snapstore.sources.postgres.ddl import (
    COMPRESSION,
    Part,
    Statement,
    alter,
    collate,
    comment_on,
    create_indexes,
    named_not_null,
    options_of,
    relation,
    sequence_options,
    set_column,
    text,
    using,
    with_options,
)
from snapstore.sources.postgres.extrasddl import create_statistics, identify_replicas

__all__ = ["create_object", "finish_materialized_view", "own_sequence", "refresh"]


def create_object(one: Part) -> Iterator[Statement]:
    """What makes a schema, extension, type, sequence, function, procedure or view, and its comment."""
    kind = one["kind"]
    name: sql.Composable
    if "statements" in one:
        yield from map(text, one["statements"])
        if one["kind"] != "type":
            return  # the comment is one of them
        name = relation(one)
    elif kind == "schema":
        name = sql.Identifier(one["name"])
        yield sql.SQL("CREATE SCHEMA {}").format(name)
    elif kind == "type":
        name = relation(one)
        yield from _create_type(one)
    elif kind == "sequence":
        name = relation(one)
        unlogged = sql.SQL("UNLOGGED " if one["persistence"] == "u" else "")
        yield sql.SQL("CREATE {}SEQUENCE {} AS {} {}").format(unlogged, name, text(one["type"]), sequence_options(one))
    elif kind in ("function", "procedure"):
        name = sql.SQL("{}({})").format(relation(one), text(one["arguments"]))
        yield text(one["definition"])
    elif kind == "view":
        name = relation(one)
        yield from _create_view(one)
    elif kind == "materialized view":
        name = relation(one)
        # Its rows come last, when every table has its own.
        options = options_of(one["options"]) + options_of(one["toast_options"], "toast.")
        query = text(one["definition"].rstrip().removesuffix(";"))
        words = sql.SQL("CREATE MATERIALIZED VIEW {}{}{} AS {} WITH NO DATA")
        yield words.format(name, using(one), with_options(options), query)
        for column in one["columns"]:
            yield from set_column(one, column)
            if column["compression"]:
                method = sql.SQL(COMPRESSION[column["compression"]])
                yield alter(one, "ALTER COLUMN {} SET COMPRESSION {}", sql.Identifier(column["name"]), method)
            own = sql.Identifier(one["schema"], one["name"], column["name"])
            yield from comment_on("column", own, column["comment"])
    else:
        raise Unsupported(f"the snapshot has a {kind} ({one['name']}), which this version cannot make")
    yield from comment_on(kind, name, one["comment"])


def _create_type(one: Part) -> Iterator[Statement]:
    name = relation(one)
    if one["variety"] == "enum":
        labels = sql.SQL(", ").join(sql.Literal(label) for label in one["labels"])
        yield sql.SQL("CREATE TYPE {} AS ENUM ({})").format(name, labels)
    elif one["variety"] == "composite":
        attributes = [
            sql.SQL("{} {}{}").format(sql.Identifier(part["name"]), text(part["type"]), collate(part["collation"]))
            for part in one["attributes"]
        ]
        yield sql.SQL("CREATE TYPE {} AS ({})").format(name, sql.SQL(", ").join(attributes))
        for part in one["attributes"]:
            yield from comment_on("column", sql.Identifier(one["schema"], one["name"], part["name"]), part["comment"])
    else:
        yield sql.SQL("CREATE DOMAIN {} AS {}{}{}{}").format(
            name,
            text(one["base"]),
            collate(one["collation"]),
            text(f" DEFAULT {one['default']}" if one["default"] is not None else ""),
            named_not_null(one["not_null"], one["not_null_name"]),
        )
        for check in one["constraints"]:
            constraint = sql.Identifier(check["name"])
            definition = text(check["definition"])
            yield sql.SQL("ALTER DOMAIN {} ADD CONSTRAINT {} {}").format(name, constraint, definition)
            yield from comment_on("constraint", sql.SQL("{} ON DOMAIN {}").format(constraint, name), check["comment"])


def _create_view(one: Part) -> Iterator[Statement]:
    name = relation(one)
    query = text(one["definition"].rstrip().removesuffix(";"))
    yield sql.SQL("CREATE VIEW {}{} AS {}").format(name, with_options(options_of(one["options"])), query)
    for column in one["columns"]:
        if column["default"] is not None:
            change = sql.SQL("ALTER VIEW {} ALTER COLUMN {} SET DEFAULT {}")
            yield change.format(name, sql.Identifier(column["name"]), text(column["default"]))
        yield from comment_on("column", sql.Identifier(one["schema"], one["name"], column["name"]), column["comment"])


def finish_materialized_view(one: Part) -> Iterator[Statement]:
    """Its indexes and statistics objects: before its rows, as pg_dump has it."""
    yield from create_indexes(one)
    yield from create_statistics(one)
    yield from identify_replicas(one)


def refresh(one: Part) -> Statement:
    """Fill a materialized view."""
    return sql.SQL("REFRESH MATERIALIZED VIEW {}").format(relation(one))


def own_sequence(sequence: Part) -> Iterator[Statement]:
    """Bind a sequence to the column it serves, so that it goes when the column goes. Identity brings this with it."""
    owner = sequence["owner"]
    if owner is not None and not sequence["identity"]:
        column = sql.Identifier(owner["schema"], owner["name"], owner["column"])
        yield sql.SQL("ALTER SEQUENCE {} OWNED BY {}").format(relation(sequence), column)
