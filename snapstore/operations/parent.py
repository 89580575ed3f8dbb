"""The snapshot that a new one goes by: the newest of the same source.

parent = parent_of(repository.snapshots(), "agents", "postgresql")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snapstore.digest import Digest
from snapstore.operations.selected import filter_of
from snapstore.repository import Repository, Snapshot, SnapshotSource, SnapshotTable

__all__ = ["Parent", "parent_of", "parents_in"]

_ROUNDED_SECONDS = 2.0  # stores give times in whole seconds


@dataclass(frozen=True, slots=True)
class Parent:
    """An earlier snapshot and a source in it: what of a source need not be read again.

    One that `is_damaged` is built upon by nobody, nor counted against.
    """

    snapshot: Snapshot
    source: SnapshotSource
    is_damaged: bool = False

    @property
    def roots(self) -> list[Digest]:
        """The roots of tables and hints: whoever goes by this parent announces them, so that gc leaves them alone."""
        return [root for table in self.source.tables for root in (table.root, table.hints) if root]

    def table(self, name: str) -> SnapshotTable | None:
        """The table of that name, as it was."""
        return next((table for table in self.source.tables if table.name == name), None)

    def lacks_rows_of(self, table: str) -> bool:
        """Whether rows of this table were there and are not in the snapshot: what is as it was then is still more."""
        return any(text.startswith(f"table {table}: ") for text in self.source.missing)


def parent_of(
    snapshots: Sequence[Snapshot], name: str, kind: str, selection: Mapping[str, Any] | None = None
) -> Parent | None:
    """The newest snapshot of the source with this name, and that source in it; never a safety snapshot.

    A safety snapshot was taken in a transaction that went on to write, so its stamps say nothing. Of snapshots with
    and without filters, the newest with the filter of this selection (as a manifest has it) goes before a newer one:
    tables that were read under another condition, or with other columns, are nobody's parent.
    """
    found = [one for snapshot in reversed(snapshots) if (one := _parent(snapshot, name, kind)) is not None]
    wanted = filter_of(selection or {})
    return next((one for one in found if _has_filter(one, wanted)), found[0] if found else None)


def parents_in(
    repository: Repository, kinds: Mapping[str, str], selections: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Parent | None]:
    """As `parent_of`, for sources by name with their kinds and selections.

    Manifests are read from the one written last on, as few as will do: one that was last written before the best so
    far was taken is no newer. Where the clocks of takers and store disagree an older one may be found, which is no less
    right, and reads more rows. In an encrypted repository all are read, as its commits name them; so they are where no
    snapshot has the filter that is asked for.
    """
    chosen = selections or {}
    if repository.settings.is_encrypted:
        snapshots = repository.snapshots()
        return {name: parent_of(snapshots, name, kind, chosen.get(name)) for name, kind in kinds.items()}
    filters = {name: filter_of(chosen.get(name, {})) for name in kinds}
    found: dict[str, Parent | None] = dict.fromkeys(kinds)
    for snapshot, modified in repository.newest():
        best = [
            one.snapshot.time.timestamp()
            for name, one in found.items()
            if one is not None and _has_filter(one, filters[name])
        ]
        if len(best) == len(found) and modified + _ROUNDED_SECONDS < min(best):
            break
        for name, kind in kinds.items():
            one, other = _parent(snapshot, name, kind), found[name]
            if one is not None and (other is None or _rank(other, filters[name]) < _rank(one, filters[name])):
                found[name] = one
    return found


def _parent(snapshot: Snapshot, name: str, kind: str) -> Parent | None:
    source = snapshot.source(name)
    is_one = source is not None and source.kind == kind and snapshot.safety is None
    return Parent(snapshot, source) if is_one and source is not None else None


def _has_filter(parent: Parent, wanted: list[object]) -> bool:
    return filter_of(parent.source.selection) == wanted


def _rank(parent: Parent, wanted: list[object]) -> tuple[bool, float, str]:
    """The higher the better: with the same filter, and new."""
    return _has_filter(parent, wanted), parent.snapshot.time.timestamp(), parent.snapshot.id
