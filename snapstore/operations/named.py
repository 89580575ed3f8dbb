"""The tables that names mean, with or without their schema.

one_table(state.tables, "memories", state.label).name          # 'public.memories'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from snapstore.errors import Invalid, NotFound
from snapstore.operations.state import State, StateTable, matches
from snapstore.repository import SnapshotSource
from snapstore.sources.display import parse_key

__all__ = ["Named", "narrow", "one_table", "patterns_by_source", "row_key"]


class _Named(Protocol):
    """A table of a source, in one state or in many."""

    @property
    def source(self) -> str:
        """The source's name."""

    @property
    def name(self) -> str:
        """The table's full name."""


Named = TypeVar("Named", bound=_Named)


def one_table(tables: Sequence[Named], name: str, label: str) -> Named:
    """The one table of this name among these. Raises `Invalid` for none or several."""
    found = [table for table in tables if table.name == name] or [
        table for table in tables if table.name.partition(".")[2] == name
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"{table.source}: {table.name}" for table in found)
        raise Invalid(f"{name!r} could be several tables of {label}", hint=f"It has {names}; pick one with --source.")
    known = ", ".join(table.name for table in tables[:8]) or "none"
    raise Invalid(f"no table {name!r} in {label}", hint=f"It has: {known}.")


def narrow(states: Sequence[State], patterns: Sequence[str]) -> list[State]:
    """Each state with only the tables that these patterns mean; a pattern must mean one in some state."""
    if not patterns:
        return list(states)
    for pattern in patterns:
        if not any(matches(table.name, pattern) for state in states for table in state.tables):
            known = ", ".join(dict.fromkeys(table.name for state in states for table in state.tables)) or "none"
            raise Invalid(f"no table {pattern!r} here", hint=f"There are: {known}.")
    return [
        replace(state, tables=tuple(t for t in state.tables if any(matches(t.name, p) for p in patterns)))
        for state in states
    ]


def patterns_by_source(
    sources: Sequence[SnapshotSource], patterns: Sequence[str], label: str
) -> dict[str, tuple[str, ...]]:
    """The sources of which some table is meant, by name, each with those of the patterns that mean one.

    Without patterns all tables are. Raises `Invalid` for one that means no table of any.
    """
    own = {
        source.name: tuple(one for one in patterns if any(matches(table.name, one) for table in source.tables))
        for source in sources
        if source.tables
    }
    for pattern in patterns:
        if not any(pattern in found for found in own.values()):
            raise Invalid(f"no table {pattern!r} in {label}", hint=f"`snap show {label}` lists them.")
    return {name: found for name, found in own.items() if found or not patterns}


def row_key(states: Sequence[State], table: StateTable, key: str, label: str, *, absent: bool = False) -> bytes:
    """The key that is written so. Raises `NotFound` for a row that no state has, unless `absent` says this may be."""
    parsed = parse_key(table.table, key)
    if not absent and not any(
        _has(other, parsed) for state in states for other in state.tables if other.name == table.name
    ):
        raise NotFound(
            f"there is no row {key!r} in {table.name} of {label}", hint=f"`snap show SNAP:{table.name}` shows some."
        )
    return parsed


def _has(table: StateTable, key: bytes) -> bool:
    return table.tree is not None and len(table.tree.lookup([key])) > 0
