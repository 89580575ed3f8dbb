"""Takes back a restore: exactly the rows it set out to change, as the safety snapshot before it has them.

    restore(repository, safety, source, undo_ask(repository, safety))

An undo is a restore like any other: it has a plan and a safety snapshot of its own, so it can be undone.
"""

from __future__ import annotations

from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask
from snapstore.operations.touched import touched_scope
from snapstore.repository import Repository, Snapshot

__all__ = ["undo_ask"]


def undo_ask(repository: Repository, safety: Snapshot) -> Ask:
    """How to take back the restore that this safety snapshot preceded: the rows it touched, and no others.

    Rows changed again since are set back too; rows the restore left alone stay as they are now. A table that was made
    anew goes back as a whole; one that was not there before stays. Raises `Invalid` where nothing can go back.
    """
    scope = touched_scope(repository, safety)
    return Ask(mode=Mode.EXACT, source=safety.sources[0].name, scope=scope, recreate=bool(scope.whole))
