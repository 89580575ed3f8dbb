"""Takes back a restore: exactly the rows it set out to change, as the safety snapshot before it has them.

    restore(repository, safety, source, undo_ask(repository, safety))

An undo is a restore like any other: it has a plan and a safety snapshot of its own, so it can be undone.
"""

from __future__ import annotations

from collections.abc import Sequence

from snapstore.errors import Invalid, NotFound
from snapstore.operations.ask import Ask
from snapstore.operations.plan import Mode
from snapstore.operations.touched import touched_scope
from snapstore.repository import Repository, Snapshot, SnapshotSource
from snapstore.sources import Selection, Source

__all__ = ["check_restored", "last_restore", "undo_ask"]

_SAME = ("system_identifier", "database_oid")  # those that PostgreSQL tells; a file is where its path says


def last_restore(snapshots: Sequence[Snapshot]) -> Snapshot:
    """The safety snapshot of the last restore; these are oldest first. Raises `NotFound` where there is none."""
    earlier = [snapshot for snapshot in snapshots if snapshot.safety is not None]
    if not earlier:
        raise NotFound(
            "there is no restore to take back",
            hint="Every restore that changes something leaves a safety snapshot; `snap list --all` shows them.",
        )
    return earlier[-1]


def check_restored(live: Source, held: SnapshotSource) -> None:
    """Raise `Invalid` where this is another database than the one that was restored."""
    names = tuple(table.name for table in held.tables)
    with live.view(Selection(tables=names, rows=False, partial=True, optional=True)) as view:
        now = view.position
    if any(key in now and held.position.get(key) not in (None, now[key]) for key in _SAME):
        raise Invalid(
            f"{live.url} is not the database that was restored; that was {held.position.get('database', 'another')}",
            hint="Name the restored one with --to.",
        )


def undo_ask(repository: Repository, safety: Snapshot) -> Ask:
    """How to take back the restore that this safety snapshot preceded: the rows it touched, and no others.

    Rows changed again since are set back too; rows the restore left alone stay as they are now. A table that was made
    anew goes back as a whole; one that was not there before stays. Raises `Invalid` where nothing can go back.
    """
    scope = touched_scope(repository, safety)
    return Ask(mode=Mode.EXACT, source=safety.sources[0].name, scope=scope, recreate=bool(scope.whole))
