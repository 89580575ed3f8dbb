"""Which rows a restore set out to change: their keys, kept with the safety snapshot before it.

    safety_touched = write_touched(plan, live, wanted, scope, cut_key, writer)
    scope = touched_scope(repository, safety)

With them an undo needs neither the snapshot that was restored, which may be gone, nor the conditions that were asked
then, which may answer otherwise by now. Keys are kept as tables without columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from snapstore.digest import Digest
from snapstore.errors import Invalid
from snapstore.operations.plan import Mode, Plan, TablePlan
from snapstore.operations.scope import Scope, knows_absence, scoped_changes
from snapstore.operations.state import State, StateTable, evened, of_tables
from snapstore.repository import Repository, Snapshot, SnapshotTable
from snapstore.rows import Batch, Cells, Table
from snapstore.tree import Sink
from snapstore.tree.builder import TreeBuilder
from snapstore.tree.diff import RowChanges
from snapstore.tree.node import encode_schema

__all__ = ["touched_scope", "write_touched"]


def write_touched(
    plan: Plan, live: State, wanted: State, scope: Scope, cut_key: bytes, sink: Sink
) -> tuple[SnapshotTable, ...]:
    """Put the keys of the rows that the plan changes in tables that are there, as tables without columns.

    Tables that are made, or made anew, are left out: they are touched as a whole.
    """
    before = {(table.source, table.name): table for table in live.tables}
    after = {(table.source, table.name): table for table in wanted.tables}
    touched = []
    for planned in plan.tables:
        place = (planned.source, planned.name)
        if not (planned.is_empty or planned.create or planned.recreate):
            touched.append(_written(planned, before[place], after[place], plan.mode, scope, cut_key, sink))
    return tuple(touched)


def _written(
    planned: TablePlan, before: StateTable, after: StateTable, mode: Mode, scope: Scope, cut_key: bytes, sink: Sink
) -> SnapshotTable:
    before, after = evened(before, after)
    table = Table(after.name, after.table.key, ())
    is_every = after.tree is not None and planned.insert + planned.update == after.tree.count and not planned.delete
    if after.tree is not None and is_every and after.fetch is before.fetch:
        # Every row of the snapshot is set, and no other: the repository has the tree of their keys.
        root = after.tree.without([column.name for column in after.table.columns], table, sink)
        return _entry(table, after.tree.count, root, sink)
    builder = TreeBuilder(table, cut_key, sink)
    for changes in scoped_changes(before, after, scope):
        builder.add(Batch(_keys(changes, mode, deletes=knows_absence(after, scope)), ()))
    root = builder.finish()
    return _entry(table, builder.rows, root, sink)


def _entry(table: Table, rows: int, root: Digest, sink: Sink) -> SnapshotTable:
    return SnapshotTable(table.name, rows, root, sink.naming.digest(encode_schema(table)), reading="keys alone")


def _keys(changes: RowChanges, mode: Mode, *, deletes: bool) -> Cells:
    """The keys that a mode touches, in order."""
    parts = [changes.added.keys]
    parts += [] if mode is Mode.SKIP else [changes.changed.keys]
    parts += [changes.removed.keys] if mode is Mode.EXACT and deletes else []
    parts = [part for part in parts if len(part)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    keys = Cells.concat(parts)
    plain = [key or b"" for key in keys.to_list()]
    return keys.take(np.asarray(sorted(range(len(plain)), key=plain.__getitem__), np.int64))


def touched_scope(repository: Repository, safety: Snapshot) -> Scope:
    """The rows that the restore after this safety snapshot set out to change; tables it made anew as a whole.

    Raises `Invalid` for a snapshot that is none before a restore, and where there is nothing that can go back.
    """
    if safety.safety is None:
        raise Invalid(f"{safety.id[:8]} is not a safety snapshot", hint="`snap list --all` shows those there are.")
    held = safety.sources[0]
    if not held.tables:
        raise Invalid(
            f"the restore of {safety.safety[:8]} only made tables that were not there, in {held.url}",
            hint="There is no earlier state to go back to; drop the tables if they are not wanted.",
        )
    whole = frozenset(held.selection["recreated"])
    keys: dict[str, Sequence[bytes]] = {
        table.name: list(_read(table)) for table in of_tables(held.name, held.kind, safety.touched, repository.blobs)
    }
    if not keys and not whole:
        # A scope without keys is every row: what was changed since would go back too, and nobody asked for that.
        raise Invalid(
            f"which rows the restore of {safety.safety[:8]} changed is lost to damage, so it cannot be taken back",
            hint=f"`snap restore {safety.id[:8]} --dry-run` shows what differs from the state before it.",
        )
    return Scope(keys=keys or dict.fromkeys(whole, ()), whole=whole)


def _read(table: StateTable) -> Iterator[bytes]:
    tree = table.tree
    if tree is None:
        return
    for spans in tree.leaves():
        yield from (key or b"" for key in tree.keys(spans).to_list())
