"""The live rows that belong to a snapshot: of each of its sources what was taken then, as it is now.

    with ExitStack() as stack:
        state = live_state(repository, snapshot, [(held, source)], stack)

It does not know how a live source is found: each comes beside the one in the snapshot that it belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from snapstore.operations.capture import Progress, silent
from snapstore.operations.selected import files_of, selection_of
from snapstore.operations.state import State, live
from snapstore.repository import Repository, Snapshot, SnapshotSource
from snapstore.sources import Selection, Source

__all__ = ["live_selection", "live_state"]


def live_selection(snapshot: Snapshot, held: SnapshotSource) -> Selection:
    """The live rows that a snapshot's source speaks of."""
    if snapshot.safety is not None:
        where = {table.name: table.where for table in held.tables if table.where}
        names = tuple(table.name for table in held.tables)
        return replace(files_of(held.selection), tables=names, where=where, partial=True, optional=True)
    return replace(selection_of(held.selection), optional=True)


def live_state(
    repository: Repository,
    snapshot: Snapshot,
    pairs: Sequence[tuple[SnapshotSource, Source]],
    stack: ExitStack,
    progress: Progress = silent,
    *,
    full: bool = False,
) -> State:
    """The live rows of these sources as one state, for as long as the stack is open; `full` reads every one."""
    states = [
        stack.enter_context(
            live(repository, held.name, source, live_selection(snapshot, held), full=full, progress=progress)
        )
        for held, source in pairs
    ]
    tables = tuple(table for state in states for table in state.tables)
    missing = tuple(text for state in states for text in state.missing)
    beyond = tuple(one for state in states for one in state.beyond)
    return State(states[0].label, tables, states[0].fetch, missing, beyond)
