"""Every storage call of take, gc, rm and copy is a point where the process may die, or all others may run at once.

Whatever happens: verify is clean, committed snapshots are as they were to the bit, and the next gc finds the garbage.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.errors import SnapstoreError
from snapstore.operations.gc import gc
from snapstore.repository import Repository
from tests.operations.crowd import (
    STATES,
    Operation,
    by_parent,
    by_policy,
    collecting,
    copied,
    copying_in,
    copying_out,
    everything_is_well,
    nothing_is_left_behind,
    pinning,
    reading,
    removing,
    removing_all,
    repository_with_garbage,
    taking,
    verifying,
)
from tests.operations.points import Faulty, Points, crash
from tests.operations.sample import Take, reopen
from tests.soak import IS_SOAK


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
    "copy in": copying_in(encrypted=False),
    "copy in, renamed": copying_in(encrypted=True),
    "copy out": copying_out(encrypted=False),
}
# Copies are tried at each of their calls by `make soak`, and at every write in any case.
EVERY = {} if IS_SOAK else {"copy in": 4, "copy in, renamed": 4, "copy out": 12}
COMMITS = ("take", "by parent", "copy in", "copy in, renamed")


# An encrypted repository differs in how snapshots come and go: they name those before them.
@pytest.mark.parametrize(
    ("name", "encrypted"), [*((name, False) for name in OPERATIONS), ("by parent", True), ("rm", True)]
)
def test_a_crash_at_any_storage_call_loses_nothing(name: str, encrypted: bool) -> None:
    """Before every call; and after every write, as before the next one other calls may have been made."""
    start, operation = repository_with_garbage(encrypted=encrypted), OPERATIONS[name]
    crashes = [(at, False) for at in range(0, points(start, operation), EVERY.get(name, 1 if IS_SOAK else 2))]
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
    assert committed == (name in COMMITS), "the last write is the commit, and it alone commits"


@pytest.mark.parametrize("fault", [{"is_done": True}, {"is_done": False}, {"is_full": True}], ids=str)
@pytest.mark.parametrize("name", [name for name in OPERATIONS if IS_SOAK or name != "copy out"])
def test_a_call_that_fails_or_whose_reply_is_lost_loses_nothing(name: str, fault: dict[str, bool]) -> None:
    """The process lives on: what it does to clean up must not harm what is committed, perhaps by itself."""
    start, operation = repository_with_garbage(), OPERATIONS[name]
    writes = points(start, operation, writes_only=True)
    committed = 0
    for at in range(writes):
        backend = copied(start)
        with suppress(SnapstoreError):  # a tombstone that stands already, or a pack that went, is as well
            operation(reopen(Faulty(backend, at, **fault)))
        found = everything_is_well(backend)
        assert "old" in found
        committed += "new" in found
        nothing_is_left_behind(backend)
    assert committed == (name in COMMITS and fault.get("is_done", False)), (
        "what was committed stays, though nobody was told"
    )


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
    "copy in": copying_in(encrypted=False),
    "copy in, renamed": copying_in(encrypted=True),
    "copy out": copying_out(encrypted=True),
}


def run(other: str, backend: MemoryBackend) -> None:
    OTHERS[other](reopen(backend))


@pytest.mark.parametrize(
    ("mine", "other", "encrypted"),
    [
        *((mine, other, False) for mine in MINE for other in OTHERS if IS_SOAK or mine not in EVERY),
        *((mine, other, False) for mine in EVERY for other in ("gc", "take, rm, gc")),
        ("by parent", "rm and gc", True),
        ("verify", "policy", True),
    ],
)
def test_everybody_else_may_run_at_any_storage_call(mine: str, other: str, encrypted: bool) -> None:
    start = repository_with_garbage(encrypted=encrypted)
    every = 1 if IS_SOAK else 5 if mine in ("gc", "take", "by parent") else 2 * EVERY.get(mine, 3)
    for at in range(0, points(start, MINE[mine]), every):
        backend = copied(start)
        MINE[mine](reopen(Points(backend, at, before=partial(run, other, backend))))
        found = everything_is_well(backend)
        # In an encrypted repository a take looks once more after its commit, and what it committed may go before that.
        assert encrypted or ("new" in found) == (mine in COMMITS)
        nothing_is_left_behind(backend)


def sweep(repository: Repository) -> None:
    gc(repository)


@pytest.mark.parametrize("first", ["take", "by parent", "gc", "read"])
def test_two_others_may_run_one_inside_the_other(first: str) -> None:
    """A gc begins inside another operation, and within that gc somebody else takes."""
    start = repository_with_garbage()
    settings = reopen(start).settings
    for at in range(0, points(start, MINE[first]), 1 if IS_SOAK else 11):
        for within in range(0, points(start, collecting), 1 if IS_SOAK else 13):
            backend = copied(start)
            innermost = Repository(Points(backend, within, before=partial(run, "take", backend)), settings)
            MINE[first](reopen(Points(backend, at, before=partial(sweep, innermost))))
            everything_is_well(backend)
            nothing_is_left_behind(backend)
