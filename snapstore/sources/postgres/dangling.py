"""Rows that refer to rows that are not there, found while their foreign keys are set aside or not made yet.

    for refusal in dangling(connection, links_of(aside.foreign_keys, tables, made)):
        ...

One query for each foreign key finds all of them, where the server, which checks the key when it is made, names one and
gives up. What a key does not check is not looked for (NOT VALID, NOT ENFORCED), nor what refers to a period of time or
to partitions that have not joined their table yet: there it is the server who names the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from snapstore.multiset import by_content
from snapstore.rows import Table
from snapstore.sources import Refusal
from snapstore.sources.postgres import ddl
from snapstore.sources.postgres.copying import batch_of
from snapstore.sources.postgres.lineage import ancestors_of
from snapstore.sources.postgres.obstacles import ForeignKey
from snapstore.sources.postgres.reading import read_cells, relation_of
from snapstore.sources.postgres.tables import full_name, rows_of

__all__ = ["Link", "dangling", "links_of"]


@dataclass(frozen=True, slots=True)
class Link:
    """A foreign key of the rows of one table: its own columns, and those they equal by these operators."""

    name: str
    table: Table
    columns: tuple[str, ...]
    other: str
    other_relation: sql.Identifier
    other_columns: tuple[str, ...]
    operators: tuple[str, ...]
    is_full: bool


def links_of(keys: Sequence[ForeignKey], live: Mapping[str, Table], made: Sequence[Table]) -> list[Link]:
    """The links of these live tables by keys that were dropped, and of tables made by keys that are still to come."""
    links = []
    above = ancestors_of(table.definition for table in (*live.values(), *made))
    apart = {one for table in made for one in above.get(table.name, ())}
    for key in keys:
        for table in live.values():
            if key.table in (table.name, *above.get(table.name, ())) and _is_checked(key.definition):
                place = sql.Identifier(key.other_schema, key.other_name)
                is_full = "MATCH FULL" in key.definition
                links.append(
                    Link(key.name, table, key.columns, key.other, place, key.other_columns, key.operators, is_full)
                )
    by_name = {table.name: table for table in made}
    for table in made:
        for owner in (table.name, *above.get(table.name, ())):
            for one in by_name[owner].definition["constraints"] if owner in by_name else ():
                to = one["references"]
                if to is None or not _is_checked(one["definition"]):
                    continue
                other = full_name(to["schema"], to["name"])
                place = sql.Identifier(to["schema"], to["name"])
                columns, others = tuple(one["columns"]), tuple(to["columns"])
                operators = ("=",) * len(columns)  # the server has none for this key yet
                is_full = "MATCH FULL" in one["definition"]
                links.append(Link(one["name"], table, columns, other, place, others, operators, is_full))
    return [link for link in links if link.other not in apart]


def _is_checked(definition: str) -> bool:
    return not any(word in definition for word in (" NOT VALID", " NOT ENFORCED", "PERIOD "))


def dangling(connection: psycopg.Connection[Any], links: Iterable[Link]) -> Iterator[Refusal]:
    """The rows of these tables that refer to nothing, each with the foreign key that says so."""
    for link in links:
        table = link.table
        where = link.other_relation.as_string(connection)
        [row] = rows_of(
            connection, "SELECT relkind = 'p' AS is_partitioned FROM pg_class WHERE oid = %s::regclass", (where,)
        )
        lacks = _lacks(link, is_partitioned=row["is_partitioned"])
        reason = f"it refers to a row of {link.other} that is not there (foreign key {link.name})"
        with closing(read_cells(connection, table, None if table.by_content else (), also=lacks)) as found:
            if table.by_content:
                batches = by_content(table, (cells or count for count, cells in found))
            else:
                batches = (batch_of(table.key, (), cells) for _, cells in found)
            for batch in batches:
                for key in batch.keys.to_list():
                    yield Refusal(table.name, key or b"", reason)


def _lacks(link: Link, *, is_partitioned: bool) -> sql.Composed:
    """The condition that a row of the table refers to nothing."""
    place = relation_of(link.table)
    own = [sql.SQL("{}.{}").format(place, sql.Identifier(name)) for name in link.columns]
    others = [sql.Identifier("snapstore_other", name) for name in link.other_columns]
    equal = sql.SQL(" AND ").join(
        sql.SQL("{} {} {}").format(other, ddl.text(operator), mine)
        for other, operator, mine in zip(others, link.operators, own, strict=True)
    )
    # A partitioned table has its rows in its partitions; heirs of any other are not what a key refers to.
    only = ddl.text("" if is_partitioned else "ONLY ")
    gone = sql.SQL("NOT EXISTS (SELECT FROM {}{} AS snapstore_other WHERE {})").format(only, link.other_relation, equal)
    is_null = [sql.SQL("{} IS NULL").format(one) for one in own]
    some, every = sql.SQL(" OR ").join(is_null), sql.SQL(" AND ").join(is_null)
    if link.is_full:  # all are NULL, or none
        return sql.SQL("(NOT ({}) AND (({}) OR {}))").format(every, some, gone)
    return sql.SQL("(NOT ({}) AND {})").format(some, gone)
