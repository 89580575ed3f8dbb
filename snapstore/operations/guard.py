"""What something risky did to what a snapshot holds, whether that was too much, and the way back.

    did = look(repository, snapshot, [(held, source)])
    if told := did.exceeded(Limit("deletes", "5%")):
        back = put_back(repository, snapshot, [(held, source)])
        back.left                                   # what is not as it was even now, by name

It takes no snapshot and runs nothing: whoever guards does that between.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import floor
from typing import Literal

from snapstore.errors import Invalid, SnapstoreError
from snapstore.operations.ask import Ask
from snapstore.operations.capture import Progress, silent
from snapstore.operations.definitions import Became, Redefined, definition_changes
from snapstore.operations.diff import TableDiff, diff
from snapstore.operations.livestate import live_state
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Restored, restore
from snapstore.operations.state import of_snapshot
from snapstore.repository import Repository, Snapshot, SnapshotSource
from snapstore.sources import Source

__all__ = ["Back", "Did", "Limit", "NotBack", "Pairs", "look", "put_back"]

Pairs = Sequence[tuple[SnapshotSource, Source]]
"""Each source as the snapshot holds it, with the live one."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that may be deleted, or changed in any way: a number, or a share of the rows in the snapshot (`5%`).

    Raises `Invalid` for a text that is neither.
    """

    what: Literal["deletes", "changes"]
    text: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d+|\d+(\.\d+)?%", self.text, re.ASCII):
            raise Invalid(f"{self.text!r} is neither a number of rows nor a share of them such as 5%")

    def most(self, rows: int) -> int:
        """As a number, of so many rows."""
        return floor(rows * float(self.text[:-1]) / 100) if self.text.endswith("%") else int(self.text)


@dataclass(frozen=True, slots=True)
class Did:
    """How what is live differs from the snapshot: rows and shapes by table, and what is declared around them."""

    snapshot: Snapshot
    tables: tuple[TableDiff, ...]
    definitions: tuple[Redefined, ...]

    @property
    def is_nothing(self) -> bool:
        """Whether all is as in the snapshot."""
        return not self.definitions and all(one.is_equal for one in self.tables)

    def exceeded(self, limit: Limit) -> str:
        """In words, by how much a limit is exceeded; empty if it is kept.

        A column that is gone, or holds another type, is deleted or changed in every row that stayed. What else is
        declared (an index, a view) counts one by one.
        """
        is_all = limit.what == "changes"
        held = {(own.name, table.name): table.rows for own in self.snapshot.sources for table in own.tables}
        rows = sum(_rows(one, held.get((one.source, one.name), 0), is_all=is_all) for one in self.tables)
        things = sum(is_all or one.what is Became.GONE for one in self.definitions)
        most = limit.most(sum(held.values()))
        if rows + things <= most:
            return ""
        what = f"{rows:,} row{'' if rows == 1 else 's'}" if rows or not things else ""
        what += " and " if what and things else ""
        what += f"{things:,} definition{'' if things == 1 else 's'}" if things else ""
        word = "added, changed or deleted" if is_all else "deleted"
        return f"{what} {word}, and max-{limit.what} {limit.text} allows {most:,}"


def _rows(one: TableDiff, held: int, *, is_all: bool) -> int:
    """The rows that were deleted (of all: changed in any way), of so many that the snapshot holds."""
    moved = one.removed + (one.added + one.changed if is_all else 0)
    is_lost = any(words.startswith("column ") and words.endswith(" only before") for words in one.shape)
    if one.shape and (is_lost or is_all):
        return max(moved, held + (one.added if is_all else 0))
    return moved


@dataclass(frozen=True, slots=True)
class NotBack:
    """A source that could not be put back, and why."""

    source: str
    error: SnapstoreError


@dataclass(frozen=True, slots=True)
class Back:
    """What was put back, source by source, what could not be, and what is not as it was even now, in words.

    `made` are the tables among it that were not there: nothing deletes them.
    """

    restored: tuple[Restored, ...]
    failed: tuple[NotBack, ...] = ()
    left: tuple[str, ...] = ()
    made: tuple[str, ...] = ()


def look(repository: Repository, snapshot: Snapshot, pairs: Pairs, *, progress: Progress = silent) -> Did:
    """Compare what is live now with the snapshot."""
    with ExitStack() as stack:
        now = live_state(repository, snapshot, pairs, stack, progress)
        whole, names = of_snapshot(repository, snapshot), {held.name for held, _ in pairs}
        then = replace(
            whole,
            tables=tuple(one for one in whole.tables if one.source in names),
            beyond=tuple(one for one in whole.beyond if one.source in names),
        )
        return Did(snapshot, tuple(diff(then, now)), tuple(definition_changes(then, now)))


def put_back(
    repository: Repository,
    snapshot: Snapshot,
    pairs: Pairs,
    *,
    host: str = "",
    progress: Progress = silent,
    told: Callable[[SnapshotSource, Source, Restored], None] = lambda *_: None,
) -> Back:
    """Make each source what it was: rows to the bit, and what of another shape is now made anew.

    One that cannot be put back keeps none of the others from it. `told` hears of each that was. What came to be since
    and stands in nothing's way stays.
    """
    done: list[Restored] = []
    failed: list[NotBack] = []

    def restore_each(those: Pairs) -> Pairs:
        """Those of them that could be."""
        there = []
        for held, live in those:
            ask = Ask(mode=Mode.EXACT, source=held.name, recreate=True)
            try:
                restored = restore(repository, snapshot, live, ask, host=host, progress=progress)
            except SnapstoreError as error:
                failed.append(NotBack(held.name, error))
                continue
            done.append(restored)
            told(held, live, restored)
            there.append((held, live))
        return there

    there = restore_each(pairs)
    if not there:
        return Back(tuple(done), tuple(failed))
    still = look(repository, snapshot, there, progress=progress)
    # Some come back only where every row is there already.
    lacking = {one.source for one in still.definitions if one.what is Became.GONE}
    if again := [(held, live) for held, live in there if held.name in lacking]:
        restore_each(again)
        still = look(repository, snapshot, there, progress=progress)
    several = len(pairs) > 1
    tables = [one for one in still.tables if not one.is_equal]
    left = [f"{one.source}: {one.name}" if several else one.name for one in tables]
    left += [f"{f'{one.source}: ' if several else ''}{one.name} ({one.what.value})" for one in still.definitions]
    made = tuple(own for own, one in zip(left, tables, strict=False) if one.only == "after")
    return Back(tuple(done), tuple(failed), tuple(left), made)
