"""Every storage call of take, gc and rm is a point where the process may die, or where everybody else may run at once.

Whatever happens: verify is clean, committed snapshots are as they were to the bit, and the next gc finds the garbage.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from snapstore.backends import Backend
from snapstore.backends.memory import MemoryBackend
from snapstore.errors import SnapstoreError
from snapstore.operations.condemn import survey
from snapstore.operations.forget import pin, rm
from snapstore.operations.gc import gc, plan_gc
from snapstore.operations.marks import Marks, needed_by
from snapstore.operations.retention import Policy
from snapstore.operations.verify import verify
from snapstore.repository import Repository
from tests.operations.points import Points, crash
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


def copied(backend: MemoryBackend) -> MemoryBackend:
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


def points(backend: MemoryBackend, operation: Operation, *, writes_only: bool = False) -> int:
    counting = Points(copied(backend), writes_only=writes_only)
    operation(reopen(counting))
    return counting.calls


OPERATIONS: dict[str, Operation] = {
    "take": taking("new"),
    "by parent": by_parent("new"),
    "gc": collecting,
    "policy": by_policy,
    "rm": removing,
}


# An encrypted repository differs in how snapshots come and go: they name those before them.
@pytest.mark.parametrize(
    ("name", "encrypted"), [*((name, False) for name in OPERATIONS), ("by parent", True), ("rm", True)]
)
def test_a_crash_at_any_storage_call_loses_nothing(name: str, encrypted: bool) -> None:
    """Before every call; and after every write, as before the next one other calls may have been made."""
    start, operation = repository_with_garbage(encrypted=encrypted), OPERATIONS[name]
    crashes = [(at, False) for at in range(points(start, operation))]
    crashes += [(at, True) for at in range(points(start, operation, writes_only=True))]
    assert len(crashes) > 3
    committed = 0
    for at, is_after in crashes:
        backend = copied(start)
        dying = Points(backend, at, after=crash, writes_only=True) if is_after else Points(backend, at, before=crash)
        with pytest.raises(SnapstoreError, match="killed"):
            killed(operation, dying)
        found = everything_is_well(backend)
        assert "old" in found
        committed += is_after and "new" in found
        nothing_is_left_behind(backend)
    assert committed == (name in ("take", "by parent")), "the last write is the commit, and it alone commits"


def killed(operation: Operation, dying: Points) -> None:
    operation(reopen(dying))
    crash()  # a thread that was ahead died, and nobody needed it


def test_a_gc_that_died_is_finished_by_the_next_beside_takes() -> None:
    start = repository_with_garbage()
    for at in range(points(start, collecting, writes_only=True)):
        backend = copied(start)
        running = Take(reopen(backend))
        running.write(STATES["again"])
        with suppress(SnapstoreError):
            gc(reopen(Points(backend, at, after=crash, writes_only=True)))
        late = Take(reopen(backend))
        late.write(STATES["new"])
        gc(reopen(backend))
        running.commit(at=6, description="again")
        gc(reopen(backend))
        late.commit(at=7, description="new")
        assert everything_is_well(backend) == ["half", "old", "again", "new"]
        nothing_is_left_behind(backend)


OTHERS: dict[str, Operation] = {
    "take": taking("again", 9),
    "gc": collecting,
    "policy": by_policy,
    "rm and gc": lambda repository: (removing_all(repository), gc(repository)),
    "gc and rm": lambda repository: (gc(repository), removing_all(repository), gc(repository)),
    "by parent": by_parent("again", 9),
    "take, rm, gc": lambda repository: (taking("again", 9)(repository), removing(repository), gc(repository)),
    "read": reading,
    "pin": pinning,
}
MINE: dict[str, Operation] = {
    "take": taking("new"),
    "by parent": by_parent("new"),
    "gc": collecting,
    "verify": verifying,
    "read": reading,
}


def run(other: str, backend: MemoryBackend) -> None:
    OTHERS[other](reopen(backend))


@pytest.mark.parametrize(
    ("mine", "other", "encrypted"),
    [
        *((mine, other, False) for mine in MINE for other in OTHERS),
        ("by parent", "rm and gc", True),
        ("verify", "policy", True),
    ],
)
def test_everybody_else_may_run_at_any_storage_call(mine: str, other: str, encrypted: bool) -> None:
    start = repository_with_garbage(encrypted=encrypted)
    for at in range(0, points(start, MINE[mine]), 2 if mine in ("gc", "take", "by parent") else 6):
        backend = copied(start)
        MINE[mine](reopen(Points(backend, at, before=partial(run, other, backend))))
        found = everything_is_well(backend)
        # In an encrypted repository a take looks once more after its commit, and what it committed may go before that.
        assert encrypted or ("new" in found) == (mine in ("take", "by parent"))
        nothing_is_left_behind(backend)


def sweep(repository: Repository) -> None:
    gc(repository)


@pytest.mark.parametrize("first", ["take", "by parent", "gc", "read"])
def test_two_others_may_run_one_inside_the_other(first: str) -> None:
    """A gc begins inside another operation, and within that gc somebody else takes."""
    start = repository_with_garbage()
    settings = reopen(start).settings
    for at in range(0, points(start, MINE[first]), 9):
        for within in range(0, points(start, collecting), 11):
            backend = copied(start)
            innermost = Repository(Points(backend, within, before=partial(run, "take", backend)), settings)
            MINE[first](reopen(Points(backend, at, before=partial(sweep, innermost))))
            everything_is_well(backend)
            nothing_is_left_behind(backend)
