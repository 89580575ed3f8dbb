"""Hints that are lost: a snapshot is as good without them, and a gc reads it again.

    tables = drop_hints(repository, snapshot.id)

Hints are kept beside a table for the next take (format.md §10); they are no part of what was taken.
"""

from __future__ import annotations

import dataclasses
from contextlib import suppress

from snapstore.digest import Digest
from snapstore.errors import Corrupt, NotFound
from snapstore.repository import Repository, Snapshot, SnapshotTable
from snapstore.tree.reader import TableTree

__all__ = ["drop_hints", "sound_hints"]


def sound_hints(repository: Repository, entry: SnapshotTable) -> Digest | None:
    """The hints of a table, if every one of them can be read."""
    if entry.hints is None:
        return None
    with suppress(Corrupt, NotFound):
        for _ in TableTree.open(entry.hints, repository.blobs).rows():
            pass
        return entry.hints
    return None


def drop_hints(repository: Repository, snapshot_id: str) -> int:
    """Take hints that cannot be read out of a snapshot's manifest; gives of how many tables. 0 if it is gone."""
    lost: set[Digest] = set()

    def without(entry: SnapshotTable) -> SnapshotTable:
        if entry.hints is not None and entry.hints not in lost and sound_hints(repository, entry) is None:
            lost.add(entry.hints)
        return dataclasses.replace(entry, hints=None) if entry.hints in lost else entry

    def edit(snapshot: Snapshot) -> Snapshot:
        sources = tuple(dataclasses.replace(own, tables=tuple(map(without, own.tables))) for own in snapshot.sources)
        return dataclasses.replace(snapshot, sources=sources)

    with suppress(NotFound):
        repository.change(snapshot_id, edit)
    return len(lost)
