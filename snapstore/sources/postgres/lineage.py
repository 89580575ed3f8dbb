"""Tables that have other tables beneath them: partitions, and tables that inherit.

    settle(definitions)                              # what a child has of its own, and what came from a parent
    for statement in join(child): ...                # ATTACH PARTITION, or INHERIT
    for statement in join_indexes(child): ...        # and the indexes of a partition

Rows are held by the table they stand in (`ONLY`, everywhere), so a partition that was attached or detached shows. A
partition is made as a table of its own and attached when it is whole: the server then checks its rows against its
bounds. A table that inherits is made by INHERITS where that gives its columns their order, so that what came from the
parent still does; else on its own, to inherit afterwards.

A definition has `partition_key` (a partitioned table), `partition_of` (with the bound), `inherits` (schema and name of
the parents, in order), and `joins_late` where INHERITS would order columns otherwise: then `adopted` names the columns
that came from a parent and will count as its own (who reads a definition takes that out, and says it). A column that
came from a parent has `inherited`, and `own_default` or `own_not_null` where it differs from the parent's; one of its
own that merges with a parent's has `generated_above` where it is generated as that is, which before version 16 must not
be said twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from psycopg import sql

from snapstore.sources.postgres.querying import full_name

__all__ = [
    "ancestors_of",
    "children_first",
    "comes_with_parent",
    "explicit_columns",
    "join",
    "join_indexes",
    "joins_empty",
    "own_changes",
    "own_not_nulls",
    "parents_of",
    "settle",
]

Definition = dict[str, Any]
Part = Mapping[str, Any]
Statement = sql.SQL | sql.Composed


def settle(definitions: Collection[Definition]) -> None:
    """Say of every table that inherits what is its own; and leave out what says nothing."""
    by_name = {(one["schema"], one["name"]): one for one in definitions}
    for definition in definitions:
        bound, parents = definition.pop("bound"), definition.pop("parents")
        if bound is not None and parents:
            definition["partition_of"] = {**parents[0], "bound": bound}
        elif parents:
            definition["inherits"] = parents
        for part in ("partition_key", "of_type", "access_method"):
            if definition[part] is None:
                del definition[part]
    # After all of them have their marks, since a parent may be a child as well.
    for definition in definitions:
        names = [(one["schema"], one["name"]) for one in definition.get("inherits", ())]
        _settle_columns(definition, [by_name[name] for name in names if name in by_name])
    for definition in definitions:
        for column in definition["columns"]:
            column.pop("not_null_local")
            if not column["inherited"]:
                del column["inherited"]
        for part in ("constraints", "indexes", "triggers"):
            for one in definition[part]:
                for mark in ("inherited", "attach"):
                    if mark in one and not one[mark]:
                        del one[mark]


def _settle_columns(definition: Definition, parents: Sequence[Definition]) -> None:
    columns = definition["columns"]
    theirs: dict[str, Definition] = {}
    for above in parents:
        for column in above["columns"]:
            theirs.setdefault(column["name"], column)
    names = [column["name"] for column in columns]
    natural = [*(name for name in theirs if name in names), *(name for name in names if name not in theirs)]
    if "inherits" in definition and natural != names:
        definition["joins_late"] = True
        definition["adopted"] = [column["name"] for column in columns if column["inherited"]]
    for column in columns:
        parent: Definition | None = theirs.get(column["name"])
        column["inherited"] = bool(column["inherited"] and parent is not None and not definition.get("joins_late"))
        if column["inherited"] and parent is not None:
            if column["default"] != parent["default"]:
                column["own_default"] = True
            if column["not_null_local"]:
                column["own_not_null"] = column["not_null_name"]
            elif column["not_null"] and not parent["not_null"]:
                column["own_not_null"] = ""  # before version 18 it has no name
        elif parent is None or definition.get("joins_late") or not column["generated"]:
            continue
        elif column["generated"] == parent["generated"]:
            column["generated_above"] = True


def comes_with_parent(table: Part, constraint: Part) -> bool:
    """Whether a constraint is made with the parent's: not where a table must have it before it can join."""
    return "inherited" in constraint and "inherits" in table and "joins_late" not in table


def explicit_columns(table: Part) -> list[Part]:
    """The columns that CREATE TABLE must name."""
    return [column for column in table["columns"] if not column.get("inherited")]


def own_not_nulls(table: Part) -> list[sql.Composed]:
    """NOT NULL constraints with names of its own on inherited columns, as CREATE TABLE takes them."""
    return [
        sql.SQL("CONSTRAINT {} NOT NULL {}").format(
            sql.Identifier(column["own_not_null"]), sql.Identifier(column["name"])
        )
        for column in table["columns"]
        if column.get("own_not_null") and column["not_null_valid"]
    ]


def own_changes(table: Part) -> Iterator[Statement]:
    """What inherited columns have otherwise than the parent's, and the type that a typed table is of."""
    name = sql.Identifier(table["schema"], table["name"])
    for column in table["columns"]:
        change = sql.SQL("ALTER TABLE {} ALTER COLUMN {} ").format(name, sql.Identifier(column["name"]))
        if column.get("own_default") and not column["generated"]:
            default = column["default"]
            yield change + sql.SQL("DROP DEFAULT" if default is None else f"SET DEFAULT {default}")
        if column.get("own_not_null") == "":
            yield change + sql.SQL("SET NOT NULL")
    if "of_type" in table:
        yield sql.SQL("ALTER TABLE {} OF {}").format(name, sql.SQL(table["of_type"]))


def join(table: Part) -> Iterator[Statement]:
    """Make a whole table what it is to its parents, where its creation did not."""
    name = sql.Identifier(table["schema"], table["name"])
    if parent := table.get("partition_of"):
        yield sql.SQL("ALTER TABLE ONLY {} ATTACH PARTITION {} {}").format(
            _relation(parent), name, sql.SQL(parent["bound"])
        )
    if table.get("joins_late"):
        for parent in table["inherits"]:
            yield sql.SQL("ALTER TABLE {} INHERIT {}").format(name, _relation(parent))


def joins_empty(table: Part, made: Collection[str]) -> bool:
    """Whether it joins its parent before the partitions beneath it join it: from it alone they have their identity
    columns. `made` are the ids of the tables that are made with it.
    """
    return "partition_key" in table and any(f"table {parent}" in made for parent in parents_of(table))


def join_indexes(table: Part) -> Iterator[Statement]:
    """Attach the indexes of a partition to those of its parent, which have been made since."""
    for index in table["indexes"]:
        if "attach" in index:
            own = sql.Identifier(index["schema"], index["name"])
            yield sql.SQL("ALTER INDEX {} ATTACH PARTITION {}").format(_relation(index["attach"]), own)
    for constraint in table["constraints"]:
        if "attach" in constraint:
            own = sql.Identifier(table["schema"], constraint["name"])
            yield sql.SQL("ALTER INDEX {} ATTACH PARTITION {}").format(_relation(constraint["attach"]), own)


def parents_of(table: Part) -> list[str]:
    """The names of a table's parents, as partition or by inheritance."""
    found = [*([table["partition_of"]] if "partition_of" in table else []), *table.get("inherits", ())]
    return [full_name(one["schema"], one["name"]) for one in found]


def children_first(tables: Sequence[Part]) -> Iterator[tuple[Part, list[Part]]]:
    """Each table with the ones of these that are its children, after those."""
    by_name = {full_name(one["schema"], one["name"]): one for one in tables}
    children: dict[str, list[Part]] = {name: [] for name in by_name}
    for table in tables:
        for parent in parents_of(table):
            if parent in children:
                children[parent].append(table)
    done: set[str] = set()
    waiting = list(reversed(by_name))
    while waiting:
        name = waiting[-1]
        below = [full_name(one["schema"], one["name"]) for one in children[name]]
        if name not in done and (rest := [one for one in below if one not in done]):
            waiting.extend(rest)
            continue
        waiting.pop()
        if name not in done:
            done.add(name)
            yield by_name[name], children[name]


def ancestors_of(tables: Iterable[Part]) -> dict[str, list[str]]:
    """For each partition the partitioned tables above it: what holds for their rows holds for its own."""
    above = {full_name(one["schema"], one["name"]): parents_of(one)[0] for one in tables if "partition_of" in one}
    found: dict[str, list[str]] = {}
    for name in above:
        at, chain = name, []
        while at in above:
            at = above[at]
            chain.append(at)
        found[name] = chain
    return found


def _relation(one: Part) -> sql.Identifier:
    return sql.Identifier(one["schema"], one["name"])
