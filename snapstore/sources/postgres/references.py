"""Foreign keys of a table, its own and those it has as a partition.

    references(table, tables)       # [Reference(("memory",), "public.memories", ("id",))]

A partitioned table has no rows: what refers to it refers to its partitions, and what it refers to they do.
"""

from __future__ import annotations

from collections.abc import Sequence

from snapstore.rows import Table
from snapstore.sources import Reference
from snapstore.sources.postgres.lineage import ancestors_of
from snapstore.sources.postgres.querying import full_name

__all__ = ["references"]


def references(table: Table, among: Sequence[Table]) -> list[Reference]:
    """As `Refers.references`."""
    places = {one.name: one for one in among}
    above = ancestors_of(one.definition for one in among)
    holders = [table, *(places[name] for name in above.get(table.name, ()) if name in places)]
    found = []
    for one in (constraint for holder in holders for constraint in holder.definition["constraints"]):
        if (to := one["references"]) is not None:
            name = full_name(to["schema"], to["name"])
            parts = [part for part, chain in above.items() if name in chain]
            columns, targets = tuple(one["columns"]), tuple(to["columns"])
            found += [Reference(columns, place, targets) for place in (name, *parts) if place in places]
    return found
