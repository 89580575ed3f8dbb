"""Restore a snapshot into a scratch database and compare the two, to the bit: the proof that it can be done.

    tables = restore_test(repository, snapshot, "agents", scratch_source, selection)
    all(table.is_equal for table in tables)

Nothing is left in the repository: what a restore writes there is kept in memory. It does not know where the scratch
database comes from.
"""

from __future__ import annotations

from snapstore.backends.memory import MemoryBackend
from snapstore.backends.overlay import OverlayBackend
from snapstore.operations.announced import announced
from snapstore.operations.capture import Progress, silent
from snapstore.operations.restore import Ask, restore
from snapstore.operations.state import live, of_snapshot
from snapstore.operations.verify_live import LiveTable, compare_live
from snapstore.repository import Repository, Snapshot
from snapstore.sources import Selection, Source

__all__ = ["restore_test"]


def restore_test(
    repository: Repository,
    snapshot: Snapshot,
    name: str,
    scratch: Source,
    selection: Selection,
    *,
    progress: Progress = silent,
) -> list[LiveTable]:
    """Each table of this source of the snapshot, as it is held and as it came out of the empty source `scratch`.

    Privileges are left out: whose they are is not there. Raises whatever a restore does where it cannot be done.
    """
    with announced(repository, snapshot.digests()) as reading:
        trial = repository.over(OverlayBackend(repository.backend, MemoryBackend()))
        ask = Ask(source=name, privileges=False)
        beating = reading.progress(progress)
        restore(trial, snapshot, scratch, ask, verify=False, progress=beating)
        with live(trial, name, scratch, selection, full=True, progress=beating) as state:
            return compare_live(of_snapshot(trial, snapshot, name), state)
