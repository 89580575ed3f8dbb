"""Whether the live rows are those of a snapshot, by reading every one of them: no stamp, no hint is believed.

    with live(repository, "agents", source, selection, full=True) as state:
        tables = compare_live(of_snapshot(repository, snapshot), state)
        all(table.is_equal for table in tables)

Roots are compared, so equal means equal to the last bit, in rows and in shape. What differs is for a diff to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from snapstore.digest import Digest
from snapstore.operations.state import State

__all__ = ["LiveTable", "compare_live"]


@dataclass(frozen=True, slots=True)
class LiveTable:
    """One table: rows and root as the snapshot has them, and as they are; None on the side where it is not."""

    source: str
    name: str
    rows: int | None
    root: Digest | None
    live_rows: int | None
    live_root: Digest | None

    @property
    def is_equal(self) -> bool:
        """Whether both have it, the same."""
        return self.rows is not None and (self.rows, self.root) == (self.live_rows, self.live_root)


def compare_live(held: State, live: State) -> list[LiveTable]:
    """Every table of either, by name. Where only the schema was taken, that is what is compared."""
    sides = [{(table.source, table.name): table.entry for table in state.tables} for state in (held, live)]
    found = []
    for source, name in sorted({*sides[0], *sides[1]}):
        mine, theirs = (side.get((source, name)) for side in sides)
        found.append(
            LiveTable(
                source,
                name,
                None if mine is None else mine.rows,
                None if mine is None else mine.root or mine.schema,
                None if theirs is None else theirs.rows,
                None if theirs is None else theirs.root or theirs.schema,
            )
        )
    return found
