"""Relationships between tables of a snapshot, within a source or across stores: whether both ends are there.

    link = Link(parse_end("graph:edges.source_id"), parse_end("agents:memories.id"))
    for found in check_links(of_snapshot(repository, snapshot), [link]):
        found.missing, found.examples

No engine knows of a relationship from one store to another. Values are compared as people read them, so a number in one
is a number in the other, and a UUID its text. It decides nothing: what is missing may well be meant to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snapstore.errors import Invalid
from snapstore.operations.state import State, StateTable, matches
from snapstore.operations.texts import rows_as_text

__all__ = ["End", "Link", "LinkCheck", "check_links", "parse_end"]

_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class End:
    """A column of a table of a source: `agents:memories.id`."""

    source: str
    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.source}:{self.table}.{self.column}"


@dataclass(frozen=True, slots=True)
class Link:
    """Every value at `start` that is not NULL is meant to be a value at `end`."""

    start: End
    end: End


@dataclass(frozen=True, slots=True)
class LinkCheck:
    """Of `rows` values, `missing` have no row at the other end; some of them as `examples`.

    `told` says why nothing could be checked, or why what is missing may be there all the same; empty otherwise.
    """

    link: Link
    rows: int = 0
    missing: int = 0
    examples: tuple[str, ...] = ()
    told: str = ""
    is_checked: bool = True


def parse_end(text: str) -> End:
    """`source:table.column`. Raises `Invalid`."""
    source, colon, place = text.partition(":")
    table, dot, column = place.rpartition(".")
    if not (source and colon and table and dot and column):
        raise Invalid(f"{text!r} is not SOURCE:TABLE.COLUMN", hint="For example agents:memories.id.")
    return End(source, table, column)


def check_links(state: State, links: Sequence[Link]) -> Iterator[LinkCheck]:
    """Each link that begins in one of the sources of this state. Reads the columns of both ends, and no others.

    The values of one end are in memory at once.
    """
    sources = {table.source for table in state.tables}
    for link in links:
        if link.start.source not in sources:
            continue
        start, end = (_table(state, one) for one in (link.start, link.end))
        why = _unknown(start, link.start) or _unknown(end, link.end)
        if why or start is None or end is None:
            yield LinkCheck(link, told=why, is_checked=False)
            continue
        there = set(_values(end, link.end.column))
        rows = missing = 0
        examples: dict[str, None] = {}
        for value in _values(start, link.start.column):
            rows += 1
            if value not in there:
                missing += 1
                if len(examples) < _EXAMPLES:
                    examples[value] = None
        is_partial = missing and (end.entry.where is not None or end.damage)
        told = f"only some rows of {link.end.table} are held" if is_partial else ""
        yield LinkCheck(link, rows, missing, tuple(examples), told)


def _table(state: State, end: End) -> StateTable | None:
    return next((one for one in state.tables if one.source == end.source and matches(one.name, end.table)), None)


def _unknown(table: StateTable | None, end: End) -> str:
    """Why nothing is known of one end."""
    if table is None:
        return f"{end.source}:{end.table} is not in it"
    if table.tree is None:
        return f"no rows of {end.source}:{end.table} are in it"
    names = {*(part.name for part in table.table.key), *(column.name for column in table.table.columns)}
    return "" if end.column in names else f"{end} is not in it"


def _values(table: StateTable, name: str) -> Iterator[str]:
    """Every value of a column that is not NULL, as people read it."""
    for _, (value,) in rows_as_text(table, [name]):
        if value is not None:
            yield value
