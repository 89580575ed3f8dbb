"""Foreign keys of a table, as SQLite itself reads its definition.

    references(table, tables)       # [Reference(("memory",), "main.memories", ("id",))]

The table need not be live: an empty one like it is made in memory. Names mean what differs from them in capitals alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import groupby

from snapstore.rows import Table
from snapstore.sources import Reference
from snapstore.sources.sqlite.catalog import SCHEMA
from snapstore.sources.sqlite.connection import memory, quoted, translated

__all__ = ["references"]


def references(table: Table, among: Sequence[Table]) -> list[Reference]:
    """As `Refers.references`."""
    if "module" in table.definition or not table.definition["sql"]:
        return []
    with closing(memory()) as connection, translated(table.name, "a table like it cannot be made in memory"):
        connection.execute(table.definition["sql"])
        rows = list(connection.execute(f"PRAGMA main.foreign_key_list({quoted(table.definition['name'])})"))
    tables = {one.name.casefold(): one for one in among}
    found = []
    for _, group in groupby(sorted(rows, key=lambda row: (row[0], row[1])), key=lambda row: row[0]):
        own = list(group)
        target = tables.get(f"{SCHEMA}.{own[0][2]}".casefold())
        if target is not None:
            named = [str(row[4]) for row in own if row[4] is not None] or [part.name for part in target.key]
            found.append(Reference(_spelt(table, [str(row[3]) for row in own]), target.name, _spelt(target, named)))
    return found


def _spelt(table: Table, names: Iterable[str]) -> tuple[str, ...]:
    """Columns as the table spells them; one that it does not have as it is."""
    there = {name.casefold(): name for name in (*(part.name for part in table.key), *(c.name for c in table.columns))}
    return tuple(there.get(name.casefold(), name) for name in names)
