"""A copy holds what the snapshot holds, to the bit, whatever kinds of repository; what is there already is not sent."""

from __future__ import annotations

import dataclasses

import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.blobs.pack import object_name
from snapstore.digest import Kind
from snapstore.errors import Corrupt, Invalid, NotFound
from snapstore.operations.copy import copy
from snapstore.operations.forget import rm
from snapstore.operations.gc import gc
from snapstore.operations.verify import verify
from snapstore.repository import Repository, resolve
from tests.operations.sample import Rows, Take, init, objects, read, reopen, rows, take
from tests.operations.world import World

KINDS = [(False, False), (False, True), (True, False), (True, True)]
HELD = rows(range(400))


def pair(encrypted: bool, into_encrypted: bool) -> tuple[Repository, Repository]:
    return init(MemoryBackend(), encrypted=encrypted), init(MemoryBackend(), encrypted=into_encrypted)


def is_well(repository: Repository) -> None:
    assert verify(reopen(repository.backend), read_data=True).damaged == ()
    assert repository.pendings() == []


def changed(held: Rows) -> Rows:
    """A decay of a few rows, some new ones, some gone, and a very large text edited."""
    after = held | rows([3, 4, 900, 901], seed=2)
    del after[17]
    return after


def huge(held: Rows) -> Rows:
    text = bytes(range(256)) * 1200
    return held | {5: (text, *held[5][1:]), 6: (text[:100_000] + b"!" + text[100_000:], *held[6][1:])}


@pytest.mark.parametrize(("encrypted", "into_encrypted"), KINDS)
def test_a_copy_holds_the_same_rows_and_says_whose_copy_it_is(encrypted: bool, into_encrypted: bool) -> None:
    source, target = pair(encrypted, into_encrypted)
    held = huge(HELD)
    first = take(source, held, tags=("a",), description="first", host="here", pinned=True)
    second = take(source, changed(held), at=1)
    done = copy(source, target)
    assert [one.is_new for one in done] == [True, True]
    one, two = target.snapshots()
    assert read(target, one)["public.memories"] == held
    assert read(target, two)["public.memories"] == changed(held)
    for made, of in ((one, first), (two, second)):
        assert made.origin == source.origin_of(of)
        kept = ("time", "host", "tags", "description", "pinned", "safety", "version")
        assert [getattr(made, name) for name in kept] == [getattr(of, name) for name in kept]
    if not encrypted and not into_encrypted:
        assert [one.sources, two.sources] == [first.sources, second.sources]
    is_well(source)
    is_well(target)


@pytest.mark.parametrize(("encrypted", "into_encrypted"), KINDS)
def test_a_second_copy_writes_nothing(encrypted: bool, into_encrypted: bool) -> None:
    source, target = pair(encrypted, into_encrypted)
    take(source, HELD)
    copy(source, target)
    before = [objects(one.backend) for one in (source, target)]
    (again,) = copy(reopen(source.backend), reopen(target.backend))
    assert not again.is_new
    assert again.copy == target.snapshots()[0]
    assert [objects(one.backend) for one in (source, target)] == before


@pytest.mark.parametrize(("encrypted", "into_encrypted"), KINDS)
def test_of_a_later_snapshot_only_what_changed_is_read_and_sent(encrypted: bool, into_encrypted: bool) -> None:
    source, target = pair(encrypted, into_encrypted)
    held = rows(range(1800), elements=140)
    take(source, held)
    (whole,) = copy(source, target)
    take(source, held | rows([3, 1700], seed=2, elements=140), at=1)
    fresh = reopen(target.backend)
    _, more = copy(reopen(source.backend), fresh)
    assert more.is_new
    assert more.bytes_new < whole.bytes_new / 20
    assert more.bytes_read < whole.bytes_read / 10
    assert read(fresh, more.copy)["public.memories"][3] == rows([3], seed=2, elements=140)[3]
    is_well(target)


def test_between_plain_repositories_frames_are_carried_as_they_are() -> None:
    source, target = pair(False, False)
    snapshot = take(source, HELD)
    (done,) = copy(source, target)
    assert done.copy.sources == snapshot.sources
    packs = [
        sorted(
            (int(size), hash_.tobytes())
            for pack in repository.blobs.packs()
            for directory in [repository.blobs.directory(pack)]
            for size, hash_ in zip(directory.stored, directory.hashes, strict=True)
        )
        for repository in (source, target)
    ]
    assert packs[0] == packs[1]


def test_of_a_frame_that_is_needed_in_part_only_that_part_is_sent() -> None:
    source, target = pair(False, False)
    gone = take(source, HELD)
    take(source, {id_: HELD[id_] for id_ in range(100)}, at=1)
    rm(source, [gone.id])
    copy(source, target)
    assert gc(target).bytes_freed == 0
    assert sum(objects(target.backend, "packs/").values()) < sum(objects(source.backend, "packs/").values()) / 2
    is_well(target)


def test_a_copy_of_a_copy_is_known_for_what_it_is() -> None:
    first, second = pair(False, True)
    third = init(MemoryBackend(), encrypted=False)
    snapshot = take(first, HELD)
    copy(first, second)
    copy(second, third)
    assert third.snapshots()[0].origin == first.origin_of(snapshot)
    for source, target in ((first, third), (third, first), (second, first), (third, second)):
        assert [one.is_new for one in copy(source, target)] == [False]
    assert resolve(third.snapshots(), snapshot.id[:8]) == third.snapshots()[0]


def test_ids_are_those_of_the_repository_they_are_in() -> None:
    source, target = pair(False, False)
    first = take(source, HELD)
    second = take(source, changed(HELD), at=1, parent=first)
    second = source.change(second.id, lambda one: dataclasses.replace(one, parent=first.id))
    safety = Take(source)
    safety.write(HELD)
    safety.commit(at=2, safety=second.id, touched=tuple(safety.tables))
    copy(source, target)
    one, two, three = target.snapshots()
    assert two.parent == one.id
    assert three.safety == two.id
    assert three.touched == tuple(safety.tables)
    only = Repository.init(MemoryBackend())
    (alone,) = copy(source, only, source.snapshots()[2:])
    assert alone.copy.safety == second.id, "it is none that anybody asked for, wherever it is"
    is_well(only)


def test_what_just_lies_in_the_target_is_not_relied_on() -> None:
    """A crash may leave a node without its children; a copy looks at all that no committed snapshot vouches for."""
    source, target = pair(False, False)
    snapshot = take(source, HELD)
    index = {}
    for name in objects(source.backend, "index/"):
        for entry in source.blobs.segment(name.removeprefix("index/")).entries:
            index[entry["digest"].tobytes()] = Kind(int(entry["size"]) >> 28)
    with target.blobs.writer(bytes(16)) as writer:
        for name, kind in index.items():
            if kind in (Kind.NODE, Kind.TABLE):
                writer.put(kind, [name], [source.blobs.get(name)])
    (done,) = copy(source, target)
    assert done.copy.sources == snapshot.sources
    assert read(target, done.copy)["public.memories"] == HELD
    is_well(target)


@pytest.mark.parametrize("into_encrypted", [False, True])
def test_what_the_target_has_lost_is_sent_again(into_encrypted: bool) -> None:
    source, backend = init(MemoryBackend(), encrypted=False), MemoryBackend()
    target, held = init(backend, encrypted=into_encrypted), rows(range(400))
    first = take(source, held)
    copy(source, target)
    largest = max(target.blobs.packs(), key=lambda pack: pack.size_bytes)
    backend.delete(object_name(largest.name))
    take(source, held | rows([7], seed=1), at=1, parent=first)
    [_, second] = copy(source, reopen(backend))
    again = reopen(backend)
    assert read(again, second.copy)["public.memories"] == held | rows([7], seed=1)
    assert second.copy.id not in {id_ for one in verify(again).damaged for id_ in one.snapshots}


def test_a_copy_that_is_removed_while_others_are_copied_is_made_again() -> None:
    source, target = pair(False, True)
    first = take(source, rows(range(20)))
    [passed] = copy(source, target)
    second = take(source, rows(range(25)), at=1)

    def others(what: str, done: int, total: int | None, /) -> None:
        if (what, done) == ("copying snapshots", 1):  # it was passed over
            rm(reopen(target.backend), [passed.copy.id])
            gc(reopen(target.backend))

    again = copy(source, target, progress=others)
    assert [(one.snapshot.id, one.is_new) for one in again] == [(first.id, True), (second.id, True)]
    assert [read(target, one.copy) for one in again] == [read(source, first), read(source, second)]
    is_well(target)


def test_damage_is_not_carried_along() -> None:
    for into_encrypted in (False, True):
        source, target = pair(False, into_encrypted)
        take(source, HELD)
        name = max(objects(source.backend, "packs/"), key=lambda one: objects(source.backend, "packs/")[one])
        data = bytearray(source.backend.get(name).data)
        data[len(data) // 3] ^= 1
        source.backend.delete(name)
        source.backend.put(name, [data])
        with pytest.raises(Corrupt, match=name):
            copy(reopen(source.backend), target)
        assert target.snapshots() == []
        is_well(target)


def test_what_cannot_be_copied_is_refused() -> None:
    source, target = pair(False, False)
    snapshot = take(source, HELD)
    with pytest.raises(Invalid, match="itself"):
        copy(source, reopen(source.backend))
    rm(source, [snapshot.id])
    with pytest.raises(NotFound, match="removed"):
        copy(source, target, [snapshot])
    is_well(source)
    is_well(target)


@pytest.mark.parametrize("into_encrypted", [False, True])
def test_a_copy_of_a_few_changes_takes_few_requests(into_encrypted: bool) -> None:
    source, target = pair(False, into_encrypted)
    held = rows(range(2000), elements=140)
    take(source, held)
    copy(source, target)
    take(source, held | rows([3, 1700], seed=2, elements=140), at=1)
    calls = []
    for repository in (source, target):
        calls.append(RecordingBackend(repository.backend))
    copy(reopen(calls[0]), reopen(calls[1]))
    assert [len(one.calls) <= 24 for one in calls] == [True, True]


@pytest.mark.parametrize("into_encrypted", [False, True])
def test_the_next_take_goes_by_a_copy_and_its_hints(small_world: World, into_encrypted: bool) -> None:
    small_world.run(
        "CREATE TABLE memories (id int PRIMARY KEY, heat real, embedding real[]);"
        "ALTER TABLE memories ALTER COLUMN embedding SET STORAGE EXTERNAL;"
        "INSERT INTO memories SELECT n, 1, array_agg(n * m) FROM generate_series(1, 200) n, generate_series(1, 800) m "
        "GROUP BY n"
    )
    target = init(MemoryBackend(), encrypted=into_encrypted)
    there = World(target, small_world.url)
    small_world.take()
    copy(small_world.repository, target)
    small_world.run("UPDATE memories SET heat = 0.5 WHERE id < 9; UPDATE memories SET embedding = '{1}' WHERE id = 40")
    small_world.take()
    (_, done) = copy(small_world.repository, target)
    assert done.copy.sources[0].tables[0].hints is not None
    small_world.run("UPDATE memories SET heat = heat * 0.5")
    table = there.take().sources[0].tables[0]
    assert table.reading == "by stamps: 200 of 200 rows less 199 values"
    is_well(target)
    small_world.run("CREATE TABLE was AS TABLE memories; DELETE FROM memories WHERE id % 3 = 0")
    there.restore(there.repository.snapshots()[-1], tables=("public.memories",))
    assert small_world.value("SELECT count(*) FROM (TABLE was EXCEPT TABLE memories) x") == 0
