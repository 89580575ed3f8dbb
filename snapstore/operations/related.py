"""The rows of a snapshot to which some of its rows refer, so that a restore of one memory brings what it needs.

    keys = with_related(state, source, {"public.edges": [key]}, links)
    keys["public.memories"]                 # those at both ends of the edge, and so on from there

It follows what the engine itself calls a reference (foreign keys) and what snap.toml declares as a link, from the rows
that refer to those referred to, and never back. Links that lead to another store are told, not followed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from snapstore.errors import Unsupported
from snapstore.operations.links import Link
from snapstore.operations.state import State, StateTable, matches
from snapstore.operations.texts import rows_as_text
from snapstore.sources import Reference, Refers, Source

__all__ = ["referred_elsewhere", "with_related"]


def with_related(
    state: State, source: Source, keys: Mapping[str, Sequence[bytes]], links: Sequence[Link] = ()
) -> dict[str, list[bytes]]:
    """These keys by table with those of all rows they refer to, however far, each ascending.

    What is not in the snapshot cannot be followed, nor what refers by NULL. Raises `Unsupported` for a source that
    knows no references, where no link begins either.
    """
    tables = {table.name: table for table in state.tables}
    if not isinstance(source, Refers) and not any(_declared(table, state, links) for table in state.tables):
        raise Unsupported(
            f"nothing is known of what rows in {source.kind} refer to", hint="Declare it: [[links]] in snap.toml."
        )
    shapes = [table.table for table in state.tables]

    @cache
    def references(name: str) -> list[Reference]:
        table = tables[name]
        own = source.references(table.table, shapes) if isinstance(source, Refers) else ()
        return [*own, *_declared(table, state, links)]

    found = {name: set(own) for name, own in keys.items()}
    todo = dict(found)
    while todo:
        name, own = todo.popitem()
        table = tables.get(name)
        if table is None or table.tree is None:
            continue
        for reference in references(name):
            target = tables[reference.table]
            more = _referred(table, sorted(own), target, reference) - found.get(target.name, set())
            if more:
                found.setdefault(target.name, set()).update(more)
                todo[target.name] = todo.get(target.name, set()) | more
    return {name: sorted(own) for name, own in found.items()}


def referred_elsewhere(
    state: State, keys: Mapping[str, Sequence[bytes]], links: Sequence[Link]
) -> list[tuple[Link, list[str]]]:
    """The links by which these rows refer to rows of other stores, with the values that they refer by, ascending."""
    found = []
    for link in links:
        for table in state.tables:
            own = keys.get(table.name)
            if own and table.tree is not None and _begins(link, table) and link.end.source != table.source:
                values = {one for _, (one,) in rows_as_text(table, [link.start.column], own) if one is not None}
                if values:
                    found.append((link, sorted(values)))
    return found


def _declared(table: StateTable, state: State, links: Sequence[Link]) -> list[Reference]:
    """The links that begin in a table and end in its own store, as references."""
    return [
        Reference((link.start.column,), target.name, (link.end.column,))
        for link in links
        if _begins(link, table)
        for target in state.tables
        if target.source == link.end.source and matches(target.name, link.end.table)
    ]


def _begins(link: Link, table: StateTable) -> bool:
    is_there = link.start.column in _names(table)
    return table.source == link.start.source and matches(table.name, link.start.table) and is_there


def _referred(table: StateTable, keys: Sequence[bytes], target: StateTable, reference: Reference) -> set[bytes]:
    """The keys of the rows of the target to which these rows refer."""
    if target.tree is None or not _names(table).issuperset(reference.columns):
        return set()
    if not _names(target).issuperset(reference.targets):
        return set()  # left out of the snapshot
    wanted = {values for _, values in rows_as_text(table, reference.columns, keys) if None not in values}
    return {key for key, values in rows_as_text(target, reference.targets) if values in wanted} if wanted else set()


def _names(table: StateTable) -> set[str]:
    return {*(part.name for part in table.table.key), *(column.name for column in table.table.columns)}
