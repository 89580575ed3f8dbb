"""What changed between two states: counted by table and column, or row by row.

    for table in diff(before, after):
        table.added, table.columns["heat"]
    for changes in row_changes(before_table, after_table):
        ...

States are snapshots or live rows (`snapstore.operations.state`); either way only what differs is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from snapstore.operations.state import State, StateTable, evened
from snapstore.rows import Batch, Cells, Column, Table
from snapstore.tree.diff import Changed, RowChanges, common_columns
from snapstore.tree.diff import diff as diff_trees
from snapstore.tree.reader import TableTree

__all__ = [
    "TableDiff", "all_but_keys", "column_names", "diff", "only_keys", "pairs", "retyped", "row_changes",
    "shape_differences",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class TableDiff:
    """How one table differs: rows, and changed cells by column. `shape` says in words how its columns or key differ.

    `only` is "before" or "after" where the table is on one side alone, else empty. `ignored` are its columns that were
    not compared.
    """

    source: str
    name: str
    added: int = 0
    removed: int = 0
    changed: int = 0
    columns: dict[str, int] = field(default_factory=dict)
    shape: tuple[str, ...] = ()
    only: str = ""
    ignored: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs at all."""
        return not (self.added or self.removed or self.changed or self.shape or self.only)


def pairs(before: State, after: State) -> list[tuple[StateTable | None, StateTable | None]]:
    """The tables of both states matched by source and name, in the order of `after`, then what only `before` has.

    Where each state has one source, its name does not matter: two databases compare table by table.
    """
    several = len({table.source for table in (*before.tables, *after.tables)}) > 1
    merged = several and all(len({table.source for table in state.tables}) <= 1 for state in (before, after))

    def place(table: StateTable) -> tuple[str, str]:
        return ("" if merged else table.source, table.name)

    old = {place(table): table for table in before.tables}
    matched = [_pair(old.pop(place(table), None), table) for table in after.tables]
    return [*matched, *((table, None) for table in old.values())]


def _pair(old: StateTable | None, new: StateTable) -> tuple[StateTable | None, StateTable]:
    return (None, new) if old is None else evened(old, new)


def diff(before: State, after: State, *, keys: Sequence[bytes] | None = None) -> Iterator[TableDiff]:
    """Each table's differences, in order; equal tables too. With `keys` only the rows with these keys count."""
    for old, new in pairs(before, after):
        yield _table_diff(old, new, keys)


def _table_diff(old: StateTable | None, new: StateTable | None, keys: Sequence[bytes] | None) -> TableDiff:
    present = new or old
    assert present is not None
    added = removed = changed = 0
    columns: dict[str, int] = {}
    names = column_names(old, new)
    unknown = () if old is None or new is None else _unknown(old, new)
    if keys is None and not unknown and (not _match(_tree(old), _tree(new)) or not _count(old) or not _count(new)):
        # Every row is on one side only, and the roots say how many there are.
        found: Iterator[RowChanges] = iter(())
        added, removed = _count(new), _count(old)
    else:
        found = row_changes(old, new, keys=keys)
    for changes in found:
        added += len(changes.added)
        removed += len(changes.removed)
        changed += len(changes.changed)
        for number, count in enumerate(changes.changed.differs.sum(axis=0).tolist()):
            if count:
                columns[names[number]] = columns.get(names[number], 0) + count
    shape = () if old is None or new is None else shape_differences(old.table, new.table) + unknown
    only = "after" if old is None else "before" if new is None else ""
    ignored = tuple(name for name in names if name in _ignored(old, new))
    return TableDiff(present.source, present.name, added, removed, changed, columns, shape, only, ignored)


def _unknown(old: StateTable, new: StateTable) -> tuple[str, ...]:
    """In words, that the rows of one side were not taken."""
    if (old.tree is None) == (new.tree is None):
        return ()
    return ("rows not taken before" if old.tree is None else "rows not taken after",)


def column_names(old: StateTable | None, new: StateTable | None) -> list[str]:
    """The common columns that `row_changes` of these two speaks of."""
    before, after = _tree(old), _tree(new)
    if before is None or after is None or not _match(before, after):
        return []
    return [after.table.columns[at].name for _, at in common_columns(before, after)]


def row_changes(
    old: StateTable | None,
    new: StateTable | None,
    *,
    keys: Sequence[bytes] | None = None,
    ignored: frozenset[str] = frozenset(),
) -> Iterator[RowChanges]:
    """The rows that differ between two states of a table, in order of key; a missing table has no rows.

    A row that differs in `ignored` columns alone, or in those that either state ignores, does not differ. Where the key
    itself differs rows cannot be matched: all of `old` are removed, and all of `new` added. A table of which only the
    shape was taken has unknown rows, so nothing is said of them.
    """
    if any(table is not None and table.tree is None for table in (old, new)):
        return
    before, after = _tree(old), _tree(new)
    if before is not None and after is not None and before.count and after.count and _match(before, after):
        found = diff_trees(before, after, ignored=ignored | _ignored(old, new))
    else:
        found = _all_rows(before, after, len(column_names(old, new)))
    wanted = None if keys is None else frozenset(keys)
    for changes in found:
        yield changes if wanted is None else only_keys(changes, wanted)


def _ignored(old: StateTable | None, new: StateTable | None) -> frozenset[str]:
    return frozenset().union(*(table.ignored for table in (old, new) if table is not None))


def _tree(table: StateTable | None) -> TableTree | None:
    return None if table is None else table.tree


def _match(before: TableTree | None, after: TableTree | None) -> bool:
    """Whether rows of both can be matched by key."""
    return before is not None and after is not None and before.table.key == after.table.key


def _count(table: StateTable | None) -> int:
    tree = _tree(table)
    return 0 if tree is None else tree.count


def _all_rows(before: TableTree | None, after: TableTree | None, common: int) -> Iterator[RowChanges]:
    for batch in before.rows() if before is not None else ():
        empty = batch.slice(0, 0)
        yield RowChanges(empty, batch, _unchanged(batch, common))
    for batch in after.rows() if after is not None else ():
        empty = batch.slice(0, 0)
        yield RowChanges(batch, empty, _unchanged(batch, common))


def _unchanged(batch: Batch, common: int) -> Changed:
    return Changed(batch.keys.slice(0, 0), np.zeros((0, common), np.bool_), {}, {})


def only_keys(changes: RowChanges, keys: frozenset[bytes]) -> RowChanges:
    """Just the rows with these keys."""
    return _rows_of(changes, lambda key: key in keys)


def all_but_keys(changes: RowChanges, keys: frozenset[bytes]) -> RowChanges:
    """The rows with other keys than these."""
    return _rows_of(changes, lambda key: key not in keys)


def _rows_of(changes: RowChanges, is_meant: Callable[[bytes | None], bool]) -> RowChanges:
    def rows(cells: Cells) -> NDArray[np.int64]:
        return np.flatnonzero(np.fromiter(map(is_meant, cells.to_list()), np.bool_, len(cells)))

    return RowChanges(
        changes.added.take(rows(changes.added.keys)),
        changes.removed.take(rows(changes.removed.keys)),
        changed_rows(changes.changed, rows(changes.changed.keys)),
    )


def changed_rows(changed: Changed, rows: NDArray[np.int64]) -> Changed:
    """Just these of the changed rows."""
    if len(rows) == len(changed):
        return changed
    keep = np.zeros(len(changed), np.bool_)
    keep[rows] = True

    def cut(cells: dict[int, Cells]) -> dict[int, Cells]:
        picked = {}
        for number, own in cells.items():
            kept = np.flatnonzero(keep[changed.differs[:, number]])
            if len(kept):
                picked[number] = own.take(kept)
        return picked

    return Changed(changed.keys.take(rows), changed.differs[rows], cut(changed.before), cut(changed.after))


def shape_differences(old: Table, new: Table, *, before: str = "before", after: str = "after") -> tuple[str, ...]:
    """In words, how the key and the stored columns of two states of a table differ; the states are called so."""
    words = []
    if old.key != new.key:
        words.append(f"key: {_key(old)} {before}, {_key(new)} {after}")
    mine, theirs = old.declared_types, new.declared_types
    for name, was, is_now in retyped(old, new):
        if mine[name] == theirs[name]:  # a domain, say, of one name and over something else
            words.append(f"column {name}: {mine[name]} of {was.type} {before}, of {is_now.type} {after}")
    for name, declared in mine.items():
        if name not in theirs:
            words.append(f"column {name} ({declared}) only {before}")
        elif theirs[name] != declared:
            words.append(f"column {name}: {declared} {before}, {theirs[name]} {after}")
    words += [f"column {name} ({declared}) only {after}" for name, declared in theirs.items() if name not in mine]
    return tuple(words)


def retyped(old: Table, new: Table) -> list[tuple[str, Column, Column]]:
    """The columns of one name whose cells are of other types in both."""
    there = {column.name: column for column in new.columns}
    found = [(one.name, one, there[one.name]) for one in old.columns if one.name in there]
    return [(name, was, is_now) for name, was, is_now in found if (was.type, was.width) != (is_now.type, is_now.width)]


def _key(table: Table) -> str:
    if table.by_content:
        return "none"
    return "(" + ", ".join(f"{part.name} {part.type}" for part in table.key) + ")"
