"""What a restore did, held against what it promised, before it is committed.

    read_back(repository, target, selection, parent, before, wanted, plan, ask, progress)

It changes nothing and knows nothing of how rows are put back: it reads the tables like any take.
"""

from __future__ import annotations

from snapstore.errors import Conflict
from snapstore.operations.ask import Ask
from snapstore.operations.capture import Progress, capture
from snapstore.operations.diff import TableDiff, diff
from snapstore.operations.parent import Parent
from snapstore.operations.plan import Plan, make_plan
from snapstore.operations.state import State, captured_state, scratch
from snapstore.repository import Repository
from snapstore.sources import Selection, Target

__all__ = ["read_back"]

_CAUSE = "Nothing was changed. A trigger, rule, constraint or generated value in the database may be the cause."


def read_back(
    repository: Repository,
    target: Target,
    selection: Selection,
    parent: Parent | None,
    before: State,
    wanted: State,
    plan: Plan,
    ask: Ask,
    progress: Progress,
) -> None:
    """Read the tables back: the same plan made again has nothing left to do, and what changed is what was planned."""
    own = wanted.tables[0]
    with scratch(repository) as store:
        with store.writer(bytes(16), verify=False) as writer:
            captured = capture(
                target, writer, repository.cut_key, selection, parent=parent, fetch=repository.blobs, progress=progress
            )
            writer.close()
        after = captured_state(own.source, own.kind, captured, store)
        again = make_plan(after, wanted, ask.mode, scope=ask.scope)
        changed = {table.name: table for table in diff(before, after)}
    loosened = {table.name: table.table.loose for table in wanted.tables} if ask.scope.loosely else {}
    for planned, left in zip(plan.tables, again.tables, strict=True):
        done = changed.get(planned.name, TableDiff(planned.source, planned.name))
        if not left.is_empty or left.errors:
            raise Conflict(
                f"{planned.name}: after the restore the live rows are not what was planned "
                f"({left.insert} missing, {left.update} different, {left.delete} too many)",
                hint=_CAUSE,
            )
        if planned.recreate:
            continue
        loose = loosened.get(planned.name, frozenset())
        if (done.added, done.changed, done.removed, _without(done.columns, loose)) != (
            planned.insert,
            planned.update,
            planned.delete,
            _without(planned.updates, loose),
        ):
            raise Conflict(
                f"{planned.name}: the restore changed other rows than were planned ({done.added} inserted of "
                f"{planned.insert}, {done.changed} updated of {planned.update}, {done.removed} deleted of "
                f"{planned.delete})",
                hint=_CAUSE,
            )


def _without(counts: dict[str, int], names: frozenset[str]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if name not in names}
