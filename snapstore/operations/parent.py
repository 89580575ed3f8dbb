"""The snapshot that a new one goes by: the newest of the same source.

parent = parent_of(repository.snapshots(), "agents", "postgresql")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snapstore.digest import Digest
from snapstore.operations.selected import filter_of
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


def parent_of(
    snapshots: Sequence[Snapshot], name: str, kind: str, selection: Mapping[str, Any] | None = None
) -> Parent | None:
    """The newest snapshot of the source with this name, and that source in it; never a safety snapshot.

    A safety snapshot was taken in a transaction that went on to write, so its stamps say nothing. Of snapshots with
    and without filters, the newest with the filter of this selection (as a manifest has it) goes before a newer one:
    tables that were read under another condition, or with other columns, are nobody's parent.
    """
    found = [
        Parent(snapshot, source)
        for snapshot in reversed(snapshots)
        if snapshot.safety is None and (source := snapshot.source(name)) is not None and source.kind == kind
    ]
    wanted = filter_of(selection or {})
    return next((one for one in found if filter_of(one.source.selection) == wanted), found[0] if found else None)
