"""What a take of a source would hold, without taking it: is it there, which tables, how many rows, what is not held.

    found = probe(source, Selection())
    found.tables[0].rows, found.missing

Nothing is read but the catalogue and numbers of rows, and nothing is written anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from snapstore.sources import Counts, Lists, Selection, Source
from snapstore.sources.presets import KnownMemory, known_files, known_memories

__all__ = ["Probed", "ProbedTable", "probe"]


@dataclass(frozen=True, slots=True)
class ProbedTable:
    """A table that would be held: rows as counted, or as the engine estimates them; None where it does not tell.

    `left_out` are columns that would not be held; `where` chooses the rows.
    """

    name: str
    rows: int | None
    is_counted: bool
    left_out: tuple[str, ...] = ()
    where: str | None = None


@dataclass(frozen=True, slots=True)
class Probed:
    """The tables that would be held, what is meant and would not be, and the memory systems they look like."""

    tables: tuple[ProbedTable, ...]
    missing: tuple[str, ...]
    known: tuple[KnownMemory, ...] = ()


def probe(source: Source, selection: Selection) -> Probed:
    """Look at a source as a take would. What cannot be held is named in `missing`, not refused.

    Raises `Unavailable` for a source that cannot be reached, `Invalid` for a selection that fits nothing.
    """
    tables = []
    with source.view(replace(selection, partial=True)) as view:
        for table in view.tables:
            rows, is_counted = view.count(table) if isinstance(view, Counts) else (None, False)
            left_out = tuple(table.definition.get("left_out", ()))
            tables.append(ProbedTable(table.name, rows, is_counted, left_out, selection.where.get(table.name)))
        known = known_memories(view.tables) + known_files(view.paths() if isinstance(view, Lists) else ())
        return Probed(tuple(tables), tuple(view.missing), tuple(known))
