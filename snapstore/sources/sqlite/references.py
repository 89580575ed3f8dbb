"""Foreign keys of a table, as SQLite itself reads its definition.

    references(table)           # [Reference(("memory",), "main.memories", ("id",))]

The table need not be live: an empty one like it is made in memory.
"""

from __future__ import annotations

from contextlib import closing
from itertools import groupby

from snapstore.rows import Table
from snapstore.sources import Reference
from snapstore.sources.sqlite.catalog import SCHEMA
from snapstore.sources.sqlite.connection import memory, quoted, translated

__all__ = ["references"]


def references(table: Table) -> list[Reference]:
    """As `Refers.references`."""
    if "module" in table.definition or not table.definition["sql"]:
        return []
    with closing(memory()) as connection, translated(table.name, "a table like it cannot be made in memory"):
        connection.execute(table.definition["sql"])
        rows = list(connection.execute(f"PRAGMA main.foreign_key_list({quoted(table.definition['name'])})"))
    found = []
    for _, group in groupby(sorted(rows, key=lambda row: (row[0], row[1])), key=lambda row: row[0]):
        own = list(group)
        targets = tuple(str(row[4]) for row in own if row[4] is not None)
        found.append(Reference(tuple(str(row[3]) for row in own), f"{SCHEMA}.{own[0][2]}", targets, any_case=True))
    return found
