"""Take a snapshot of one or more sources (DESIGN: take).

    taken = take(repository, [Request("agents", source, Selection())], tags=("before-migration",))
    taken.snapshot.id

Each source is read from one consistent view; blobs, then index, then commit. Whatever ends it early leaves only garbage
that gc finds.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from snapstore.blobs.sweep import fold
from snapstore.errors import Invalid, SnapstoreError, Unavailable
from snapstore.operations.capture import Progress, silent
from snapstore.operations.heartbeat import Heartbeat
from snapstore.operations.lost_packs import has_lost
from snapstore.operations.parent import Parent, parents_in
from snapstore.operations.room import require_room
from snapstore.operations.selected import files_of, selection_fields
from snapstore.operations.state import StateTable, evened, stable_capture
from snapstore.operations.tags import check_tags
from snapstore.operations.told_apart import ToldApart
from snapstore.repository import Pending, Repository, Snapshot, SnapshotSource, SnapshotTable
from snapstore.repository.repository import PROGRAM
from snapstore.sources import Selection, Source
from snapstore.tree import Sink
from snapstore.tree.diff import diff

__all__ = ["Request", "Taken", "take"]


@dataclass(frozen=True, slots=True)
class Request:
    """What to take: a source, the name it has in snapshots, and what of it."""

    name: str
    source: Source
    selection: Selection = field(default_factory=Selection)


@dataclass(frozen=True, slots=True)
class Taken:
    """The committed snapshot, what it cost in bytes and seconds, and the sources that could not be reached.

    `later` are snapshots it went by that are dated after it: some clock is wrong, or was, and `latest` means one of
    those. `damaged` are snapshots it would have gone by, of which blobs are lost: what is live still was written anew,
    the rest is for `verify`. `bytes_read` counts cells read, `bytes_new` plain bytes of blobs that were not there
    before, `bytes_added` what the repository grew by (packs, index and manifest).
    """

    snapshot: Snapshot
    bytes_read: int
    bytes_new: int
    bytes_added: int
    seconds: float
    unavailable: tuple[str, ...] = ()
    later: tuple[Snapshot, ...] = ()
    damaged: tuple[Snapshot, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether everything that was asked for is held."""
        return not self.unavailable and not any(source.missing for source in self.snapshot.sources)


def take(
    repository: Repository,
    requests: Sequence[Request],
    *,
    tags: Sequence[str] = (),
    description: str = "",
    host: str = "",
    verify: bool = True,
    full: bool = False,
    min_free_bytes: int = 0,
    max_bytes: int | None = None,
    progress: Progress = silent,
) -> Taken:
    """Take a snapshot of these sources. With `verify` every blob is decoded and hashed again before it is stored.

    Only rows that may have changed since the newest snapshot of a source are read, where that can be told and unless
    `full`; each table of the result says which way it was read, and why.

    With `min_free_bytes` and `max_bytes` it does not begin where there is less space, or the repository holds more.

    Raises `Unavailable` when the repository cannot be reached, and when a source cannot, unless its selection is
    `partial` and another one can;
    `Unsupported` naming what cannot be held; `Conflict` when tables kept changing shape.
    """
    check(requests, tags, description)
    require_room(repository, min_free_bytes=min_free_bytes, max_bytes=max_bytes)
    began, moment = time.monotonic(), datetime.now(UTC)
    parents = parents_in(
        repository,
        {request.name: request.source.kind for request in requests},
        {request.name: selection_fields(request.selection) for request in requests},
    )
    pending = repository.begin(
        roots=[root for parent in parents.values() if parent for root in parent.roots], looks=False
    )
    heart = Heartbeat(repository, pending)
    try:
        # What was removed before the pending object stood there may be swept already: it is nobody's parent.
        ids = {one.snapshot.id for one in parents.values() if one}
        there = {id_ for id_ in sorted(ids) if repository.has(id_)}
        parents = {name: one if one and one.snapshot.id in there else None for name, one in parents.items()}
        with repository.blobs.writer(bytes.fromhex(pending.id), verify=verify) as writer:
            parents = {name: one and _judged(repository, one) for name, one in parents.items()}
            sources, bytes_read, unavailable = _sources(
                repository, requests, heart.sink(writer), parents, full, heart.progress(progress)
            )
            written = writer.close()
        sources = [_counted(source, parents[source.name], repository, heart) for source in sources]
        snapshot = Snapshot(
            id=pending.id,
            time=moment,
            host=host,
            program=PROGRAM,
            tags=tuple(tags),
            description=description,
            parent=next((one.snapshot.id for one in parents.values() if one), None),
            sources=tuple(sources),
            statistics={
                "bytes_read": bytes_read,
                "bytes_new": written.plain_bytes,
                "bytes_added": written.stored_bytes + written.index_bytes,
                "seconds": time.monotonic() - began,
            },
        )
        committed = repository.commit(heart.pending, snapshot)
    except BaseException:
        _give_up(repository, heart.pending)
        raise
    with suppress(SnapstoreError):  # the snapshot is there, whatever becomes of this
        fold(repository.blobs)
    later = {one.snapshot.id: one.snapshot for one in parents.values() if one and one.snapshot.time > committed.time}
    damaged = {one.snapshot.id: one.snapshot for one in parents.values() if one and one.is_damaged}
    return Taken(
        committed,
        bytes_read,
        written.plain_bytes,
        written.stored_bytes + written.index_bytes,
        time.monotonic() - began,
        tuple(unavailable),
        tuple(later.values()),
        tuple(damaged.values()),
    )


def check(requests: Sequence[Request], tags: Sequence[str], description: str = "") -> None:
    """Raises `Invalid` for names that could not be told from others later, and text that cannot be stored."""
    names = [request.name for request in requests]
    if not names:
        raise Invalid("no source to take", hint="Name one: `snap take postgresql://…`.")
    for name in names:
        if not name.strip() or ":" in name or not name.isprintable():
            raise Invalid(f"{name!r} cannot be the name of a source", hint="Give it another with --name, without `:`.")
        if names.count(name) > 1:
            raise Invalid(f"two sources have the name {name!r}", hint="Give one of them another with --name.")
    check_tags(tags)
    if any(0xD800 <= ord(char) <= 0xDFFF for char in description):
        raise Invalid("the description is not text: it has bytes that are no UTF-8")


def _sources(
    repository: Repository,
    requests: Sequence[Request],
    sink: Sink,
    parents: Mapping[str, Parent | None],
    full: bool,
    progress: Progress,
) -> tuple[list[SnapshotSource], int, list[str]]:
    sources: list[SnapshotSource] = []
    unavailable: list[str] = []
    failure: Unavailable | None = None
    bytes_read = 0
    own = ToldApart(repository.blobs, sink, progress)
    for request in requests:
        try:
            captured = stable_capture(
                request.source,
                request.selection,
                own,
                repository.cut_key,
                parent=parents.get(request.name),
                fetch=None if full else own,
                progress=own.progress,
            )
        except Unavailable as error:
            if own.has_failed or not request.selection.partial:
                raise
            failure = error
            unavailable.append(f"{request.name}: {error.message}")
            continue
        bytes_read += captured.bytes_read
        sources.append(
            SnapshotSource(
                name=request.name,
                kind=request.source.kind,
                url=request.source.url,
                tables=captured.tables,
                objects=captured.objects,
                position=captured.position,
                context=captured.context,
                selection=selection_fields(request.selection),
                missing=captured.missing,
            )
        )
    if failure is not None and not sources:
        raise failure
    return sources, bytes_read, unavailable


def _judged(repository: Repository, parent: Parent) -> Parent:
    return dataclasses.replace(parent, is_damaged=has_lost(repository, parent.snapshot))


def _counted(source: SnapshotSource, parent: Parent | None, repository: Repository, heart: Heartbeat) -> SnapshotSource:
    """The source with rows added, changed and removed against its parent."""
    if parent is None or parent.is_damaged:
        return source
    mine, its = files_of(source.selection), files_of(parent.source.selection)
    if (mine.only, mine.ignore) != (its.only, its.ignore):
        return source  # what one of them left out was neither added nor removed
    before = {table.name: table for table in parent.source.tables}
    tables = tuple(
        table
        if table.name not in before or table.where != before[table.name].where
        else _count(source, before[table.name], table, repository, heart)
        for table in source.tables
    )
    return dataclasses.replace(source, tables=tables)


def _count(
    source: SnapshotSource, before: SnapshotTable, after: SnapshotTable, repository: Repository, heart: Heartbeat
) -> SnapshotTable:
    sides = evened(*(StateTable(source.name, source.kind, one, repository.blobs) for one in (before, after)))
    old, new = (side.tree for side in sides)
    if old is None or new is None or old.table.key != new.table.key:
        return after
    added = changed = removed = 0
    for changes in diff(old, new):
        heart.beat()
        added += len(changes.added)
        changed += len(changes.changed)
        removed += len(changes.removed)
    return dataclasses.replace(after, added=added, changed=changed, removed=removed)


def _give_up(repository: Repository, pending: Pending) -> None:
    # The first error is the one to report; a store that failed may well fail again here, and gc evicts what stays.
    with suppress(Unavailable):
        repository.abandon(pending)
