"""The statements that make a database again from its definitions.

    for statement in create_table(definition, sequences):
        connection.execute(statement)

Names are composed, never pasted; what stands as text in a definition is an expression or a body that the server itself
wrote (`pg_get_expr`, `pg_get_…def`). Every function takes plain data and gives statements; none asks a server. Which
statements run when is the business of `snapstore.sources.postgres.target`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, LiteralString

from psycopg import sql

from snapstore.sources.postgres.lineage import comes_with_parent, explicit_columns, own_changes, own_not_nulls

__all__ = [
    "COMPRESSION",
    "Statement",
    "alter",
    "collate",
    "comment_on",
    "comment_on_constraint",
    "create_checks",
    "create_constraint",
    "create_foreign_keys",
    "create_index",
    "create_indexes",
    "create_keys",
    "create_table",
    "named_not_null",
    "not_null_of",
    "options_of",
    "relation",
    "sequence_options",
    "set_column",
    "text",
    "using",
    "with_options",
]

Part = Mapping[str, Any]
Statement = sql.SQL | sql.Composed  # what can be executed; words that stand in one are any Composable


def text(words: str) -> sql.SQL:
    """The server's own words from a definition, as SQL."""
    return sql.SQL(words)


def relation(one: Part) -> sql.Identifier:
    """The qualified name of anything with a schema and a name."""
    return sql.Identifier(one["schema"], one["name"])


def alter(table: Part, change: LiteralString, *values: sql.Composable) -> sql.Composed:
    """ALTER TABLE with this change, its braces filled."""
    return sql.SQL("ALTER TABLE {} ").format(relation(table)) + sql.SQL(change).format(*values)


def create_table(table: Part, sequences: Mapping[str, Part]) -> Iterator[Statement]:
    """The table with its columns, defaults and NOT NULL, and nothing that is dearer before the rows than after.

    `sequences` are those of its identity columns, by column: their names and parameters.
    """
    columns = [_column(column, _not_null_name(table, column)) for column in explicit_columns(table)]
    options = options_of(table["options"]) + options_of(table["toast_options"], "toast.")
    above = [relation(parent) for parent in table.get("inherits", ()) if not table.get("joins_late")]
    yield sql.SQL("CREATE {}TABLE {} ({}){}{}{}{}").format(
        sql.SQL("UNLOGGED " if table["persistence"] == "u" else ""),
        relation(table),
        sql.SQL(", ").join([*columns, *own_not_nulls(table)]),
        sql.SQL(" INHERITS ({})").format(sql.SQL(", ").join(above)) if above else sql.SQL(""),
        text(f" PARTITION BY {table['partition_key']}" if "partition_key" in table else ""),
        using(table),
        with_options(options),
    )
    yield from own_changes(table)
    for column in table["columns"]:
        name = sql.Identifier(column["name"])
        if column["identity"] and "partition_of" not in table:  # a partition has it from above
            always = sql.SQL("ALWAYS" if column["identity"] == "always" else "BY DEFAULT")
            sequence = sequences.get(column["name"])
            settings: Statement = sql.SQL("")
            if sequence is not None:
                settings = sql.SQL(" (SEQUENCE NAME {} {})").format(relation(sequence), sequence_options(sequence))
            yield alter(table, "ALTER COLUMN {} ADD GENERATED {} AS IDENTITY{}", name, always, settings)
            if sequence is not None and sequence["persistence"] != table["persistence"]:
                unlogged: LiteralString = "ALTER SEQUENCE {} SET UNLOGGED"
                change = sql.SQL(unlogged if sequence["persistence"] == "u" else "ALTER SEQUENCE {} SET LOGGED")
                yield change.format(relation(sequence))
        yield from set_column(table, column)


def using(relation: Part) -> Statement:
    """A USING clause where it is kept by another access method than heap."""
    if "access_method" not in relation:
        return sql.SQL("")
    return sql.SQL(" USING {}").format(sql.Identifier(relation["access_method"]))


def set_column(table: Part, column: Part) -> Iterator[Statement]:
    """How the server is to store a column and what it is to count there; also for materialized views."""
    name = sql.Identifier(column["name"])
    if column["storage"]:
        yield alter(table, "ALTER COLUMN {} SET STORAGE {}", name, sql.SQL(_STORAGE[column["storage"]]))
    if column["statistics"] is not None:
        yield alter(table, "ALTER COLUMN {} SET STATISTICS {}", name, sql.Literal(column["statistics"]))
    if column["options"]:
        settings = sql.SQL(", ").join(options_of(column["options"]))
        yield alter(table, "ALTER COLUMN {} SET ({})", name, settings)


_STORAGE: Mapping[str, LiteralString] = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}
COMPRESSION: Mapping[str, LiteralString] = {"p": "pglz", "l": "lz4"}
_GENERATED: Mapping[str, LiteralString] = {"stored": "STORED", "virtual": "VIRTUAL"}


def _not_null_name(table: Part, column: Part) -> str | None:
    """The name of a NOT NULL constraint, said even where it is the one the server would choose: it would choose another
    if some other table had that.
    """
    name = str(column["not_null_name"] or f"{table['name']}_{column['name']}_not_null")
    return name if len(name.encode()) < _NAME_BYTES else None


_NAME_BYTES = 64


def _column(column: Part, name: str | None) -> sql.Composed:
    words: list[sql.Composable] = [sql.Identifier(column["name"]), text(column["type"])]
    if column["compression"]:
        words.append(sql.SQL("COMPRESSION " + COMPRESSION[column["compression"]]))
    if column["collation"]:
        words.append(collate(column["collation"]))
    if column["generated"]:
        expression, kind = column["generated"]["expression"], column["generated"]["kind"]
        if not column.get("generated_above"):
            words.append(sql.SQL("GENERATED ALWAYS AS ({}) {}").format(text(expression), sql.SQL(_GENERATED[kind])))
    elif column["default"] is not None:
        words.append(text(f"DEFAULT {column['default']}"))
    # One that is not valid may have NULLs in its way: it comes after the rows.
    words.append(named_not_null(column["not_null"] and column["not_null_valid"], name))
    if column["not_null"] and column["not_null_valid"] and column["not_null_no_inherit"]:
        words.append(sql.SQL("NO INHERIT"))
    return sql.SQL(" ").join(words)


def named_not_null(not_null: bool, name: str | None) -> Statement:
    """A NOT NULL clause with its name, or nothing."""
    if not not_null:
        return sql.SQL("")
    return sql.SQL(" CONSTRAINT {} NOT NULL").format(sql.Identifier(name)) if name else sql.SQL(" NOT NULL")


def create_keys(table: Part) -> Iterator[Statement]:
    """Primary key, unique and exclusion constraints: before what may lean on them (views, foreign keys)."""
    for kind in ("primary key", "unique", "exclusion"):
        for constraint in table["constraints"]:
            if constraint["kind"] == kind:
                yield from create_constraint(table, constraint)


def create_checks(table: Part) -> Iterator[Statement]:
    """CHECK constraints, and NOT NULL ones that are not valid."""
    for constraint in table["constraints"]:
        if constraint["kind"] == "check" and not comes_with_parent(table, constraint):
            yield from create_constraint(table, constraint)
    for column in table["columns"]:
        if column["not_null"] and not column.get("inherited"):
            constraint = not_null_of(table, column)
            if column["not_null_valid"]:
                yield from comment_on_constraint(table, constraint)
            else:
                yield from create_constraint(table, constraint)


def not_null_of(table: Part, column: Part) -> Part:
    """The NOT NULL constraint of a column, in the form of the others."""
    return {
        "name": column["not_null_name"] or f"{table['name']}_{column['name']}_not_null",
        "kind": "not null",
        "definition": f"NOT NULL {sql.Identifier(column['name']).as_string()}"
        + (" NO INHERIT" if column["not_null_no_inherit"] else "")
        + ("" if column["not_null_valid"] else " NOT VALID"),
        "comment": column["not_null_comment"],
    }


def create_foreign_keys(table: Part) -> Iterator[Statement]:
    """The table's own foreign keys: after the rows and keys of every table."""
    for constraint in table["constraints"]:
        if constraint["kind"] == "foreign key":
            yield from create_constraint(table, constraint)


def create_constraint(table: Part, constraint: Part) -> Iterator[Statement]:
    """One constraint with all that belongs to it and to its index."""
    name = sql.Identifier(constraint["name"])
    has_index = constraint["kind"] in ("primary key", "unique", "exclusion")
    # The keys of partitions have names and comments of their own, and are attached afterwards.
    only = sql.SQL("ONLY " if has_index and "partition_key" in table else "")
    statement = sql.SQL("ALTER TABLE {}{} ADD CONSTRAINT {} {}")
    yield statement.format(only, relation(table), name, text(constraint["definition"]))
    yield from comment_on_constraint(table, constraint)
    if has_index:
        index = {"schema": table["schema"], "name": constraint["name"]}
        if constraint["index_options"]:
            settings = sql.SQL(", ").join(options_of(constraint["index_options"]))
            yield sql.SQL("ALTER INDEX {} SET ({})").format(relation(index), settings)
        yield from _finish_index(
            table,
            {
                **index,
                "statistics": constraint["index_statistics"],
                "comment": constraint["index_comment"],
                "clustered": constraint["clustered"],
                "replica_identity": constraint["replica_identity"],
            },
        )


def comment_on_constraint(table: Part, constraint: Part) -> Iterator[Statement]:
    """What is said of a constraint."""
    target = sql.SQL("{} ON {}").format(sql.Identifier(constraint["name"]), relation(table))
    yield from comment_on("constraint", target, constraint["comment"])


def create_indexes(table: Part) -> Iterator[Statement]:
    """Every index that is not a constraint's. IVFFlat learns from the rows, so it must come after them."""
    for index in table["indexes"]:
        yield from create_index(table, index)


def create_index(table: Part, index: Part) -> Iterator[Statement]:
    """One index with all that belongs to it."""
    yield text(index["definition"])
    yield from _finish_index(table, index)


def _finish_index(table: Part, index: Part) -> Iterator[Statement]:
    for number, target in index["statistics"]:
        change = sql.SQL("ALTER INDEX {} ALTER COLUMN {} SET STATISTICS {}")
        yield change.format(relation(index), sql.Literal(number), sql.Literal(target))
    if index["clustered"]:
        yield alter(table, "CLUSTER ON {}", sql.Identifier(index["name"]))
    if index["replica_identity"]:
        yield alter(table, "REPLICA IDENTITY USING INDEX {}", sql.Identifier(index["name"]))
    yield from comment_on("index", relation(index), index["comment"])


def sequence_options(sequence: Part) -> sql.Composed:
    """The parameters of a sequence, as CREATE SEQUENCE takes them."""
    words: LiteralString = "START WITH {} INCREMENT BY {} MINVALUE {} MAXVALUE {} CACHE {}"
    values = [sql.Literal(sequence[part]) for part in ("start", "increment", "min", "max", "cache")]
    return sql.SQL(words).format(*values) + sql.SQL(" CYCLE" if sequence["cycle"] else " NO CYCLE")


def collate(collation: str | None) -> Statement:
    """A COLLATE clause, or nothing."""
    return text(f" COLLATE {collation}" if collation else "")


def options_of(options: Sequence[str] | None, prefix: LiteralString = "") -> list[Statement]:
    """`name=value` settings as the server keeps them, for WITH or SET."""
    settings = [option.partition("=") for option in options or ()]
    return [
        sql.SQL("{}{}={}").format(sql.SQL(prefix), sql.Identifier(name), sql.Literal(value))
        for name, _, value in settings
    ]


def with_options(options: Sequence[Statement]) -> Statement:
    """A WITH clause, or nothing."""
    return sql.SQL(" WITH ({})").format(sql.SQL(", ").join(options)) if options else sql.SQL("")


def comment_on(kind: str, name: sql.Composable, comment: str | None) -> Iterator[Statement]:
    """COMMENT ON, where there is one."""
    if comment is not None:
        yield sql.SQL("COMMENT ON {} {} IS {}").format(text(kind.upper()), name, sql.Literal(comment))
