"""The rows of a snapshot to which some of its rows refer, so that a restore of one memory brings what it needs.

    keys = with_related(state, source, {"public.edges": [key]})
    keys["public.memories"]                 # those at both ends of the edge, and so on from there

It follows what the engine itself calls a reference (foreign keys), from the rows that refer to those referred to, and
never back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from snapstore.errors import Unsupported
from snapstore.operations.state import State, StateTable
from snapstore.operations.texts import rows_as_text
from snapstore.sources import Reference, Refers, Source

__all__ = ["with_related"]


def with_related(state: State, source: Source, keys: Mapping[str, Sequence[bytes]]) -> dict[str, list[bytes]]:
    """These keys by table with those of all rows they refer to, however far, each ascending.

    What is not in the snapshot cannot be followed, nor what refers by NULL. Raises `Unsupported` for a source that
    knows no references.
    """
    if not isinstance(source, Refers):
        raise Unsupported(f"nothing is known of what rows in {source.kind} refer to")
    tables = {table.name: table for table in state.tables}
    found = {name: set(own) for name, own in keys.items()}
    todo = dict(found)
    while todo:
        name, own = todo.popitem()
        table = tables.get(name)
        for reference in () if table is None or table.tree is None else source.references(table.table):
            target = _named(tables, reference)
            if table is None or target is None or target.tree is None:
                continue
            more = _referred(table, sorted(own), target, reference) - found.get(target.name, set())
            if more:
                found.setdefault(target.name, set()).update(more)
                todo[target.name] = todo.get(target.name, set()) | more
    return {name: sorted(own) for name, own in found.items()}


def _referred(table: StateTable, keys: Sequence[bytes], target: StateTable, reference: Reference) -> set[bytes]:
    """The keys of the rows of the target to which these rows refer."""
    columns = _columns(table, reference.columns, reference)
    targets = _columns(target, reference.targets or tuple(part.name for part in target.table.key), reference)
    if columns is None or targets is None:
        return set()  # left out of the snapshot
    wanted = {values for _, values in rows_as_text(table, columns, keys) if None not in values}
    return {key for key, values in rows_as_text(target, targets) if values in wanted} if wanted else set()


def _named(tables: Mapping[str, StateTable], reference: Reference) -> StateTable | None:
    """The table that a reference leads to, if it is among these."""
    if not reference.any_case:
        return tables.get(reference.table)
    wanted = reference.table.casefold()
    return next((table for name, table in tables.items() if name.casefold() == wanted), None)


def _columns(table: StateTable, names: Sequence[str], reference: Reference) -> list[str] | None:
    """The columns of a table that these names mean; None if one is not there."""
    there = [*(part.name for part in table.table.key), *(column.name for column in table.table.columns)]
    places = {name.casefold() if reference.any_case else name: name for name in there}
    found = [places.get(name.casefold() if reference.any_case else name) for name in names]
    return None if None in found else [name for name in found if name is not None]
