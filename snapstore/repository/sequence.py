"""Which snapshots each one saw, so that what is taken away behind everybody's back is missed (format.md §12).

    snapshot = replace(snapshot, seen=heads(snapshots))
    for gap in gaps(snapshots):
        print(gap.name, gap.words)

In an encrypted repository every snapshot names the last ones before it, and their versions. Whoever removes one by
right closes the gap first: those that named it name what it named. So a name that leads nowhere, or to an older
version, is the work of somebody without a key. What nobody has seen yet, the newest snapshot, can go unmissed. Pure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from snapstore.repository.snapshot import COMMITTED, Snapshot

__all__ = ["Gap", "closed", "gaps", "heads"]


@dataclass(frozen=True, slots=True)
class Gap:
    """A snapshot that is missing, or older than it was: its id, and in words who saw it."""

    id: str
    words: str


def heads(snapshots: Sequence[Snapshot]) -> dict[str, int]:
    """The versions of those committed snapshots that no other of them has seen, or not as they are now."""
    there = [one for one in snapshots if one.state == COMMITTED]
    seen: dict[str, int] = {}
    for one in there:
        for id_, version in one.seen.items():
            seen[id_] = max(version, seen.get(id_, 0))
    return {one.id: one.version for one in there if one.version > seen.get(one.id, -1)}


def closed(snapshot: Snapshot, gone: Mapping[str, Mapping[str, int]]) -> Snapshot:
    """The snapshot with what these had seen in their places; the same one if it has seen none of them."""
    if snapshot.seen.keys().isdisjoint(gone):
        return snapshot
    seen: dict[str, int] = {}
    todo, done = list(snapshot.seen.items()), set[str]()
    while todo:
        id_, version = todo.pop()
        if id_ not in gone:
            seen[id_] = max(version, seen.get(id_, 0))
        elif id_ not in done:
            done.add(id_)
            todo.extend(gone[id_].items())
    return dataclasses.replace(snapshot, seen=seen)


def gaps(snapshots: Sequence[Snapshot]) -> Iterator[Gap]:
    """What these snapshots have seen and is not there any more, or is older than they saw it."""
    there = {one.id: one for one in snapshots if one.state == COMMITTED}
    told: set[str] = set()
    for one in there.values():
        for id_, version in one.seen.items():
            if id_ in told:
                continue
            if id_ not in there:
                told.add(id_)
                cure = "if you removed it, say so with `snap rm --damaged` and its whole id"
                yield Gap(id_, f"it is missing, and the snapshot {one.id[:8]} saw it; {cure}")
            elif there[id_].version < version:
                told.add(id_)
                was = f"version {version}, and is version {there[id_].version} again"
                yield Gap(id_, f"it was put back to what it was before: the snapshot {one.id[:8]} saw {was}")
