"""Operations that run beside each other on a small repository, and what must hold whatever became of them.

backend = repository_with_garbage()
taking("new")(reopen(backend))
everything_is_well(backend), nothing_is_left_behind(backend)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from snapstore.backends import Backend
from snapstore.backends.memory import MemoryBackend
from snapstore.errors import NotFound
from snapstore.operations.condemn import survey
from snapstore.operations.copy import copy
from snapstore.operations.forget import pin, rm
from snapstore.operations.gc import gc, plan_gc
from snapstore.operations.marks import Marks, needed_by
from snapstore.operations.retention import Policy
from snapstore.operations.verify import verify
from snapstore.repository import Repository
from tests.operations.sample import START, Rows, Take, init, objects, read, reopen, rows, take

Operation = Callable[[Repository], Any]

# What each snapshot holds is told by its description, so that one found later can be checked.
OLD = rows(range(90), elements=140)
STATES: dict[str, Rows] = {
    "old": OLD,
    "half": {id_: OLD[id_] for id_ in range(0, 90, 3)},
    "new": OLD | rows([3, 50], seed=5, elements=140),
    "again": OLD | rows([4], seed=6, elements=140),
    "gone": OLD | rows(range(400, 540), elements=140),
}


def repository_with_garbage(*, encrypted: bool = False) -> MemoryBackend:
    """Two snapshots, and a third removed whose packs hold all that they need, and more that nobody does."""
    backend = MemoryBackend()
    repository = init(backend, encrypted=encrypted)
    removed = taking("gone", 0)(repository)
    taking("half", 1)(repository)
    taking("old", 2)(repository)
    rm(repository, [removed.id])
    return backend


def copied(backend: Backend) -> MemoryBackend:
    copy = MemoryBackend()
    for entry in backend.list():
        copy.put(entry.name, [backend.get(entry.name).data])
    return copy


def taking(state: str, at: int = 5) -> Operation:
    return lambda repository: take(repository, STATES[state], at=at, description=state)


def by_parent(state: str, at: int = 5) -> Operation:
    """A take that takes over subtrees of its parent: it announces them, then sees that the parent is still there."""

    def increment(repository: Repository) -> object:
        snapshots = repository.snapshots()
        parent = snapshots[-1] if snapshots else None
        running = Take(repository, parent=parent)
        root = parent.sources[0].tables[0].root if parent and repository.has(parent.id) else None
        if not parent or not root or not running.write_from(STATES[parent.description], root, STATES[state]):
            running.write(STATES[state])
        return running.commit(at=at, description=state)

    return increment


def collecting(repository: Repository) -> object:
    return gc(repository)


def by_policy(repository: Repository) -> object:
    return gc(repository, Policy(keep_last=1), now=START + timedelta(days=2))


def removing(repository: Repository) -> object:
    return rm(repository, [one.id for one in repository.snapshots()[:1]])


def removing_all(repository: Repository) -> object:
    return rm(repository, [one.id for one in repository.snapshots()])


def verifying(repository: Repository) -> object:
    assert verify(repository, read_data=True).damaged == ()
    return None


def reading(repository: Repository) -> object:
    """A reader: it names what it reads, sees that it is still there, and then must not lose it."""
    for snapshot in repository.snapshots():
        pending = repository.begin(roots=snapshot.digests())
        if any(one.id == snapshot.id for one in repository.snapshots()):
            assert read(repository, snapshot)["public.memories"] == STATES[snapshot.description]
        repository.abandon(pending)
    return None


def copying_in(*, encrypted: bool) -> Operation:
    """A copy of a snapshot from elsewhere, by way of the one before it, into this repository."""
    elsewhere = init(MemoryBackend(), encrypted=encrypted)
    take(elsewhere, STATES["old"], at=2, description="old")
    take(elsewhere, STATES["new"], at=5, description="new")

    def copy_in(repository: Repository) -> object:
        there = reopen(copied(elsewhere.backend))
        return copy(there, repository, there.snapshots()[1:])

    return copy_in


def copying_out(*, encrypted: bool) -> Operation:
    """A copy of all snapshots of this repository to elsewhere, where what was committed must be whole."""

    def copy_out(repository: Repository) -> object:
        elsewhere = init(MemoryBackend(), encrypted=encrypted)
        try:
            with suppress(NotFound):  # one was removed by somebody else
                copy(repository, elsewhere)
        finally:
            everything_is_well(elsewhere.backend)
            assert elsewhere.pendings() == []
        return None

    return copy_out


def pinning(repository: Repository) -> object:
    return [pin(repository, one.id) for one in repository.snapshots()]


def everything_is_well(backend: Backend) -> list[str]:
    """Verify is clean and what is committed is whole; gives the snapshots' descriptions."""
    repository = reopen(backend)
    assert verify(repository, read_data=True).damaged == ()
    snapshots = repository.snapshots()
    for snapshot in snapshots:
        assert read(repository, snapshot)["public.memories"] == STATES[snapshot.description]
    return [snapshot.description for snapshot in snapshots]


def nothing_is_left_behind(backend: Backend) -> None:
    """A gc that gives up what died leaves no garbage but less than half of each pack."""
    before = everything_is_well(backend)
    assert gc(reopen(backend), stale_seconds=-1).waiting == ()
    assert everything_is_well(backend) == before
    repository = reopen(backend)
    assert repository.pendings() == []
    assert not objects(backend, "condemned/")
    assert plan_gc(repository).bytes_freed == 0
    marks = Marks(repository.blobs)
    for snapshot in repository.snapshots():
        marks.add(needed_by(snapshot))
    for pack in survey(repository.blobs, repository.blobs.packs(), marks.is_live, keep=set()):
        assert pack.live_bytes > 0
    index = sum(objects(backend, "index/").values())
    assert index < 200 * marks.count + 20_000
