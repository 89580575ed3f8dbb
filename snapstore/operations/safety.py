"""The state before a restore, kept as a snapshot of its own: what `snap undo` goes back to.

    state, before = read_before(repository, heart, target, source.url, selection, held, parent, progress)
    safety = commit_safety(repository, heart, snapshot, before, plan, state, wanted, ask.scope, host)

It holds the tables of which something is about to change, whole, and names the rows of them that do. What is done to
these, `snapstore.operations.restore` knows.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from snapstore.operations.capture import Progress, capture
from snapstore.operations.heartbeat import Heartbeat
from snapstore.operations.parent import Parent
from snapstore.operations.plan import Plan
from snapstore.operations.scope import Scope
from snapstore.operations.selected import files_of, selection_fields
from snapstore.operations.state import State, captured_state
from snapstore.operations.touched import write_touched
from snapstore.repository import Repository, Snapshot, SnapshotSource
from snapstore.repository.repository import PROGRAM
from snapstore.sources import Selection, Target

__all__ = ["commit_safety", "read_before"]


def read_before(
    repository: Repository,
    heart: Heartbeat,
    target: Target,
    url: str,
    selection: Selection,
    held: SnapshotSource,
    parent: Parent | None,
    progress: Progress,
) -> tuple[State, SnapshotSource]:
    """The state under the lock, stored in the repository; nothing names it yet."""
    with repository.blobs.writer(bytes.fromhex(heart.pending.id)) as writer:
        captured = capture(
            target,
            heart.sink(writer),
            repository.cut_key,
            selection,
            parent=parent,
            fetch=repository.blobs,
            progress=heart.progress(progress),
        )
        writer.close()
    before = replace(
        held,
        url=url,
        tables=captured.tables,
        objects=captured.objects,
        position=captured.position,
        context={},  # the stamps of a transaction that goes on to write say nothing
        missing=captured.missing,
    )
    return captured_state(held.name, held.kind, captured, repository.blobs), before


def commit_safety(
    repository: Repository,
    heart: Heartbeat,
    snapshot: Snapshot,
    before: SnapshotSource,
    plan: Plan,
    live: State,
    wanted: State,
    scope: Scope,
    host: str,
) -> Snapshot:
    """Commit the state that is about to change, and which rows of it; without tables if none is there yet."""
    with repository.blobs.writer(bytes.fromhex(heart.pending.id)) as writer:
        touched = write_touched(plan, live, wanted, scope, repository.cut_key, heart.sink(writer))
        writer.close()
    changing = {table.name for table in plan.tables if not table.is_empty}
    source = replace(
        before,
        tables=tuple(table for table in before.tables if table.name in changing),
        selection={
            **selection_fields(files_of(before.selection)),
            "mode": plan.mode.value,
            "recreated": [table.name for table in plan.tables if table.recreate],
        },
    )
    safety = Snapshot(
        id=heart.pending.id,
        time=datetime.now(UTC),
        host=host,
        program=PROGRAM,
        description=f"before restore of {snapshot.id[:8]}",
        safety=snapshot.id,
        sources=(source,),
        touched=touched,
    )
    return repository.commit(heart.pending, safety)
