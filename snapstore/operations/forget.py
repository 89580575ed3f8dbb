"""Remove snapshots by id, or keep them from being removed.

    pin(repository, snapshot.id)
    rm(repository, [other.id])

Their blobs stay until a gc finds them unreferenced. It knows whole ids only; `snapstore.repository.resolve` gives them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from snapstore.errors import Corrupt, Invalid, NotFound
from snapstore.repository import Repository, Snapshot
from snapstore.repository.listing import SNAPSHOTS
from snapstore.repository.manifest import decode
from snapstore.repository.snapshot import COMMITTED

__all__ = ["pin", "rm", "unpin"]


def rm(repository: Repository, snapshot_ids: Sequence[str], *, damaged: bool = False) -> list[str]:
    """Remove these snapshots (whole ids); returns the ids. Removes none if one of them cannot be.

    With `damaged` one that is missing, and that others have seen, is missed no more. Raises `NotFound`; `Invalid` for
    one that is pinned or not committed; and `Corrupt` for one whose manifest cannot be read, unless `damaged` says that
    it is known to be: while it is there every gc refuses to sweep.
    """
    for snapshot_id in snapshot_ids:
        try:
            snapshot = _committed(repository, snapshot_id)
        except NotFound:
            if not damaged:
                raise
            continue
        except Corrupt as error:
            if damaged:
                continue
            error.hint = "If no copy of it can be had, remove it as damaged; what only it held is lost."
            raise
        if snapshot.pinned:
            raise Invalid(f"the snapshot {snapshot_id[:8]} is pinned; nothing was removed", hint="Unpin it first.")
    removed = repository.remove_all(snapshot_ids)
    for snapshot_id in snapshot_ids:
        if snapshot_id not in removed:
            raise NotFound(f"there is no snapshot {snapshot_id}", hint="`snap list` shows those there are.")
    return removed


def pin(repository: Repository, snapshot_id: str) -> Snapshot:
    """Keep a snapshot (a whole id) whatever a policy says; gives it as it is now. Raises `NotFound`."""
    return _set_pinned(repository, snapshot_id, is_pinned=True)


def unpin(repository: Repository, snapshot_id: str) -> Snapshot:
    """Leave a snapshot to the policy again; gives it as it is now. Raises `NotFound`."""
    return _set_pinned(repository, snapshot_id, is_pinned=False)


def _set_pinned(repository: Repository, snapshot_id: str, *, is_pinned: bool) -> Snapshot:
    _committed(repository, snapshot_id)
    return repository.change(snapshot_id, lambda snapshot: dataclasses.replace(snapshot, pinned=is_pinned))


def _committed(repository: Repository, snapshot_id: str) -> Snapshot:
    """Raises `Invalid` for what still runs: to change it would keep it from ever being committed."""
    name = SNAPSHOTS + snapshot_id
    try:
        snapshot = decode(repository.backend.get(name).data, name, repository.seal)
    except NotFound as error:
        raise NotFound(f"there is no snapshot {snapshot_id}", hint="`snap list` shows those there are.") from error
    if snapshot.state != COMMITTED:
        raise Invalid(f"the snapshot {snapshot_id[:8]} is not committed yet, or never will be")
    return snapshot
