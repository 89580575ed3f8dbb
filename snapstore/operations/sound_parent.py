"""Whether a parent can be built upon: a take that keeps its nodes must not keep those that lead to nothing.

    parent = sound(repository, parent)
    parent.is_damaged                   # then everything is read, which writes anew what is lost

What is lost with a pack is seen in the index, which names it; only then are the parent's trees walked through, values
not among them. Damage within a pack that is there is for verify.
"""

from __future__ import annotations

import dataclasses

from snapstore.operations.check_trees import TreeCheck
from snapstore.operations.marks import DigestSet
from snapstore.operations.parent import Parent
from snapstore.repository import Repository

__all__ = ["sound"]


def sound(repository: Repository, parent: Parent | None) -> Parent | None:
    """The parent, with its word on whether it needs what is in no pack; as of the repository's last look."""
    if parent is None or not repository.blobs.lost_packs:
        return parent
    check = TreeCheck(repository.blobs, read_chunks=False, unindexed=DigestSet())
    check.snapshot(parent.snapshot)
    check.finish()
    return dataclasses.replace(parent, is_damaged=bool(check.bad))
