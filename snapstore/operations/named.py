"""The one table that a name means, with or without its schema.

one_table(state.tables, "memories", state.label).name          # 'public.memories'
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from snapstore.errors import Invalid

__all__ = ["Named", "one_table"]


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
