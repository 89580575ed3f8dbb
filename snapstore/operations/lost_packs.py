"""Whether a snapshot can be built upon: who keeps nodes of it must not keep those that lead to nothing.

    if has_lost(repository, parent.snapshot):
        ...                             # then everything is read, which writes anew what is lost

What is lost with a pack is seen in the index, which names it; only then are the snapshot's trees walked through, values
not among them. Damage within a pack that is there is for verify.
"""

from __future__ import annotations

from snapstore.operations.check_trees import TreeCheck
from snapstore.operations.marks import DigestSet
from snapstore.repository import Repository, Snapshot

__all__ = ["has_lost"]


def has_lost(repository: Repository, snapshot: Snapshot) -> bool:
    """Whether something that the snapshot needs is in no pack, as of the repository's last look at packs and index."""
    if not repository.blobs.lost_packs:
        return False
    check = TreeCheck(repository.blobs, read_chunks=False, unindexed=DigestSet())
    check.snapshot(snapshot)
    check.finish()
    return bool(check.bad)
