"""Whether a snapshot could be restored, as far as that is seen without reading its rows.

    unrestorable(repository, snapshot)      # () if all its blobs are there

Nodes are read and held against each other; chunks and large values must be in a pack that is there. Nothing is written,
so nothing is announced either. Damage within a chunk is for `verify` with `read_data` to find.
"""

from __future__ import annotations

from snapstore.operations.check_trees import TreeCheck
from snapstore.operations.marks import DigestSet
from snapstore.repository import Repository, Snapshot

__all__ = ["unrestorable"]


def unrestorable(repository: Repository, snapshot: Snapshot) -> tuple[str, ...]:
    """Why a restore of it would fail, in words; nothing for a snapshot that has been removed meanwhile.

    Raises `Unavailable`.
    """
    check = TreeCheck(repository.blobs, read_chunks=False, unindexed=DigestSet())
    said = check.snapshot(snapshot)
    check.finish()
    problems = (*said, *check.bad.values())
    # Nothing protects it while this looks: what a gc swept after its removal is not lost.
    return problems if problems and repository.has(snapshot.id) else ()
