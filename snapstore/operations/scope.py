"""Which rows a restore is about, and the changes among them.

    scope = Scope(where={"public.memories": "heat > 0.5"}, matching=source.matching)
    for changes in scoped_changes(live_table, snapshot_table, scope):
        ...

It does not know what is done with the changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Invalid
from snapstore.operations.diff import all_but_keys, changed_rows, row_changes
from snapstore.operations.state import StateTable
from snapstore.rows import Batch, Table
from snapstore.tree.diff import RowChanges
from snapstore.tree.values import portions

__all__ = ["Scope", "knows_absence", "scoped_changes"]

Meets = Callable[[Batch], NDArray[np.bool_]]
Matching = Callable[[Table, str], AbstractContextManager[Meets]]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rows a restore is about: all, those with some `keys` (by table name), or those that meet a condition.

    `where` maps a table name to a condition; `matching` asks the source which rows meet it. A row is meant by its
    snapshot version; a row that is only live by its live one. With `keys` or `where`, tables they do not name are left
    alone but for those in `whole`. With `loosely` a difference in `Table.loose` columns is none. `without` are keys, by
    table name, of rows that are left alone whatever else is said of them.
    """

    keys: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    matching: Matching | None = None
    whole: frozenset[str] = frozenset()
    loosely: bool = False
    without: Mapping[str, frozenset[bytes]] = field(default_factory=dict)

    @property
    def is_all(self) -> bool:
        """Whether every row of every table is meant."""
        return not self.keys and not self.where

    def means(self, table: str) -> bool:
        """Whether any row of this table is meant."""
        in_keys, in_where = not self.keys or table in self.keys, not self.where or table in self.where
        return table in self.whole or (in_keys and in_where)


def knows_absence(table: StateTable, scope: Scope) -> bool:
    """Whether a row that the snapshot lacks was not there then, so that a restore may delete it.

    Where a condition chose the snapshot's rows, one that meets it now may have been there and not have met it: only who
    names rows of the table himself, by key or condition, has them deleted. The same holds where damage hid rows.
    """
    is_whole = table.entry.where is None and not table.damage
    return is_whole or table.name in {*scope.keys, *scope.where, *scope.whole}


def scoped_changes(old: StateTable | None, new: StateTable, scope: Scope) -> Iterator[RowChanges]:
    """`row_changes`, only of the rows that the scope means, and that the snapshot speaks of.

    A snapshot of a table's shape alone says nothing about rows; one of the rows that meet a condition says nothing of
    live rows that do not.
    """
    if new.tree is None or not scope.means(new.name):
        return
    left_out = scope.without.get(new.name)
    for changes in _meant_changes(old, new, scope):
        yield changes if left_out is None else all_but_keys(changes, left_out)


def _meant_changes(old: StateTable | None, new: StateTable, scope: Scope) -> Iterator[RowChanges]:
    is_whole = new.name in scope.whole
    keys = None if is_whole else scope.keys.get(new.name)
    loose = new.table.loose if scope.loosely and old is not None else frozenset()
    condition, held = None if is_whole else scope.where.get(new.name), new.entry.where
    if condition is None and (held is None or old is None):
        yield from row_changes(old, new, keys=keys, ignored=loose)
        return
    if scope.matching is None:
        raise Invalid(f"a condition on the rows of {new.name} cannot be tried without a source to ask")
    with ExitStack() as stack:
        of_new = [stack.enter_context(scope.matching(new.table, condition))] if condition is not None else []
        of_old = [
            stack.enter_context(scope.matching(old.table, one))
            for one in (condition, held)
            if old is not None and one is not None
        ]
        for changes in row_changes(old, new, keys=keys, ignored=loose):
            yield _meeting(changes, old, new, of_old, of_new)


def _meeting(
    changes: RowChanges, old: StateTable | None, new: StateTable, of_old: Sequence[Meets], of_new: Sequence[Meets]
) -> RowChanges:
    added, removed, changed = changes.added, changes.removed, changes.changed
    for meets in of_new:
        if len(added):
            added = added.take(_meeting_rows(meets, added, new))
        if len(changed) and new.tree is not None:
            rows = new.tree.lookup([key or b"" for key in changed.keys.to_list()])
            changed = changed_rows(changed, _meeting_rows(meets, rows, new))
    for meets in of_old:
        if len(removed) and old is not None:
            removed = removed.take(_meeting_rows(meets, removed, old))
    return RowChanges(added, removed, changed)


def _meeting_rows(meets: Meets, batch: Batch, table: StateTable) -> NDArray[np.int64]:
    """Which of these rows meet it, their large cells fetched."""
    whole = portions(batch.keys, [(cells, table.fetch) for cells in batch.columns])
    return np.flatnonzero(np.concatenate([meets(some) for some in whole]))
