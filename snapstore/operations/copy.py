"""Copy snapshots from one repository into another: off site, into a bucket, into an encrypted one and back.

    copied = copy(source, target, resolve_all(source.snapshots(), names))
    copied[0].copy.id, copied[0].bytes_added

What the target holds already is not sent. Where both name blobs alike and cut chunks at the same keys, blobs are
carried as they are, and roots stay the same; else the trees are built anew from the rows. A copy says whose copy it is,
so the same snapshot is copied once. In both repositories a pending protects what is relied on (DESIGN: commit and gc);
a source that may only be read goes without.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from snapstore.blobs.writer import BlobWriter, Written
from snapstore.digest import Digest, Kind
from snapstore.errors import Invalid, NotFound, Unavailable
from snapstore.operations.announced import announced
from snapstore.operations.capture import Progress, silent
from snapstore.operations.carried import carry_trees
from snapstore.operations.heartbeat import Heartbeat
from snapstore.operations.lost_packs import has_lost
from snapstore.operations.marks import needed_by
from snapstore.operations.renamed import Before, rename_blob, rename_table
from snapstore.repository import Origin, Repository, Snapshot, SnapshotSource, SnapshotTable

__all__ = ["Copied", "copy", "held"]


@dataclass(frozen=True, slots=True)
class Copied:
    """A snapshot and its copy; `is_new` is False where it was there before, and nothing was done.

    `bytes_read` counts plain bytes of blobs read in the source, `bytes_new` those the target did not have,
    `bytes_added` what it grew by (packs, index). Not `is_protected` is what was read in a source that may not be
    written, so that no gc waited; all of it was there.
    """

    snapshot: Snapshot
    copy: Snapshot
    is_new: bool
    bytes_read: int = 0
    bytes_new: int = 0
    bytes_added: int = 0
    seconds: float = 0.0
    is_protected: bool = True


def copy(
    source: Repository,
    target: Repository,
    snapshots: Sequence[Snapshot] | None = None,
    *,
    progress: Progress = silent,
) -> tuple[Copied, ...]:
    """Copy these snapshots of `source` (all by default), oldest first, each committed before the next begins.

    A snapshot that the target holds, or whose copy it holds, is passed over without writing anything; it is copied all
    the same if others removed that while this ran. What was copied before an error stays.

    Raises `Invalid` for one repository as both, `NotFound` for a snapshot that has been removed, `Corrupt` for one that
    cannot be read whole, and `Conflict` if a gc gave the copy up.
    """
    if (source.settings.id, source.location) == (target.settings.id, target.location):
        raise Invalid(f"{source.location} cannot be copied into itself", hint="Name another repository.")
    own = source.snapshots()
    chosen = own if snapshots is None else sorted(snapshots, key=lambda one: (one.time, one.id))
    there = target.snapshots()
    done: list[Copied] = []
    for number, snapshot in enumerate(chosen):
        its_copy = held(target, there, source.origin_of(snapshot))
        if its_copy is None:
            copied = _Copying(source, target, own, there, progress).one(snapshot)
            there.append(copied.copy)
        else:
            copied = Copied(snapshot, its_copy, is_new=False)
        done.append(copied)
        progress("copying snapshots", number + 1, len(chosen))
    while gone := _gone(target, done):
        there = [one for one in there if one.id not in gone]
        done = [
            _Copying(source, target, own, there, progress).one(one.snapshot) if one.copy.id in gone else one
            for one in done
        ]
    return tuple(done)


def held(target: Repository, there: Sequence[Snapshot], origin: Origin) -> Snapshot | None:
    """The one of the snapshots `there` in the target that is of this origin."""
    return next((one for one in there if target.origin_of(one) == origin), None)


def _gone(target: Repository, done: Sequence[Copied]) -> set[str]:
    """Those that were passed over since they were there, and are not any more."""
    passed = {one.copy.id for one in done if not one.is_new}
    if not passed or not any(one.is_new for one in done):  # where nothing was copied, no time has passed
        return set()
    return passed - {entry.name.removeprefix("snapshots/") for entry in target.backend.list("snapshots/")}


class _Reading:
    """Blobs of the source, whose bytes are counted: `Fetch`."""

    def __init__(self, repository: Repository) -> None:
        self._blobs = repository.blobs
        self.bytes_read = 0

    def get_many(self, digests: Sequence[Digest]) -> list[bytes]:
        blobs = self._blobs.get_many(digests)
        self.bytes_read += sum(map(len, blobs))
        return blobs


class _Copying:
    """One snapshot being copied; `own` are those of the source, `there` those of the target, oldest first."""

    def __init__(
        self,
        source: Repository,
        target: Repository,
        own: Sequence[Snapshot],
        there: Sequence[Snapshot],
        progress: Progress,
    ) -> None:
        self._source, self._target = source, target
        self._own, self._there = own, there
        self._progress = progress
        self._reading = _Reading(source)
        # Where blobs are named alike and cuts are made alike, the same rows make the same trees.
        self._is_alike = (source.blobs.naming, source.cut_key) == (target.blobs.naming, target.cut_key)

    def one(self, snapshot: Snapshot) -> Copied:
        began = time.monotonic()
        earlier, copy_of_it = self._earlier(snapshot)
        roots = [*snapshot.digests(), *(earlier.digests() if earlier else [])]
        with announced(self._source, roots) as reading, _begun(self._target, copy_of_it) as heart:
            self._progress = heart.progress(reading.progress(self._progress))
            if not self._source.has(snapshot.id):
                raise NotFound(f"the snapshot {snapshot.id[:8]} has been removed", hint="`snap list` shows the others.")
            # What was removed before the pendings stood there may be swept already: nothing is built upon it.
            if earlier is not None and not self._source.has(earlier.id):
                earlier = None
            if copy_of_it is not None and not self._target.has(copy_of_it.id):
                earlier = copy_of_it = None
            if copy_of_it is not None and has_lost(self._target, copy_of_it):
                earlier = copy_of_it = None
            with self._target.blobs.writer(bytes.fromhex(heart.pending.id)) as writer:
                if self._is_alike:
                    made = self._carried(snapshot, copy_of_it, writer)
                else:
                    made = self._renamed(snapshot, earlier, copy_of_it, writer)
                written = writer.close()
            committed = self._target.commit(heart.pending, self._copy(made, written, time.monotonic() - began))
        return Copied(
            snapshot,
            committed,
            is_new=True,
            bytes_read=self._reading.bytes_read,
            bytes_new=written.plain_bytes,
            bytes_added=written.stored_bytes + written.index_bytes,
            seconds=time.monotonic() - began,
            is_protected=reading.is_protected,
        )

    def _earlier(self, snapshot: Snapshot) -> tuple[Snapshot | None, Snapshot | None]:
        """What the copy goes by: the newest snapshot up to this one, else the oldest after it, that has one of its
        sources and is in the target; and as it is in the source, which is needed only where trees are built anew.
        """
        names = {(one.name, one.kind) for one in snapshot.sources}
        origins = {self._source.origin_of(one): one for one in self._own if one.id != snapshot.id}
        best: Snapshot | None = None
        for one in self._there:
            fits = any((own.name, own.kind) in names for own in one.sources)
            if not fits or not (self._is_alike or self._target.origin_of(one) in origins):
                continue
            if best is None or one.time <= snapshot.time:
                best = one
        return (None, None) if best is None else (origins.get(self._target.origin_of(best)), best)

    def _carried(self, snapshot: Snapshot, earlier: Snapshot | None, writer: BlobWriter) -> Snapshot:
        beneath = [] if earlier is None else needed_by(earlier)
        self._reading.bytes_read += carry_trees(
            self._source.blobs, self._target.blobs, needed_by(snapshot), beneath, writer, self._progress
        )
        return snapshot

    def _renamed(
        self, snapshot: Snapshot, earlier: Snapshot | None, copy_of_it: Snapshot | None, writer: BlobWriter
    ) -> Snapshot:
        def tables(entries: Sequence[SnapshotTable], name: str | None) -> tuple[SnapshotTable, ...]:
            return tuple(
                rename_table(
                    entry,
                    self._reading,
                    writer,
                    self._target.cut_key,
                    self._before(entry, name, earlier, copy_of_it),
                    self._progress,
                )
                for entry in entries
            )

        def renamed(own: SnapshotSource) -> SnapshotSource:
            objects = own.objects and rename_blob(own.objects, Kind.SCHEMA, self._reading, writer)
            return dataclasses.replace(own, objects=objects, tables=tables(own.tables, own.name))

        return dataclasses.replace(
            snapshot, sources=tuple(map(renamed, snapshot.sources)), touched=tables(snapshot.touched, None)
        )

    def _before(
        self, entry: SnapshotTable, name: str | None, earlier: Snapshot | None, copy_of_it: Snapshot | None
    ) -> Before | None:
        """The table in the earlier snapshot of the source of that name, and in its copy."""
        if name is None or earlier is None or copy_of_it is None:
            return None
        found = [_table(one, name, entry.name) for one in (earlier, copy_of_it)]
        if found[0] is None or found[1] is None:
            return None
        return Before(found[0], found[1], self._target.blobs)

    def _copy(self, snapshot: Snapshot, written: Written, seconds: float) -> Snapshot:
        """The manifest of the copy: what the snapshot says of itself, and ids as they are in the target."""
        return dataclasses.replace(
            snapshot,
            origin=self._source.origin_of(snapshot),
            parent=self._id_there(snapshot.parent),
            # It stays a safety snapshot, whatever became of the one that was restored.
            safety=self._id_there(snapshot.safety) or snapshot.safety,
            statistics={
                "bytes_read": self._reading.bytes_read,
                "bytes_new": written.plain_bytes,
                "bytes_added": written.stored_bytes + written.index_bytes,
                "seconds": seconds,
            },
            version=0,
            seen={},
        )

    def _id_there(self, snapshot_id: str | None) -> str | None:
        """The id that a snapshot of the source has in the target; None if it is not there."""
        known = next((one for one in self._own if one.id == snapshot_id), None)
        its_copy = None if known is None else held(self._target, self._there, self._source.origin_of(known))
        return None if its_copy is None else its_copy.id


def _table(snapshot: Snapshot, source: str, name: str) -> SnapshotTable | None:
    own = snapshot.source(source)
    return None if own is None else next((table for table in own.tables if table.name == name), None)


@contextmanager
def _begun(repository: Repository, earlier: Snapshot | None) -> Iterator[Heartbeat]:
    """A pending that is given up if it does not become a snapshot."""
    heart = Heartbeat(repository, repository.begin(roots=earlier.digests() if earlier else []))
    try:
        yield heart
    except BaseException:
        # The first error is the one to report; a store that failed may well fail again here.
        with suppress(Unavailable):
            repository.abandon(heart.pending)
        raise
