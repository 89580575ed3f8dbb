"""Forget snapshots by a policy, and give back the space of what no snapshot needs (DESIGN: commit and gc).

    plan = plan_gc(repository, Policy(keep_daily=7), now=datetime.now(UTC))
    collected = gc(repository, plan)
    collected.bytes_freed, collected.waiting

Takes, restores and other collections may run beside it. Condemned packs are deleted only when all that ran while they
were condemned has ended; till then they wait for this gc, if it was told to, or for the next. It deletes nothing unless
every manifest and every inner blob could be read.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from snapstore.backends.directory import directory_of
from snapstore.blobs.store import BlobStore, PackEntry
from snapstore.blobs.sweep import Live, copy_live, indexed_packs, merge, purge
from snapstore.errors import Conflict, Corrupt, NotFound, SnapstoreError, Unavailable
from snapstore.operations.capture import Progress, silent
from snapstore.operations.condemn import LOSS_HINT, Survey, delete_packs, needed_only_there, refuse_loss, survey
from snapstore.operations.marking import marked, marked_more
from snapstore.operations.marks import Marks
from snapstore.operations.retention import Choice, Policy, choose, is_expendable
from snapstore.repository import Repository, Snapshot, tombstones
from snapstore.repository.listing import Listed, committed, delete_ended, evict_stale, pending, read_all

__all__ = ["STALE_SECONDS", "Collected", "GcPlan", "gc", "plan_gc"]

STALE_SECONDS = 24 * 3600.0
_POLL_SECONDS = 1.0
_TRIES = 10


@dataclass(frozen=True, slots=True)
class GcPlan:
    """What a gc would do: a choice for each snapshot (none without a policy), the ids that go and stay, bytes back.

    `bytes_freed` supposes that nothing runs beside it. `short_bytes` were asked for and cannot come back.
    """

    choices: tuple[Choice, ...]
    removed: tuple[str, ...]
    kept: tuple[str, ...]
    bytes_freed: int
    short_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Collected:
    """What a gc did. `waiting` are the ids of what runs and keeps condemned packs from being deleted: gc again later.

    `bytes_freed` is what packs and left-over files took, less what was written anew. Of the packs deleted,
    `packs_rewritten` held something that is needed, and went into new ones.
    """

    removed: tuple[str, ...]
    kept: tuple[str, ...]
    bytes_freed: int
    packs_deleted: int
    packs_rewritten: int
    waiting: tuple[str, ...]


def plan_gc(
    repository: Repository,
    policy: Policy | None = None,
    *,
    now: datetime | None = None,
    free_bytes: int = 0,
    progress: Progress = silent,
) -> GcPlan:
    """What `gc` would do. Writes nothing. Raises `Invalid` for an empty policy, and like `gc` for damage.

    Where fewer than `free_bytes` would come back, the oldest snapshots that only counts keep go too, as few as are
    needed. Where all of them would not do, none of them goes: history would be lost, and there were still no room.
    """
    store = repository.blobs.lean()
    packs = store.packs()
    there = read_all(repository)
    choices = _choices(there, policy, now)
    spare = sorted((one for one in choices if is_expendable(one)), key=lambda one: (one.snapshot.time, one.snapshot.id))
    ruled_out = {one.snapshot.id for one in choices if not one.keep}
    known: dict[int, int] = {}

    def freed(more: int) -> int:
        """The bytes that come back if so many of the spare ones go too."""
        if more not in known:
            gone = ruled_out | {one.snapshot.id for one in spare[:more]}
            kept = [snapshot for snapshot in committed(there) if snapshot.id not in gone]
            marks = marked(repository, store, kept, pending(there), progress)
            _is_whole(repository, store, marks, kept)
            found = survey(store, packs, marks.is_live, keep=_ids(pending(there)))
            known[more] = max(0, sum(pack.size_bytes - pack.live_bytes for pack in found if pack.is_condemned))
        return known[more]

    more = 0
    if spare and freed(0) < free_bytes <= freed(len(spare)):
        more = bisect_left(range(len(spare) + 1), free_bytes, key=freed)
    extra = {one.snapshot.id for one in spare[:more]}
    choices = [
        replace(one, keep=False, reasons=("room is needed",)) if one.snapshot.id in extra else one for one in choices
    ]
    removed = tuple(choice.snapshot.id for choice in choices if not choice.keep)
    gone = set(removed)
    return GcPlan(
        tuple(choices),
        removed,
        tuple(one.id for one in committed(there) if one.id not in gone),
        freed(more),
        max(0, free_bytes - freed(more)),
    )


def gc(
    repository: Repository,
    plan: GcPlan | Policy | None = None,
    *,
    now: datetime | None = None,
    wait_seconds: float = 0.0,
    stale_seconds: float = STALE_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
    progress: Progress = silent,
) -> Collected:
    """Remove the snapshots that the plan or policy does not keep (none without one), and sweep.

    Waits up to `wait_seconds` for what runs beside it. A pending that nobody has touched for `stale_seconds` by the
    store's clock is given up: what stalled cannot commit any more. Raises `Corrupt` or `NotFound`, and sweeps nothing,
    where something that is needed cannot be read or is known to be lost; `Conflict` if a snapshot that the plan removes
    was pinned since.
    """
    store = repository.blobs.lean()
    packs = store.packs()  # before the mark: of packs that come later nothing is said
    there = _without_stale(repository, stale_seconds)
    doomed = _doomed(there, plan, now)
    kept = [snapshot for snapshot in committed(there) if snapshot.id not in doomed]
    marks = marked(repository, store, kept, pending(there), progress)
    _is_whole(repository, store, marks, kept)
    found = survey(store, packs, marks.is_live, keep=_ids(pending(there)))
    # Only now, when all that stays was read: a damaged repository must not lose the snapshots that are whole.
    removed = _forget(repository, doomed)
    again = partial(gc, repository, stale_seconds=stale_seconds, sleep=sleep, progress=progress)
    try:
        delete_ended(repository, there)
        freed = _delete_stray(repository)
        condemned, stopped = _condemn(repository, found)
        deleted = rewritten = 0
        waiting: tuple[str, ...] = ()
        if condemned:
            there, waiting = _wait(repository, wait_seconds, stale_seconds, sleep)
            if not waiting:
                # The listing that shows that all have ended serves the second mark: what they committed is in it.
                store.refresh()
                marks = marked_more(repository, store, marks, kept, there, progress)
                swept, deleted, rewritten = _sweep(repository, store, condemned, marks)
                freed += swept
        if stopped is not None and not waiting:
            if not deleted:
                raise stopped
            rest = again(wait_seconds=wait_seconds)  # there is room now for the other tombstones
            freed, deleted = freed + rest.bytes_freed, deleted + rest.packs_deleted
            rewritten, waiting = rewritten + rest.packs_rewritten, rest.waiting
        elif not waiting and _is_whole(repository, store, marks, [*kept, *committed(there)]):
            merge(store)  # which forgets what tells of a loss
    except SnapstoreError as error:
        if removed:
            error.message = f"{len(removed)} of the snapshots were removed before this happened: {error.message}"
        raise
    return Collected(removed, tuple(snapshot.id for snapshot in kept), freed, deleted, rewritten, waiting)


def _is_whole(repository: Repository, store: BlobStore, marks: Marks, kept: Sequence[Snapshot]) -> bool:
    """Whether nothing that is marked is known to be lost. Raises `Corrupt` if something is.

    Not where one of the snapshots has gone meanwhile: what is lost may be what another gc has swept of that one.
    """
    try:
        refuse_loss(store, marks.is_live)
    except Corrupt:
        if all(repository.has(snapshot.id) for snapshot in kept):
            raise
        return False
    return True


def _condemn(repository: Repository, found: Sequence[Survey]) -> tuple[set[str], Unavailable | None]:
    """Put a tombstone for each of these packs that is to go; gives all packs that have one.

    Also what stopped it: a full store has no room for all of them. So those that give back the most come first.
    """
    going = [pack for pack in found if pack.is_condemned]
    condemned = {pack.name for pack in going if pack.was_condemned}
    stopped = None
    for pack in sorted(going, key=lambda pack: (bool(pack.live_bytes), pack.live_bytes - pack.size_bytes)):
        if pack.was_condemned:
            continue
        try:
            tombstones.put(repository.backend, pack.name, repository.seal)
        except Unavailable as error:
            stopped = error
            break
        condemned.add(pack.name)
    return condemned | set(tombstones.listed(repository.backend)), stopped


def _choices(there: Sequence[Listed], policy: Policy | None, now: datetime | None) -> list[Choice]:
    return [] if policy is None else choose(committed(there), policy, now or datetime.now(UTC))


def _doomed(there: Sequence[Listed], plan: GcPlan | Policy | None, now: datetime | None) -> set[str]:
    """The ids of the snapshots to remove."""
    if not isinstance(plan, GcPlan):
        return {choice.snapshot.id for choice in _choices(there, plan, now) if not choice.keep}
    doomed = set(plan.removed)
    for snapshot in committed(there):
        if snapshot.id in doomed and snapshot.pinned:
            raise Conflict(
                f"the snapshot {snapshot.id[:8]} was pinned since the plan was made; nothing was removed",
                hint="Make the plan again.",
            )
    return doomed


def _forget(repository: Repository, doomed: set[str]) -> tuple[str, ...]:
    """Remove these snapshots; those that somebody else has removed are no error."""
    return tuple(repository.remove_all(sorted(doomed))) if doomed else ()


def _ids(snapshots: Sequence[Snapshot]) -> set[bytes]:
    return {bytes.fromhex(snapshot.id) for snapshot in snapshots}


def _without_stale(repository: Repository, stale_seconds: float) -> list[Listed]:
    there = read_all(repository)
    if evict_stale(repository, there, stale_seconds=stale_seconds):
        return read_all(repository)
    return there


def _wait(
    repository: Repository, wait_seconds: float, stale_seconds: float, sleep: Callable[[float], None]
) -> tuple[list[Listed], tuple[str, ...]]:
    """The listing in which everything that was pending when this began has ended, or what has not.

    Called after the tombstones are there: what begins later sees them.
    """
    there = read_all(repository)
    recorded = {snapshot.id for snapshot in pending(there)}
    left = wait_seconds
    while waiting := sorted(recorded & {snapshot.id for snapshot in pending(there)}):
        if left <= 0:
            return there, tuple(waiting)
        pause = min(_POLL_SECONDS, left)
        sleep(pause)
        left -= pause
        there = _without_stale(repository, stale_seconds)
    return there, ()


def _sweep(repository: Repository, store: BlobStore, condemned: set[str], marks: Marks) -> tuple[int, int, int]:
    """Copy, delete, purge, and only then forget the tombstones: bytes freed, packs deleted, packs rewritten.

    A crash anywhere leaves tombstones, from which the next gc goes on.
    """
    packs = [pack for pack in store.packs() if pack.name in condemned]
    try:
        deleted, copied, written = _empty(store, packs, marks.is_live)
    except Corrupt as error:
        error.hint = LOSS_HINT
        raise
    gone = condemned - ({pack.name for pack in packs} - deleted.keys())
    if gone & indexed_packs(store):
        purge(store, gone)
    for name in sorted(gone):
        tombstones.remove(repository.backend, name)
    return sum(deleted.values()) - written, len(deleted), len(copied & deleted.keys())


def _empty(
    store: BlobStore, packs: Sequence[PackEntry], is_live: Live, tries: int = _TRIES
) -> tuple[dict[str, int], set[str], int]:
    """Delete these condemned packs, and before that copy what is needed and nowhere else.

    Gives the bytes freed by pack, the packs copied from, and the bytes written. Packs of which nothing is needed go
    first, and where there is no room for all copies some are made at a time: a full store is what gc is there for.
    """
    needed, is_wanted = needed_only_there(store, packs, is_live)
    deleted = delete_packs(store, [pack for pack in packs if pack.name not in needed], is_live)
    rest = [pack for pack in packs if pack.name in needed]
    if not rest:
        return deleted, needed, 0
    before, own_id = {pack.name for pack in store.packs()}, os.urandom(16)
    try:
        written = copy_live(store, needed, is_wanted, own_id).stored_bytes
    except NotFound:  # another gc has deleted one of them, after copying it
        if tries == 1:
            raise
        parts, tries = [[pack for pack in store.packs() if pack.name in needed]], tries - 1
    except Unavailable:
        if len(rest) == 1:
            raise
        parts = [rest[: len(rest) // 2], rest[len(rest) // 2 :]]
    else:
        return deleted | delete_packs(store, rest, is_live), needed, written
    copied, written = set(needed), _written(store, before, own_id)
    for part in parts:
        more, names, size = _empty(store, part, is_live, tries)
        deleted, copied, written = deleted | more, copied | names, written + size
    return deleted, copied, written


def _written(store: BlobStore, before: set[str], own_id: bytes) -> int:
    """The bytes of the packs that a copy which failed has written since `before`, under this id."""
    fresh = [pack for pack in store.packs() if pack.name not in before]
    size = 0
    for pack in fresh:
        with suppress(NotFound, Corrupt):
            size += pack.size_bytes if store.directory(pack).snapshot_id == own_id else 0
    return size


def _delete_stray(repository: Repository) -> int:
    """Remove what crashed writers left in a folder for a day; returns bytes."""
    freed = 0
    directory = directory_of(repository.backend)
    if directory is not None:
        for entry in list(directory.stray()):
            if time.time() - entry.modified > STALE_SECONDS:
                directory.delete_stray(entry)
                freed += entry.size_bytes
    return freed
