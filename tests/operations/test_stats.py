"""Sizes are those of the blobs that a plain walk over every snapshot finds, and of what gc then really frees."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.backends.memory import MemoryBackend
from snapstore.digest import Digest
from snapstore.errors import NotFound
from snapstore.operations.forget import rm
from snapstore.operations.gc import gc
from snapstore.operations.marks import needed_by
from snapstore.operations.ownership import Amount
from snapstore.operations.stats import removal, stats
from snapstore.repository import Repository, Snapshot
from snapstore.tree.walk import children
from tests.operations.sample import Rows, rows, take

FIRST = rows(range(150))
edits = st.lists(st.tuples(st.sampled_from(["edit", "delete", "insert", "first"]), st.integers(0, 200)), max_size=4)


def made(repository: Repository, history: list[list[tuple[str, int]]]) -> list[Snapshot]:
    taken = [take(repository, FIRST)]
    held: Rows = dict(FIRST)
    for at, changes in enumerate(history, 1):
        for what, id_ in changes:
            if what == "first":
                held = dict(FIRST)
            elif what == "delete":
                held.pop(id_, None)
            else:
                held |= rows([id_ + 1000 * (what == "insert")], seed=at)
        taken.append(take(repository, held, at=at))
    return taken


def needed(repository: Repository, snapshot: Snapshot) -> dict[Digest, int]:
    """Every blob that the snapshot needs, and its size."""
    found: dict[Digest, int] = {}
    waiting = needed_by(snapshot)
    while waiting:
        child = waiting.pop()
        if child.digest not in found:
            data = repository.blobs.get(child.digest)
            found[child.digest] = len(data)
            waiting += [] if child.leaf else children(child, data)
    return found


def plain(amount: Amount) -> tuple[int, int]:
    return amount.blobs, amount.plain_bytes


@given(st.lists(edits, min_size=1, max_size=3), st.sets(st.integers(0, 3), min_size=1))
def test_what_each_snapshot_and_each_set_alone_needs_is_counted_to_the_byte(
    history: list[list[tuple[str, int]]], chosen: set[int]
) -> None:
    repository = Repository.init(MemoryBackend())
    taken = made(repository, history)
    walked = [needed(repository, snapshot) for snapshot in taken]
    times = Counter(name for one in walked for name in one)
    every = {name: size for one in walked for name, size in one.items()}
    found = stats(repository)
    assert [plain(one.unique) for one in found.snapshots] == [
        (len(own), sum(own.values()))
        for own in ({name: size for name, size in one.items() if times[name] == 1} for one in walked)
    ]
    assert plain(found.live) == (len(every), sum(every.values()))
    for parts in (found.tables, found.kinds):
        assert plain(sum(parts.values(), Amount())) == plain(found.live)
    assert plain(sum((one.first for one in found.snapshots), Amount())) == plain(found.live)
    assert found.alone_bytes == sum(sum(one.values()) for one in walked)
    going = [taken[at % len(taken)] for at in chosen]
    kept = {name for one, snapshot in zip(walked, taken, strict=True) if snapshot not in going for name in one}
    own = {name: size for name, size in every.items() if name not in kept}
    assert plain(removal(repository, going).unique) == (len(own), sum(own.values()))


def test_gc_frees_what_was_told_before() -> None:
    backend = MemoryBackend()
    repository = Repository.init(backend)
    first = take(repository, FIRST)
    for at in range(1, 4):
        take(repository, rows(range(1000 * at, 1000 * at + 60)), at=at)
    take(repository, FIRST | rows([500]), at=9)
    going = repository.snapshots()[1:4]
    told = removal(repository, going)
    assert told.garbage_bytes == 0
    rm(repository, [snapshot.id for snapshot in going])
    assert gc(repository).bytes_freed == told.freed_bytes > told.unique.stored_bytes > 0
    assert stats(repository).snapshots[0].snapshot.id == first.id


def test_a_repository_without_snapshots_has_no_size() -> None:
    found = stats(Repository.init(MemoryBackend()))
    assert (found.snapshots, plain(found.live), found.deduplication, found.compression) == ((), (0, 0), 0, 0)


def test_a_snapshot_that_cannot_be_read_is_named() -> None:
    backend = MemoryBackend()
    snapshot = take(Repository.init(backend), FIRST)
    for entry in list(backend.list("packs/")):
        backend.delete(entry.name)
    with pytest.raises(NotFound, match=f"the snapshot {snapshot.id[:8]} cannot be measured"):
        stats(Repository.open(backend))
