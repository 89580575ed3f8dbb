"""Sorted rows as column trees (format.md §4), pure: blobs come from a `Fetch`, go to a `Sink`, and that is all.

    builder = TreeBuilder(table, cut_key, sink)
    for batch in batches:
        builder.add(batch)
    root = builder.finish()
    tree = TableTree.open(root, fetch)

This package knows rows and nodes; it does not know where blobs are kept, or that there are databases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from snapstore.digest import Buffer, Digest, Kind, Naming

__all__ = ["Fetch", "Sink"]


class Fetch(Protocol):
    """Where blobs come from."""

    def get_many(self, digests: Sequence[Digest]) -> list[bytes]:
        """The blobs of these digests in this order. Raises `NotFound` or `Corrupt`, naming the digest."""


class Sink(Protocol):
    """Where blobs go. Putting a blob twice is allowed, and costs the second time next to nothing."""

    @property
    def naming(self) -> Naming:
        """How the blobs there are named: whoever puts one names it so."""

    def put(
        self, kind: Kind, digests: Sequence[Digest], data: Sequence[Buffer], *, stride: int = 1, group: int = 0
    ) -> None:
        """Keep these blobs. `stride` is the element size of vectors; blobs of one `group` compress well together."""
