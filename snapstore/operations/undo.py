"""Takes back a restore: exactly the rows it touched, as the safety snapshot before it has them.

    restore(repository, safety, source, undo_ask(repository, safety, source))

Which rows those are follows from the safety snapshot, the snapshot that was restored, and what was asked for then. An
undo is a restore like any other: it has a plan and a safety snapshot of its own, so it can be undone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snapstore.errors import Invalid, NotFound
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask
from snapstore.operations.scope import Scope, scoped_changes
from snapstore.operations.state import StateTable, of_snapshot
from snapstore.repository import Repository, Snapshot
from snapstore.sources import Source

__all__ = ["undo_ask"]


def undo_ask(repository: Repository, safety: Snapshot, source: Source) -> Ask:
    """How to take back the restore that this safety snapshot preceded: exactly the rows it touched, and no others.

    Rows changed again since are set back too; rows the restore left alone stay as they are now. A table that was made
    anew goes back as a whole; one that was not there before stays. Raises `NotFound` where the snapshot that was
    restored is gone, as nobody can tell any more which rows it touched.
    """
    if safety.safety is None:
        raise Invalid(f"{safety.id[:8]} is not a safety snapshot", hint="`snap list --all` shows those there are.")
    known = {snapshot.id: snapshot for snapshot in repository.snapshots()}
    if safety.safety not in known:
        raise NotFound(
            f"the snapshot {safety.safety[:8]} is gone, so which rows its restore touched is not known",
            hint=f"`snap restore {safety.id[:8]} --exact` sets its tables back as a whole, and drops what came since.",
        )
    held = safety.sources[0]
    mode = Mode(held.selection["mode"])
    recreated = frozenset(held.selection["recreated"])
    scope = Scope(
        keys={name: list(keys) for name, keys in dict(held.selection["keys"]).items()},
        where=dict(held.selection["where"]),
        matching=source.matching,
        whole=frozenset(held.selection["whole"]),
    )
    wanted = {table.name: table for table in of_snapshot(repository, known[safety.safety], held.name).tables}
    keys: dict[str, Sequence[bytes]] = {}
    for table in of_snapshot(repository, safety).tables:
        if table.name not in recreated:
            keys[table.name] = list(_touched(table, wanted[table.name], mode, scope))
    return Ask(
        mode=Mode.EXACT,
        source=held.name,
        scope=Scope(keys=keys or dict.fromkeys(recreated, ()), whole=recreated),
        recreate=bool(recreated),
    )


def _touched(before: StateTable, wanted: StateTable, mode: Mode, scope: Scope) -> Iterator[bytes]:
    for changes in scoped_changes(before, wanted, scope):
        yield from (key or b"" for key in changes.added.keys.to_list())
        if mode is not Mode.SKIP:
            yield from (key or b"" for key in changes.changed.keys.to_list())
        if mode is Mode.EXACT:
            yield from (key or b"" for key in changes.removed.keys.to_list())
