"""The rows of a table that differ, one by one, in order of key: as lines for people and as documents.

    for line in row_lines(old, new, None, table_diff):
        app.out(line)                                   # "    ~ 17", "        heat: 0.5 → 0.485"

Which tables differ, and by how many rows, `snap_cli.diff` tells.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from snap_cli.cells import change_json, change_text, key_text
from snap_cli.render import clean, count, paint
from snapstore.multiset import DIGEST_BYTES
from snapstore.operations.diff import TableDiff, pairs, row_changes
from snapstore.operations.rowvalues import keys_of, rows_of
from snapstore.operations.state import State, StateTable
from snapstore.rows import Cells, Column
from snapstore.sources.display import shorten
from snapstore.tree.diff import RowChanges, common_columns
from snapstore.tree.values import resolve as resolve_cells

__all__ = ["row_documents", "row_lines"]

Keys = Mapping[str, Sequence[bytes]] | None
"""The only rows that are meant, by table; None for all."""

_MARKS = {"removed": ("-", "red"), "added": ("+", "green"), "changed": ("~", "yellow")}


def row_lines(before: State, after: State, keys: Keys, table: TableDiff) -> Iterator[str]:
    """The rows of this table; many that are alike, where rows have no key, as one."""
    old, new, own = _sides(before, after, keys, table)
    present = new or old
    # Rows without a key that are the same differ in the number at the end of their keys alone.
    length = DIGEST_BYTES if present is not None and present.table.by_content else None
    for (_, what), alike in groupby(_events(old, new, own), key=lambda event: (event[0][:length], event[1])):
        copies, (_, _, key, told) = deque(enumerate(alike, 1), maxlen=1).pop()
        yield f"    {paint(*_MARKS[what])} {clean(key_text(key))}" + (f" {count(copies)} times" if copies > 1 else "")
        if what == "changed":
            for column, was, now in told:
                for line in change_text(column, was, now, key):
                    yield f"        {line}"
            continue
        for name, value in told.items():
            if name not in key:
                yield f"        {clean(name)}: {shorten(value, width=76)}"


def row_documents(before: State, after: State, keys: Keys, table: TableDiff) -> Iterator[dict[str, Any]]:
    """The same for programs, each row for itself."""
    for _, what, key, told in _events(*_sides(before, after, keys, table)):
        if what == "changed":
            columns_changed = {column.name: change_json(column, was, now, key) for column, was, now in told}
            yield {"change": what, "key": key, "columns": columns_changed}
        else:
            yield {"change": what, "key": key, "row": told}


Event = tuple[bytes, str, dict[str, Any], Any]
"""One row that differs: its key as bytes and in words; removed or added with its fields, or changed with its cells."""


def _sides(
    before: State, after: State, keys: Keys, table: TableDiff
) -> tuple[StateTable | None, StateTable | None, Sequence[bytes] | None]:
    """The table as it was and as it is, and the keys of the rows that are meant."""
    own = None if keys is None else keys.get(table.name, ())
    return next(
        (old, new, own)
        for old, new in pairs(before, after)
        if (present := new or old) and (present.source, present.name) == (table.source, table.name)
    )


def _events(old: StateTable | None, new: StateTable | None, keys: Sequence[bytes] | None) -> Iterator[Event]:
    """Every row that differs, in order of key."""
    for changes in row_changes(old, new, keys=keys):
        found: list[Event] = []
        for side, what, batch in ((old, "removed", changes.removed), (new, "added", changes.added)):
            if side is not None and len(batch):
                told = rows_of(side.table, batch, side.fetch)
                found += [(at, what, *own) for at, own in zip(_plain(batch.keys), told, strict=True)]
        told_changed = _changed(old, new, changes)
        found += [(at, "changed", *own) for at, own in zip(_plain(changes.changed.keys), told_changed, strict=False)]
        yield from sorted(found, key=lambda event: event[0])


def _changed(
    old: StateTable | None, new: StateTable | None, changes: RowChanges
) -> Iterator[tuple[dict[str, Any], list[tuple[Column, bytes | None, bytes | None]]]]:
    """Each changed row: its key, and the column with both cells wherever they differ."""
    changed = changes.changed
    if not len(changed) or old is None or new is None or old.tree is None or new.tree is None:
        return
    names = [new.table.columns[at] for _, at in common_columns(old.tree, new.tree)]
    before = {number: resolve_cells(cells, old.fetch).to_list() for number, cells in changed.before.items()}
    after = {number: resolve_cells(cells, new.fetch).to_list() for number, cells in changed.after.items()}
    place = np.cumsum(changed.differs, axis=0) - 1
    for at, key in enumerate(keys_of(new.table.key, changed.keys)):
        numbers = np.flatnonzero(changed.differs[at]).tolist()
        yield key, [(names[n], before[n][place[at, n]], after[n][place[at, n]]) for n in numbers]


def _plain(keys: Cells) -> list[bytes]:
    return [key or b"" for key in keys.to_list()]
