"""Snapshots that name those before them: what is taken away or put back by somebody without a key is missed."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.backends.memory import MemoryBackend
from snapstore.operations.forget import pin, rm
from snapstore.operations.verify import verify
from snapstore.repository import Repository, Snapshot
from snapstore.repository.sequence import gaps, heads
from snapstore.seal import Cost

START = datetime(2026, 1, 1, tzinfo=UTC)
CHEAP = Cost(memory_kib=8, passes=1, lanes=1)


def fresh() -> tuple[MemoryBackend, Repository]:
    backend = MemoryBackend()
    return backend, Repository.init(backend, passphrase=b"word", cost=CHEAP)


def commit(repository: Repository) -> Snapshot:
    repository.snapshots()
    pending = repository.begin()
    days = sum(1 for _ in repository.backend.list("snapshots/"))
    return repository.commit(pending, Snapshot(pending.id, START + timedelta(days=days)))


def damaged(repository: Repository) -> list[str]:
    return [damage.object for damage in verify(repository).damaged]


def test_each_snapshot_names_the_last_ones_before_it() -> None:
    _, repository = fresh()
    first = commit(repository)
    second = commit(repository)
    pin(repository, second.id)
    third = commit(repository)
    assert (first.seen, second.seen, third.seen) == ({}, {first.id: 0}, {second.id: 1})
    assert heads(repository.snapshots()) == {third.id: 0}
    plain = Repository.init(MemoryBackend())
    commit(plain)
    assert commit(plain).seen == {}, "where everybody can forge it, it would say nothing"


def test_a_snapshot_deleted_behind_everybodys_back_is_missed() -> None:
    backend, repository = fresh()
    taken = [commit(repository) for _ in range(3)]
    backend.delete(taken[1].name)
    assert damaged(repository) == [taken[1].name]
    rm(repository, [taken[1].id], damaged=True)
    assert damaged(repository) == []
    backend.delete(taken[2].name)
    assert damaged(repository) == [], "nobody has seen the newest"


@given(st.lists(st.tuples(st.sampled_from(["take", "rm", "pin"]), st.integers(0, 20)), max_size=12))
def test_what_goes_by_right_is_not_missed_and_what_does_not_is(steps: list[tuple[str, int]]) -> None:
    _, repository = fresh()
    commit(repository)
    for what, number in steps:
        there = repository.snapshots()
        if what == "take" or not there:
            commit(repository)
        elif what == "rm":
            repository.remove(there[number % len(there)].id)
        else:
            tagged = partial(dataclasses.replace, tags=("a tag", str(number)))
            repository.change(there[number % len(there)].id, tagged)
    there = repository.snapshots()
    assert list(gaps(there)) == []
    last = {one.id for one in there} - {id_ for one in there for id_ in one.seen}
    for one in there:
        missed = [gap.id for gap in gaps([other for other in there if other is not one])]
        assert missed == ([] if one.id in last else [one.id])
        older = dataclasses.replace(one, version=one.version - 1)
        put_back = [gap.id for gap in gaps([older if other is one else other for other in there])]
        assert put_back == ([] if one.id in heads(there) else [one.id])


def test_a_snapshot_put_back_to_what_it_was_is_found() -> None:
    backend, repository = fresh()
    first = commit(repository)
    old = backend.get(first.name).data
    pin(repository, first.id)
    commit(repository)
    backend.delete(first.name)
    backend.put(first.name, [old])
    [damage] = verify(repository).damaged
    assert damage.object == first.name
    assert "version 1, and is version 0 again" in damage.reason


def test_a_removed_snapshot_put_back_is_found_where_it_had_seen_what_is_gone() -> None:
    backend, repository = fresh()
    first, second, third = (commit(repository) for _ in range(3))
    old = backend.get(third.name).data
    repository.remove(second.id)
    assert damaged(repository) == []
    backend.delete(third.name)
    backend.put(third.name, [old])
    assert damaged(repository) == [second.name], "the third is what it was before the second was removed"
    assert first.id in {one.id for one in repository.snapshots()}


def test_a_take_that_names_what_is_removed_meanwhile_is_told() -> None:
    backend, repository = fresh()
    first, second = commit(repository), commit(repository)
    stalled = repository
    stalled.snapshots()
    pending = stalled.begin()
    Repository.open(backend, b"word").remove(second.id)
    third = stalled.commit(pending, Snapshot(pending.id, START + timedelta(days=9)))
    assert third.seen == {first.id: 0}
    assert damaged(repository) == []


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_two_removals_one_after_the_other_close_both_gaps(order: list[int]) -> None:
    _, repository = fresh()
    taken = [commit(repository) for _ in range(4)]
    for at in order:
        repository.remove(taken[1 + at].id)
    assert damaged(repository) == []
    [_, last] = repository.snapshots()
    assert last.seen == {taken[0].id: 0}
