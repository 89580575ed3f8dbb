"""What a restore would do: the difference of the live rows and a snapshot, filtered by the mode.

    plan = make_plan(live_state, snapshot_state, Mode.SKIP)
    plan.id, plan.tables[0].insert

A plan is counted and hashed row by row, so the same id means the same changes to the same live rows. Planning changes
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from snapstore.digest import Digest, Hasher
from snapstore.errors import Conflict
from snapstore.operations.diff import column_names, pairs, retyped, shape_differences
from snapstore.operations.drift import Drift, drift, kin, of_other_types, partitions_of
from snapstore.operations.scope import Scope, knows_absence, scoped_changes
from snapstore.operations.state import State, StateTable
from snapstore.rows import Batch, Cells, Table
from snapstore.tree.diff import RowChanges

__all__ = ["Mode", "Plan", "TablePlan", "make_plan"]


class Mode(StrEnum):
    """What happens where snapshot and live rows meet (DESIGN: diff, plan, restore)."""

    SKIP = "skip"
    UPDATE = "update"
    EXACT = "exact"


@dataclass(frozen=True, slots=True)
class TablePlan:
    """What will happen to one table, in rows; `updates` counts cells by column, `column_sets` rows by the columns set.

    `skip` counts rows that differ and are left alone, `keep` rows that are only live and stay; `unsure` of these would
    be deleted if it were known that they were not there when `condition` chose the rows of the snapshot, or where there
    is none, that damage did not hide them then. `create` says that the table is missing and will be made, `recreate`
    that it will be dropped first, with the `delete` rows it has.
    `shape` is how its columns differ in words, `drift` how all that it is made of does, side by side; `errors` why it
    cannot be restored. `without` are the columns that inserted rows will have no value of, since the snapshot does not
    hold them or they were left out; `by_content` that rows have no key and are counted; `ignored` are columns in which
    a difference is none, and which updates leave alone.
    """

    source: str
    name: str
    insert: int = 0
    update: int = 0
    delete: int = 0
    skip: int = 0
    keep: int = 0
    unsure: int = 0
    condition: str = ""
    updates: dict[str, int] = field(default_factory=dict)
    column_sets: dict[tuple[str, ...], int] = field(default_factory=dict)
    create: bool = False
    recreate: bool = False
    shape: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    drift: tuple[Drift, ...] = ()
    without: tuple[str, ...] = ()
    by_content: bool = False
    ignored: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing will be done."""
        return not (self.insert or self.update or self.delete or self.create or self.recreate)


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes that turn the live rows into the snapshot's under a mode. `id` is 32 hex digits.

    `obstacle` says why no restore can carry it out from this repository, and what to do: it may only be read.
    """

    id: str
    mode: Mode
    snapshot: str
    tables: tuple[TablePlan, ...]
    obstacle: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing will be done."""
        return all(table.is_empty for table in self.tables)

    @property
    def errors(self) -> list[str]:
        """Why the plan cannot be carried out, if it cannot."""
        return [error for table in self.tables for error in table.errors]

    def check(self, plan_id: str | None) -> None:
        """Raises `Conflict` if this is not the plan of that id (any will do for None), or cannot be carried out."""
        if plan_id is not None and self.id != plan_id:
            raise Conflict(
                f"the live rows have changed since the plan {plan_id[:12]} was made; nothing was changed",
                hint="Make a new plan with --dry-run and look at it.",
            )
        if self.errors:
            raise Conflict(
                "; ".join(self.errors),
                hint="Nothing was changed. `--recreate` rebuilds such a table; `--exclude-column` leaves a column out.",
            )


def make_plan(live: State, wanted: State, mode: Mode, *, scope: Scope | None = None, recreate: bool = False) -> Plan:
    """Plan the restore of every table of `wanted`; tables that are only live are left alone."""
    scope = scope or Scope()
    hasher = Hasher(f"plan 1 {mode.value} {recreate}".encode())
    matched = [(old, new) for old, new in pairs(live, wanted) if new is not None]
    anew = _made_anew(matched, scope) if recreate else set()
    tables = []
    for old, new in matched:
        unread = live.why_missing(new.name) if old is None and scope.means(new.name) else ""
        if unread:
            error = f"{new.name} is there and cannot be read: {unread}"
            planned, rows = TablePlan(new.source, new.name, errors=(error,)), b""
        else:
            planned, rows = _plan_table(old, new, mode, scope, new.name in anew)
        if old is not None and scope.means(new.name):
            found = drift(
                old,
                new,
                recreate=new.name in anew,
                partitions=(
                    partitions_of(old.table, (one.table for one in live.tables)),
                    partitions_of(new.table, (one.table for one in wanted.tables)),
                ),
            )
            if new.table.part_of and mode is not Mode.EXACT and (planned.skip or planned.keep):
                words = f"part of {new.table.part_of}"
                found += (Drift(words, "differs", "", "left as it is: only --exact restores it", is_shape=False),)
            planned = replace(planned, drift=found)
        tables.append(planned)
        hasher.update(f"\0{planned.source}\0{planned.name}\0{planned.create}{planned.recreate}\0".encode() + rows)
    return Plan(hasher.hexdigest(length=16), mode, wanted.label, tuple(tables))


def _made_anew(matched: Sequence[tuple[StateTable | None, StateTable]], scope: Scope) -> set[str]:
    """The live tables of another shape, with the tables that are parts of them or of which they are."""
    there = {new.name: (old, new) for old, new in matched if old is not None and scope.means(new.name)}
    changed = {name for name, (old, new) in there.items() if any(one.is_shape for one in drift(old, new))}
    return kin((new.table for _, new in there.values()), changed)


def _plan_table(
    old: StateTable | None, new: StateTable, mode: Mode, scope: Scope, rebuild: bool
) -> tuple[TablePlan, bytes]:
    was = new.was or new.table
    shape = () if old is None else shape_differences(old.table, was, before="live", after="in the snapshot")
    if old is not None and scope.means(new.name):
        errors = _recreate_errors(new, scope) if rebuild else _errors(old.table, new) if new.tree is not None else []
        if errors:
            return TablePlan(new.source, new.name, shape=shape, errors=tuple(errors)), b""
    live = None if rebuild else old
    names = column_names(live, new)
    insert = update = skip = keep = 0
    delete = old.tree.count if rebuild and old is not None and old.tree is not None else 0
    updates: dict[str, int] = {}
    sets: dict[tuple[str, ...], int] = {}
    deletes = mode is Mode.EXACT and knows_absence(new, scope)
    # A counter that goes up does not make another plan, not even in a row that will be deleted.
    quiet = [] if live is None else [at for at, one in enumerate(live.table.columns) if one.name in new.ignored]
    hashed = _Hashed(mode, names, deletes=deletes, quiet=quiet)
    found = scoped_changes(live, new, scope)
    # Rows of two states of an index make none, so what is there stays unless all of it is replaced.
    stays = bool(new.table.part_of) and live is not None and mode is not Mode.EXACT
    is_every = scope.is_all and new.name not in scope.without
    if (live is None or live.is_empty) and new.tree is not None and is_every and not stays:
        # Every row goes in; the root says all about them, and how many there are.
        insert, found = new.tree.count, iter(())
        hashed.root("inserted", new.tree.root)
    for changes in found:
        hashed.add(changes)
        if stays:
            skip += len(changes.added) + len(changes.changed)
            keep += len(changes.removed)
            continue
        insert += len(changes.added)
        if deletes:
            delete += len(changes.removed)
        else:
            keep += len(changes.removed)
        if mode is Mode.SKIP:
            skip += len(changes.changed)
            continue
        update += len(changes.changed)
        for number, count in enumerate(changes.changed.differs.sum(axis=0).tolist()):
            if count:
                updates[names[number]] = updates.get(names[number], 0) + count
        for mask, count in _masks(changes.changed.differs):
            columns = tuple(names[number] for number in mask)
            sets[columns] = sets.get(columns, 0) + count
    if rebuild and old is not None:
        hashed.root("dropped", old.entry.root)
    planned = TablePlan(
        new.source,
        new.name,
        insert,
        update,
        delete,
        skip,
        keep,
        keep if mode is Mode.EXACT else 0,
        new.entry.where or "",
        updates,
        sets,
        create=old is None and scope.means(new.name),
        recreate=rebuild,
        shape=shape,
        without=new.entry.left_out if insert else (),
        by_content=new.table.by_content,
        ignored=tuple(name for name in names if name in new.ignored),
    )
    return planned, hashed.digest()


def _recreate_errors(wanted: StateTable, scope: Scope) -> list[str]:
    """Why a live table cannot be dropped for the snapshot's: it would take more with it than the snapshot gives."""
    if wanted.entry.where is not None:
        return [f"{wanted.name}: the snapshot holds only some of its rows, so it cannot be made anew"]
    if wanted.damage:
        return [f"{wanted.name}: the snapshot holds what could be read of it, so it cannot be made anew"]
    if wanted.entry.root is None:
        return [f"{wanted.name}: the snapshot holds none of its rows, so it cannot be made anew"]
    if wanted.entry.left_out:
        left_out = ", ".join(wanted.entry.left_out)
        return [f"{wanted.name}: the snapshot does not hold {left_out}, so it cannot be made anew"]
    if not scope.is_all and wanted.name not in scope.whole:
        return [f"{wanted.name}: it cannot be made anew for some of its rows only"]
    return []


def _errors(live: Table, new: StateTable) -> list[str]:
    """Why rows cannot be moved between these shapes as they are."""
    wanted, errors = new.table, []
    if [part.name for part in live.key] != [part.name for part in wanted.key]:
        errors.append(f"{wanted.name}: the live table has another key than the snapshot")
    elif wanted.by_content and {column.name for column in live.columns} != {column.name for column in wanted.columns}:
        errors.append(f"{wanted.name}: it has no key, and rows of other columns than the snapshot's cannot be matched")
    elif live.key != wanted.key and not of_other_types(live, wanted):
        errors.append(f"{wanted.name}: the key of the live table is ordered otherwise than the snapshot's")
    now, then = (one.declared_types | {part.name: part.type for part in one.key} for one in (live, wanted))
    # What a row without a key is known by would be other bytes once they were turned into the type of now.
    why = "it has no key, and rows without one are not converted: " if wanted.by_content else ""
    for name in of_other_types(live, wanted):
        errors.append(f"{wanted.name}: {why}column {name} is {now[name]} now and was {then[name]} in the snapshot")
    for name, is_now, was in retyped(live, wanted):
        if now[name] == then[name]:
            told = f"{now[name]} of {is_now.type} now and was one of {was.type} in the snapshot"
            errors.append(f"{wanted.name}: column {name} is {told}")
    return [*errors, new.refusal] if new.refusal else errors


def _masks(differs: NDArray[np.bool_]) -> Iterator[tuple[list[int], int]]:
    """The sets of columns that differ together, and in how many rows each."""
    if len(differs):
        masks, counts = np.unique(differs, axis=0, return_counts=True)
        for mask, count in zip(masks, counts.tolist(), strict=True):
            yield np.flatnonzero(mask).tolist(), count


class _Hashed:
    """A digest over changes that does not depend on how they were batched: each part is a stream of its own."""

    def __init__(self, mode: Mode, names: Sequence[str], *, deletes: bool, quiet: Sequence[int] = ()) -> None:
        self._mode = mode
        self._deletes = deletes
        self._quiet = frozenset(quiet)
        self._streams: dict[str, Hasher] = {}
        self._update("columns", "\0".join(names).encode())

    def root(self, what: str, root: Digest | None) -> None:
        """All rows of a table at once."""
        self._update(what, root or b"")

    def add(self, changes: RowChanges) -> None:
        self._rows("insert", changes.added)
        if self._deletes:
            self._rows("delete", changes.removed, self._quiet)
        if self._mode is not Mode.SKIP:
            self._cells("update", changes.changed.keys)
            self._update("update differs", changes.changed.differs.tobytes())
            for side, cells in (("before", changes.changed.before), ("after", changes.changed.after)):
                for number, own in cells.items():
                    self._cells(f"update {side} {number}", own)

    def _rows(self, what: str, batch: Batch, quiet: frozenset[int] = frozenset()) -> None:
        if len(batch):
            self._cells(what, batch.keys)
            for number, cells in enumerate(batch.columns):
                if number not in quiet:
                    self._cells(f"{what} {number}", cells)

    def _cells(self, what: str, cells: Cells) -> None:
        flags = np.zeros(len(cells), np.uint8) if cells.spilled is None else cells.spilled.copy()
        if cells.valid is not None:
            flags |= np.where(cells.valid, 0, 4).astype(np.uint8)
        self._update(what + " flags", flags.tobytes())
        self._update(what + " lengths", cells.lengths.astype("<u8").tobytes())
        self._update(what + " data", np.ascontiguousarray(cells.data).data)

    def _update(self, what: str, data: bytes | memoryview) -> None:
        if len(data):
            self._streams.setdefault(what, Hasher()).update(data)

    def digest(self) -> bytes:
        whole = Hasher()
        for what in sorted(self._streams):
            whole.update(what.encode() + b"\0" + self._streams[what].digest())
        return whole.digest()
