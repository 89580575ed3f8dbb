"""Carries a plan out on a target: deletes, then updates of just the columns that differ, then inserts.

    target.begin(definition, works(plan, live, wanted, target))
    apply(plan, live, wanted, target, scope)
    target.finish()

Rows stream from the trees' difference; a row whose unique values could swap with another's is deleted and inserted
again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Conflict
from snapstore.operations.capture import Progress
from snapstore.operations.diff import column_names
from snapstore.operations.plan import Mode, Plan, TablePlan
from snapstore.operations.scope import Scope, knows_absence, scoped_changes
from snapstore.operations.state import State, StateTable, evened
from snapstore.rows import Batch, Cells, Table
from snapstore.sources import Target, Work
from snapstore.tree.diff import Changed, RowChanges
from snapstore.tree.values import portions

__all__ = ["apply", "works"]

_SETS = 16
"""Statements a table at most: rows with rarer sets of changed columns share one that sets all of them."""


@dataclass(frozen=True, slots=True)
class _Job:
    """One table's work: how its updates are grouped by columns, and which rows are replaced whole."""

    plan: TablePlan
    live: StateTable | None
    wanted: StateTable
    columns: tuple[str, ...]
    groups: tuple[frozenset[str], ...]
    replaced: frozenset[frozenset[str]]

    @property
    def table(self) -> Table:
        """The snapshot's table with the columns that the live one will have."""
        return _insertable(self)[0]

    def changes(self, scope: Scope) -> Iterator[RowChanges]:
        return scoped_changes(None if self.plan.recreate else self.live, self.wanted, scope)

    @property
    def deletes(self) -> int:
        """Rows to delete one by one: those of a table that is dropped go with it."""
        return self.replacements + (0 if self.plan.recreate else self.plan.delete)

    @property
    def inserts(self) -> int:
        """Rows to insert."""
        return self.replacements + self.plan.insert

    @property
    def replacements(self) -> int:
        """Rows to delete and insert again."""
        return sum(count for names, count in self.plan.column_sets.items() if frozenset(names) in self.replaced)


@dataclass(frozen=True, slots=True)
class _Batches:
    """Rows to be gone through as often as wanted: a target that fails looks for the row it failed for."""

    make: Callable[[], Iterator[Batch]]

    def __iter__(self) -> Iterator[Batch]:
        return self.make()


def _jobs(plan: Plan, live: State, wanted: State, target: Target) -> list[_Job]:
    there = {(table.source, table.name): table for table in live.tables}
    goals = {(table.source, table.name): table for table in wanted.tables}
    jobs = []
    for planned in plan.tables:
        place = (planned.source, planned.name)
        if not planned.is_empty:
            jobs.append(_job(planned, there.get(place), goals[place], target))
    return jobs


def _job(planned: TablePlan, live: StateTable | None, wanted: StateTable, target: Target) -> _Job:
    base = None if planned.recreate else live
    if base is not None:
        base, wanted = evened(base, wanted)
        live = base
    replaced = frozenset(
        frozenset(names) for names in planned.column_sets if base and target.replaces(wanted.table, names)
    )
    sets = sorted(planned.column_sets.items(), key=lambda item: -item[1])
    direct = [frozenset(names) for names, _ in sets if frozenset(names) not in replaced]
    groups = direct[: _SETS - 1]
    if len(direct) >= _SETS:
        groups.append(frozenset().union(*direct[_SETS - 1 :]))
    return _Job(planned, live, wanted, tuple(column_names(base, wanted)), tuple(groups), replaced)


def works(plan: Plan, live: State, wanted: State, target: Target) -> list[Work]:
    """What the target must be ready for, table by table."""
    return [
        Work(
            job.table,
            exists=job.live is not None,
            recreate=job.plan.recreate,
            inserts=job.inserts,
            deletes=job.deletes,
            updates=frozenset().union(*job.groups) if job.groups else frozenset(),
            updated=job.plan.update - job.replacements,
        )
        for job in _jobs(plan, live, wanted, target)
    ]


def apply(plan: Plan, live: State, wanted: State, target: Target, scope: Scope, progress: Progress) -> None:
    """Change the target's rows. Raises `Conflict` where it did not change as many as were planned."""
    jobs = _jobs(plan, live, wanted, target)
    for job in reversed(jobs):
        if job.deletes:
            done = target.delete(job.table, _deletes(job, plan.mode, scope))
            _expect(job, "deleted", done, job.deletes)
    for job in jobs:
        for group in job.groups:
            names = [name for name in job.columns if name in group]
            expected = sum(n for own, n in job.plan.column_sets.items() if _group_of(job, frozenset(own)) == group)
            done = target.update(job.table, names, _Batches(partial(_updates, job, group, names, scope)))
            _expect(job, "updated", done, expected)
    for job in jobs:
        if job.inserts:
            done = 0
            for table, batches in _inserts(job, scope, progress, job.inserts):
                done += target.insert(table, batches)
            _expect(job, "inserted", done, job.inserts)


def _expect(job: _Job, what: str, done: int, expected: int) -> None:
    if done != expected:
        raise Conflict(
            f"{job.plan.name}: {done} rows were {what} where {expected} were planned",
            hint="Nothing was changed. Something in the database keeps rows as they are: a rule, trigger or policy.",
        )


def _group_of(job: _Job, names: frozenset[str]) -> frozenset[str] | None:
    if names in job.replaced:
        return None
    return names if names in job.groups else job.groups[-1]


def _rows_of(job: _Job, changed: Changed, wanted: frozenset[str] | None) -> NDArray[np.int64]:
    """The changed rows whose set of columns belongs to this group; the replaced ones for None."""
    if not len(changed):
        return np.empty(0, np.int64)
    masks, inverse = np.unique(changed.differs, axis=0, return_inverse=True)
    belongs = [
        _group_of(job, frozenset(job.columns[at] for at in np.flatnonzero(mask).tolist())) == wanted for mask in masks
    ]
    return np.flatnonzero(np.asarray(belongs)[inverse.reshape(-1)])


def _deletes(job: _Job, mode: Mode, scope: Scope) -> Iterator[Cells]:
    for changes in job.changes(scope):
        if mode is Mode.EXACT and knows_absence(job.wanted, scope) and len(changes.removed):
            yield changes.removed.keys
        rows = _rows_of(job, changes.changed, None) if job.replaced else ()
        if len(rows):
            yield changes.changed.keys.take(np.asarray(rows))


def _updates(job: _Job, group: frozenset[str], names: Sequence[str], scope: Scope) -> Iterator[Batch]:
    numbers = np.asarray([job.columns.index(name) for name in names])
    for changes in job.changes(scope):
        changed = changes.changed
        rows = _rows_of(job, changed, group)
        if not len(rows):
            continue
        keys = changed.keys.take(rows)
        if changed.differs[np.ix_(rows, numbers)].all():
            cells = [_picked(changed, number, rows) for number in numbers.tolist()]
        else:
            whole = _lookup(job.wanted, keys)
            cells = [whole.columns[job.wanted.table.column(name)] for name in names]
        yield from portions(keys, [(own, job.wanted.fetch) for own in cells])


def _picked(changed: Changed, number: int, rows: NDArray[np.int64]) -> Cells:
    """The new cells of these rows, all of which differ in this column."""
    places = np.cumsum(changed.differs[:, number]) - 1
    return changed.after[number].take(places[rows])


def _lookup(table: StateTable, keys: Cells) -> Batch:
    assert table.tree is not None
    return table.tree.lookup([key or b"" for key in keys.to_list()])


def _inserts(job: _Job, scope: Scope, progress: Progress, total: int) -> Iterator[tuple[Table, Iterable[Batch]]]:
    """Rows to insert with the table whose columns they carry: missing rows, then replaced ones."""
    if job.plan.insert:
        table, columns = _insertable(job)
        yield table, _Batches(partial(_added, job, columns, scope, progress, total))
    if job.replacements:
        yield _replaced(job, scope)


def _insertable(job: _Job) -> tuple[Table, list[int]]:
    """The snapshot's columns that the table will have."""
    table = job.wanted.table
    if job.live is None or job.plan.recreate:
        return table, list(range(len(table.columns)))
    kept = [at for at, column in enumerate(table.columns) if column.name in job.columns]
    return dataclasses.replace(table, columns=tuple(table.columns[at] for at in kept)), kept


def _added(job: _Job, columns: Sequence[int], scope: Scope, progress: Progress, total: int) -> Iterator[Batch]:
    done = 0
    for changes in job.changes(scope):
        for some in portions(changes.added.keys, [(changes.added.columns[at], job.wanted.fetch) for at in columns]):
            yield some
            done += len(some)
            progress(job.plan.name, done, total)


def _replaced(job: _Job, scope: Scope) -> tuple[Table, Iterable[Batch]]:
    """Replaced rows: the snapshot's cells, and the live ones of columns that only the live table has or are ignored."""
    assert job.live is not None
    ignored = job.wanted.ignored
    table, common = _insertable(job)
    kept = [at for at in common if job.wanted.table.columns[at].name not in ignored]
    own = [at for at, one in enumerate(job.live.table.columns) if one.name not in job.columns or one.name in ignored]
    columns = (*(job.wanted.table.columns[at] for at in kept), *(job.live.table.columns[at] for at in own))
    whole = dataclasses.replace(table, columns=columns)
    live = job.live

    def batches() -> Iterator[Batch]:
        for changes in job.changes(scope):
            rows = _rows_of(job, changes.changed, None)
            if len(rows):
                keys = changes.changed.keys.take(rows)
                new, old = _lookup(job.wanted, keys), _lookup(live, keys)
                yield from portions(
                    keys,
                    [
                        *((new.columns[at], job.wanted.fetch) for at in kept),
                        *((old.columns[at], live.fetch) for at in own),
                    ],
                )

    return whole, _Batches(batches)
