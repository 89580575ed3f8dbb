"""The snapshot that a new one goes by: the newest of the same source.

parent = parent_of(repository.snapshots(), "agents", "postgresql")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snapstore.digest import Digest
from snapstore.repository import Snapshot, SnapshotSource, SnapshotTable

__all__ = ["Parent", "parent_of"]


@dataclass(frozen=True, slots=True)
class Parent:
    """An earlier snapshot and a source in it: what of a source need not be read again."""

    snapshot: Snapshot
    source: SnapshotSource

    @property
    def roots(self) -> list[Digest]:
        """The roots of tables and hints: whoever goes by this parent announces them, so that gc leaves them alone."""
        return [root for table in self.source.tables for root in (table.root, table.hints) if root]

    def table(self, name: str) -> SnapshotTable | None:
        """The table of that name, as it was."""
        return next((table for table in self.source.tables if table.name == name), None)


def parent_of(snapshots: Sequence[Snapshot], name: str, kind: str) -> Parent | None:
    """The newest snapshot of the source with this name, and that source in it; never a safety snapshot.

    A safety snapshot was taken in a transaction that went on to write, so its stamps say nothing.
    """
    for snapshot in reversed(snapshots):
        source = snapshot.source(name)
        if source is not None and source.kind == kind and snapshot.safety is None:
            return Parent(snapshot, source)
    return None
