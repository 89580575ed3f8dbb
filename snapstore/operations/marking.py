"""Marks of all snapshots at once, though others may remove some of them meanwhile.

    marks = marked(repository, store, committed(there), pending(there), progress)
    marks = marked_more(repository, store, marks, committed(there), read_all(repository), progress)

A snapshot that goes while it is read leaves nodes that were met and not walked through, and others may share these. So
marks of a walk that failed are thrown away. It does not know what is done with what is not marked.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from snapstore.blobs.store import BlobStore
from snapstore.errors import NotFound, SnapstoreError, Unavailable
from snapstore.operations.capture import Progress
from snapstore.operations.marks import Marks, needed_by
from snapstore.repository import Repository, Snapshot
from snapstore.repository.listing import Listed, committed, pending

__all__ = ["marked", "marked_more"]

_TRIES = 10

_log = logging.getLogger(__name__)


def marked(
    repository: Repository, store: BlobStore, kept: Sequence[Snapshot], pendings: Sequence[Snapshot], progress: Progress
) -> Marks:
    """Marks of all that these need, but for snapshots that another has removed since they were listed, and swept.

    All are walked through at once. Where that fails nothing is known of what lies beneath, so it begins anew.
    """
    for _ in range(_TRIES):
        marks = Marks(store)
        try:
            marks.add([root for snapshot in kept for root in needed_by(snapshot)], progress)
        except SnapstoreError as error:
            _log.debug("marking again: %s", error)
            kept = _still_there(repository, store, kept)
            continue
        for snapshot in pendings:
            marks.add_pending(snapshot.roots)
        return marks
    raise Unavailable(
        f"what {store.backend.location} holds changes faster than it can be read", hint="Try again in a while."
    )


def marked_more(
    repository: Repository,
    store: BlobStore,
    marks: Marks,
    kept: Sequence[Snapshot],
    there: Sequence[Listed],
    progress: Progress,
) -> Marks:
    """These marks of what `kept` needs, and of what has come since."""
    known = {snapshot.id for snapshot in kept}
    fresh = [snapshot for snapshot in committed(there) if snapshot.id not in known]
    try:
        marks.add([root for snapshot in fresh for root in needed_by(snapshot)], progress)
    except SnapstoreError:
        return marked(repository, store, [*kept, *fresh], pending(there), progress)
    for snapshot in pending(there):
        marks.add_pending(snapshot.roots)
    return marks


def _still_there(repository: Repository, store: BlobStore, kept: Sequence[Snapshot]) -> list[Snapshot]:
    """These without those removed since they were listed. Raises, naming it, for one that cannot be read."""
    marks, there = Marks(store), []
    for snapshot in kept:
        try:
            marks.add(needed_by(snapshot))
            there.append(snapshot)
        except SnapstoreError as error:
            if isinstance(error, NotFound) and not any(repository.backend.list(snapshot.name)):
                marks = Marks(store)
                continue
            error.message = f"the snapshot {snapshot.id[:8]} cannot be read whole, so nothing is swept: {error.message}"
            error.hint = (
                "`snap repair heal` mends it, or `snap repair cut` makes one without what is lost; then remove it."
            )
            raise
    return there
