"""The history of one row: when it appeared, each change of its cells, when it vanished and came back.

    history = log(repository, chain, "17")
    for event in history.events:
        event.what, event.before, event.after       # 'changed', and the snapshots on both sides of it

Only what differs between neighbours is read: a level of all trees at once, every blob on the way to the key once. Cells
are given as they are held; large ones are still to be fetched (`snapstore.tree.values.resolve`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from snapstore.errors import Invalid, NotFound
from snapstore.operations.chain import Chain, Step, Unknown
from snapstore.repository import Repository, Snapshot
from snapstore.rows import Batch, Cells, Column, KeyPart, Table
from snapstore.sources.display import parse_key
from snapstore.tree.reader import TableTree
from snapstore.tree.series import Row, one_shape, open_all, rows_with_key

__all__ = ["Event", "FieldChange", "RowHistory", "log"]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One column of a row that changed; a side without the column has None for both. Cells are one each."""

    name: str
    column_before: Column | None
    column_after: Column | None
    before: Cells | None
    after: Cells | None


@dataclass(frozen=True, slots=True)
class Event:
    """What became of the row between two neighbouring snapshots that know of it.

    `before` is None where no snapshot before knows of it: then it `appeared` in `after` or earlier. `row` is the whole
    row that appeared, or came back, or the one that vanished; `fields` are the columns that changed, and of a row that
    came back those in which it is not what it was.
    """

    what: Literal["appeared", "changed", "vanished", "returned"]
    before: Snapshot | None
    after: Snapshot
    table: Table
    row: Batch | None = None
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class RowHistory:
    """All that snapshots know of one row. `held` is how many of the `looked_at` hold it, `last` the newest one asked.

    `unknown` are snapshots that cannot say whether it was there.
    """

    source: str
    table: Table
    key: bytes
    events: tuple[Event, ...]
    held: int
    looked_at: int
    first: Snapshot
    last: Snapshot
    is_there: bool
    unknown: tuple[Unknown, ...]


def log(repository: Repository, chain: Chain, key: str) -> RowHistory:
    """The history of the row that is called so in the table's key, as `snap show` takes it.

    Raises `Invalid` where no shape the table had has such a key, and `NotFound` where no snapshot holds the row.
    """
    steps = [step for step in chain.steps if step.table is not None]
    if not steps:
        raise NotFound(f"no snapshot holds rows of {chain.name}")
    trees = open_all([step.table.root for step in steps if step.table and step.table.root], repository.blobs)
    rows, unknown = _rows(steps, trees, key)
    told = _Telling()
    for step in chain.steps:
        if step.snapshot.id in rows or step.table is None:
            told.step(step, *rows.get(step.snapshot.id, (None, None, None)))
    if told.shape is None:
        raise NotFound(
            f"no snapshot holds a row {key!r} of {chain.name}",
            hint=f"`snap show SNAP:{chain.name}` shows some keys; `snap find TEXT` looks for words.",
        )
    return RowHistory(
        chain.source,
        told.shape,
        told.key,
        tuple(told.events),
        told.held,
        len(told.asked),
        told.asked[0],
        told.asked[-1],
        told.is_there,
        (*chain.unknown, *unknown, *told.silent),
    )


Found = tuple[Table, bytes, dict[Column, Cells] | None]


def _rows(
    steps: list[Step], trees: list[TableTree], text: str
) -> tuple[dict[str, tuple[Table, bytes, dict[Column, Cells] | None]], list[Unknown]]:
    """By snapshot the table's shape, the key in its bytes, and the row's cells by column."""
    by_key: dict[tuple[KeyPart, ...], list[tuple[Step, TableTree]]] = {}
    for step, tree in zip(steps, trees, strict=True):
        by_key.setdefault(tree.table.key, []).append((step, tree))
    rows: dict[str, Found] = {}
    unknown: list[Unknown] = []
    failure: Invalid | None = None
    for own in by_key.values():
        shape = own[-1][1].table
        try:
            key = parse_key(shape, text)
        except Invalid as error:
            failure = error
            unknown += [Unknown(step.snapshot, f"the table had another key then: {error.message}") for step, _ in own]
            continue
        shaped = one_shape([tree for _, tree in own])
        columns = shaped[0].table.columns
        for (step, tree), row in zip(own, rows_with_key(shaped, key), strict=True):
            rows[step.snapshot.id] = tree.table, key, _own(tree.table, columns, row)
    if not rows and failure is not None:
        raise failure
    return rows, unknown


def _own(table: Table, columns: tuple[Column, ...], row: Row | None) -> dict[Column, Cells] | None:
    if row is None:
        return None
    there = set(table.columns)
    return {column: cell for column, cell in zip(columns, row, strict=True) if column in there}


class _Telling:
    """Goes through the steps in order, and notes what becomes of the row."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.asked: list[Snapshot] = []
        self.silent: list[Unknown] = []
        self.held = 0
        self.is_there = False
        self.shape: Table | None = None
        self.key = b""
        self._known: dict[str, tuple[Column, Cells]] = {}

    def step(self, step: Step, table: Table | None, key: bytes | None, row: dict[Column, Cells] | None) -> None:
        """One more snapshot, with the row it holds or None."""
        if row is None and not step.is_whole:
            self.silent.append(Unknown(step.snapshot, "it holds only some of the rows, and this one is not among them"))
            return
        before = self.asked[-1] if self.asked else None
        self.asked.append(step.snapshot)
        if row is None:
            if self.is_there and self.shape is not None:
                self.events.append(Event("vanished", before, step.snapshot, self.shape, self._batch(self.shape)))
            self.is_there = False
            return
        assert table is not None
        assert key is not None
        assert step.table is not None
        was_held, self.held = self.held, self.held + 1
        fields = self._changes(row, frozenset(step.table.left_out))
        self.shape, self.key = table, key
        if not self.is_there:
            what: Literal["returned", "appeared"] = "returned" if was_held else "appeared"
            self.events.append(
                Event(what, before, step.snapshot, table, self._batch(table), tuple(fields) if was_held else ())
            )
        elif fields:
            self.events.append(Event("changed", before, step.snapshot, table, None, tuple(fields)))
        self.is_there = True

    def _changes(self, row: dict[Column, Cells], left_out: frozenset[str]) -> list[FieldChange]:
        """What differs from what is known of the row, which this row replaces."""
        changes = []
        now = {column.name: (column, cell) for column, cell in row.items()}
        for name, (column, cell) in now.items():
            was = self._known.get(name)
            if was is None or was[0] != column or not _same(was[1], cell):
                changes.append(FieldChange(name, was[0] if was else None, column, was[1] if was else None, cell))
        for name in self._known.keys() - now.keys() - left_out:
            column, cell = self._known.pop(name)
            changes.append(FieldChange(name, column, None, cell, None))
        self._known.update(now)
        return changes

    def _batch(self, table: Table) -> Batch:
        """The row as it is known, as a batch of one."""
        columns = (
            self._known[column.name][1] if column.name in self._known else Cells.of([None], width=column.width)
            for column in table.columns
        )
        return Batch(Cells.of([self.key], width=table.key_width), tuple(columns))


def _same(one: Cells, other: Cells) -> bool:
    """Whether two single cells of one column are equal, spilled or not."""
    spilled = [0 if cell.spilled is None else int(cell.spilled[0]) for cell in (one, other)]
    return one is other or (one[0] == other[0] and spilled[0] == spilled[1])
