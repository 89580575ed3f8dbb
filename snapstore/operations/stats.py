"""Where a repository's space goes: by source, table and kind of blob, and what each snapshot alone takes.

    found = stats(repository)
    found.live.plain_bytes / found.live.stored_bytes        # compression
    found.snapshots[-1].unique.plain_bytes                  # what goes if this one is removed
    removal(repository, [snapshot, other]).unique           # and if these are, together

Every blob is counted once: under the first snapshot, source and table that need it, so that sums add up. It deletes
nothing, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from snapstore.blobs.store import PackEntry
from snapstore.digest import Digest, Kind
from snapstore.errors import SnapstoreError
from snapstore.operations.capture import Progress, silent
from snapstore.operations.condemn import survey
from snapstore.operations.marks import Marks, needed_by
from snapstore.operations.measure import measure
from snapstore.operations.ownership import Amount, Ownership
from snapstore.repository import Repository, Snapshot
from snapstore.repository.listing import committed, pending, read_all
from snapstore.tree.walk import Child

__all__ = ["Removal", "SnapshotSize", "Stats", "removal", "stats"]

Label = tuple[str, str]
"""A source and a table of it; no table for what is the source's own, neither for the keys that a restore touched."""


@dataclass(frozen=True, slots=True)
class SnapshotSize:
    """One snapshot: what it needed that no snapshot before it did, and what no other snapshot needs."""

    snapshot: Snapshot
    first: Amount
    unique: Amount


@dataclass(frozen=True, slots=True)
class Stats:
    """A repository's space. `live` is what some snapshot needs, `tables` and `kinds` its parts; `hints` are among them.

    `alone_bytes` is the plain size of every snapshot, each as if there were no other. `objects` are the bytes of the
    repository's objects by what they are: `packs`, `index`, `snapshots` and others.
    """

    snapshots: tuple[SnapshotSize, ...]
    live: Amount
    tables: Mapping[Label, Amount]
    kinds: Mapping[Kind, Amount]
    hints: Amount
    alone_bytes: int
    objects: Mapping[str, int]

    @property
    def growth(self) -> list[int]:
        """The stored bytes of what the snapshots so far need, at each of them."""
        return [round(size) for size in accumulate(one.first.stored_bytes for one in self.snapshots)]

    @property
    def deduplication(self) -> float:
        """How many times the plain bytes of all snapshots, each alone, are those that are kept."""
        return self.alone_bytes / max(1, self.live.plain_bytes - self.hints.plain_bytes)

    @property
    def compression(self) -> float:
        """How many times the plain bytes that are kept are what they take in packs."""
        return self.live.plain_bytes / max(1.0, self.live.stored_bytes)


@dataclass(frozen=True, slots=True)
class Removal:
    """What removing some snapshots gives back: blobs that no other needs, and what gc would free at once.

    `freed_bytes` is what a dry run of gc would tell, without the bytes around what is written anew. It is less where
    packs are more than half full of what others need, and more by the garbage there is
    already (`garbage_bytes`, as gc would free it now).
    """

    unique: Amount
    freed_bytes: int
    garbage_bytes: int


def stats(repository: Repository, *, progress: Progress = silent) -> Stats:
    """Read the trees of every snapshot, what they share once; no large value is read.

    Raises `NotFound` or `Corrupt`, naming the snapshot, for what cannot be read.
    """
    repository.blobs.refresh()
    snapshots = repository.snapshots()
    owned: Ownership[Label] = Ownership(repository.blobs)
    # Hints are counted where they belong, and once more on their own.
    hints = Amount()
    alone: dict[tuple[Digest | None, Digest], int] = {}
    alone_bytes = 0
    for owner, snapshot in enumerate(snapshots):
        try:
            for label, is_hint, named in _named(snapshot):
                before = owned.by_label[label]
                owned.add(owner, label, named)
                hints += owned.by_label[label] - before if is_hint else Amount()
            for table in snapshot.every_table():
                place = (table.root, table.schema)
                if place not in alone:
                    alone[place] = measure(repository.blobs, table).plain_bytes
                alone_bytes += alone[place]
        except SnapstoreError as error:
            error.message = f"the snapshot {snapshot.id[:8]} cannot be measured: {error.message}"
            raise
        progress("measuring snapshots", owner + 1, len(snapshots))
    objects: dict[str, int] = {}
    for entry in repository.backend.list(""):
        what = entry.name.partition("/")[0]
        objects[what] = objects.get(what, 0) + entry.size_bytes
    return Stats(
        tuple(SnapshotSize(one, owned.first[at], owned.unique[at]) for at, one in enumerate(snapshots)),
        sum(owned.by_label.values(), Amount()),
        dict(owned.by_label),
        dict(owned.by_kind),
        hints,
        alone_bytes,
        objects,
    )


def _named(snapshot: Snapshot) -> Iterator[tuple[Label, bool, list[Child]]]:
    """What a snapshot names itself, by whose it is, and whether it is hints; as `needed_by` has it in one list."""
    for source in snapshot.sources:
        if source.objects is not None:
            yield (source.name, ""), False, [Child(Kind.SCHEMA, source.objects, leaf=True)]
        for table in source.tables:
            own = [Child(Kind.SCHEMA, table.schema, leaf=True)]
            own += [Child(Kind.TABLE, table.root)] if table.root is not None else []
            yield (source.name, table.name), False, own
            if table.hints is not None:
                yield (source.name, table.name), True, [Child(Kind.TABLE, table.hints)]
    for table in snapshot.touched:
        own = [Child(Kind.SCHEMA, table.schema, leaf=True)]
        yield ("", ""), False, own + ([Child(Kind.TABLE, table.root)] if table.root is not None else [])


def removal(repository: Repository, snapshots: Sequence[Snapshot], *, progress: Progress = silent) -> Removal:
    """What removing these snapshots, all of them, would give back. Raises as `stats`."""
    repository.blobs.refresh()
    packs = repository.blobs.packs()
    there = read_all(repository)
    gone = {snapshot.id for snapshot in snapshots}
    kept = [snapshot for snapshot in committed(there) if snapshot.id not in gone]
    going = [snapshot for snapshot in committed(there) if snapshot.id in gone]
    running = pending(there)
    keep = {bytes.fromhex(snapshot.id) for snapshot in running}
    owned: Ownership[None] = Ownership(repository.blobs)
    marks = Marks(repository.blobs)
    staying = [root for snapshot in kept for root in needed_by(snapshot)]
    owned.add(0, None, staying)
    marks.add(staying, progress)
    for snapshot in running:
        marks.add_pending(snapshot.roots)
    freed = _freed(repository, marks, packs, keep)
    for snapshot in going:
        owned.add(1, None, needed_by(snapshot))
        marks.add(needed_by(snapshot))
    return Removal(owned.unique[1], freed, _freed(repository, marks, packs, keep))


def _freed(repository: Repository, marks: Marks, packs: Sequence[PackEntry], keep: set[bytes]) -> int:
    found = survey(repository.blobs, packs, marks.is_live, keep=keep)
    return max(0, sum(pack.size_bytes - pack.live_bytes for pack in found if pack.is_condemned))
