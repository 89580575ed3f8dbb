"""What is damaged is healed to the bit wherever its bytes may still be had, and what is not is cut off by name."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

import pytest

from snapstore.backends import Backend
from snapstore.backends.directory import DirectoryBackend
from snapstore.backends.memory import MemoryBackend
from snapstore.blobs.pack import object_name
from snapstore.digest import Digest, Kind
from snapstore.errors import Corrupt, Invalid, NotFound, SnapstoreError
from snapstore.operations.copy import copy
from snapstore.operations.cut import TAG, cut, plan_cut
from snapstore.operations.forget import rm
from snapstore.operations.gc import gc
from snapstore.operations.heal import heal
from snapstore.operations.remedies import FromRepository, FromSource
from snapstore.operations.repair_index import repair_index
from snapstore.operations.undo import undo_ask
from snapstore.operations.verify import verify
from snapstore.repository import Repository, Snapshot, resolve
from tests.operations.crowd import copied
from tests.operations.cut import Cut
from tests.operations.disk import Disk
from tests.operations.points import WAYS, Points, calls_to_fail
from tests.operations.sample import MEMORIES, Take, init, objects, read, reopen, rows, take
from tests.operations.world import World
from tests.soak import IS_SOAK
from tests.sources.files.memory import Memory
from tests.sources.sqlite.agent import Agent

HELD = rows(range(120))
STEPS = 8 if IS_SOAK else 2
LATER = HELD | rows([7, 8, 90], seed=1)


def change(backend: Backend, name: str, data: bytes | bytearray | None) -> None:
    """Behind everybody's back; None takes it away."""
    backend.delete(name)
    if data is not None:
        backend.put(name, [data])


def flip(backend: Backend, name: str, at: int) -> None:
    data = bytearray(backend.get(name).data)
    data[at] ^= 0x10
    change(backend, name, data)


def small(*, encrypted: bool = False) -> tuple[Repository, MemoryBackend]:
    backend = MemoryBackend()
    repository = init(backend, encrypted=encrypted)
    first = take(repository, HELD)
    take(repository, LATER, at=1, parent=first)
    return repository, backend


def is_whole(backend: MemoryBackend) -> None:
    repository = reopen(backend)
    assert verify(repository, read_data=True).damaged == ()
    assert [read(repository, one)["public.memories"] for one in repository.snapshots()] == [HELD, LATER]
    assert repository.pendings() == []


def no_index(backend: MemoryBackend) -> None:
    for name in objects(backend, "index/"):
        backend.delete(name)


INDEX_DAMAGE: dict[str, Callable[[MemoryBackend], None]] = {
    "a flipped bit": lambda backend: flip(backend, next(iter(objects(backend, "index/"))), 100),
    "cut short": lambda backend: change(
        backend, name := next(iter(objects(backend, "index/"))), backend.get(name).data[:30]
    ),
    "nothing left": no_index,
}


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("what", INDEX_DAMAGE)
def test_an_index_is_rebuilt_from_packs(what: str, encrypted: bool) -> None:
    _, backend = small(encrypted=encrypted)
    INDEX_DAMAGE[what](backend)
    assert verify(reopen(backend)).damaged
    repaired = repair_index(reopen(backend))
    assert repaired.is_new
    is_whole(backend)


def test_an_index_that_lies_is_rebuilt() -> None:
    repository, backend = small()
    one, other = list(objects(backend, "index/"))
    segment = repository.blobs.segment(one.removeprefix("index/"))
    entries = segment.entries.copy()
    entries["place"] = 0
    backend.delete(one)
    repository.blobs.put_segment(dataclasses.replace(segment, entries=entries))
    repaired = repair_index(reopen(backend))
    assert len(repaired.segments) == 1
    assert "are where they are not" in next(iter(repaired.segments.values()))
    assert other not in objects(backend)
    is_whole(backend)


def test_a_sound_repository_is_left_alone() -> None:
    repository, backend = small()
    before = {name: backend.get(name).data for name in objects(backend)}
    assert not repair_index(repository).is_new
    healed = heal(repository)
    assert (healed.damaged, healed.healed, healed.left, healed.condemned) == ((), (), (), ())
    assert {name: backend.get(name).data for name in objects(backend)} == before


@pytest.mark.parametrize(("encrypted", "of_encrypted"), [(False, True), (True, False)])
def test_every_damaged_byte_of_a_pack_is_healed_from_a_copy(encrypted: bool, of_encrypted: bool) -> None:
    repository, sound = small(encrypted=encrypted)
    other = init(MemoryBackend(), encrypted=of_encrypted)
    copy(repository, other)
    for name, size in objects(sound, "packs/").items():
        for at in range(0, size, max(1, size // STEPS)):
            backend = copied(sound)
            flip(backend, name, at)
            assert verify(reopen(backend), read_data=True).damaged
            healed = heal(reopen(backend), [FromRepository(reopen(other.backend))])
            assert healed.left == (), (name, at)
            assert healed.condemned == (name.rpartition("/")[2],)
            again = verify(reopen(backend), read_data=True)
            assert (again.damaged, bool(again.harmless)) == ((), True), (name, at)
            gc(reopen(backend))
            assert name not in objects(backend)
            is_whole(backend)
    assert other.pendings() == []


def test_a_pack_that_is_lost_is_healed_from_a_copy() -> None:
    repository, sound = small()
    for of_encrypted in (False, True):
        other = init(MemoryBackend(), encrypted=of_encrypted)
        copy(repository, other)
        for name in objects(sound, "packs/"):
            backend = copied(sound)
            change(backend, name, None)
            healed = heal(reopen(backend), [FromRepository(other)])
            assert healed.healed
            assert healed.left == ()
            is_whole(backend)


def test_a_copy_in_another_pack_heals_though_no_index_knows_it() -> None:
    repository, backend = small()
    names = list(objects(backend, "packs/"))
    with repository.blobs.writer(bytes(16), anew=True) as writer:
        for pack in repository.blobs.packs():
            directory = repository.blobs.directory(pack)
            for digest, kind in zip(directory.digests, directory.kinds, strict=True):
                writer.put(Kind(kind), [Digest(digest.tobytes())], [repository.blobs.get(Digest(digest.tobytes()))])
    for name in writer.close().segments:
        backend.delete(f"index/{name}")
    for name in names:
        flip(backend, name, objects(backend)[name] // 3)
    healed = heal(reopen(backend))
    assert healed.left == ()
    gc(reopen(backend))
    is_whole(backend)


def test_what_no_place_has_stays_damaged_and_named() -> None:
    repository, backend = small()
    other = Repository.init(MemoryBackend())
    copy(repository, other, repository.snapshots()[:1])
    names = list(objects(backend, "packs/"))
    for name in names:
        change(backend, name, None)
    healed = heal(reopen(backend), [FromRepository(other)])
    assert healed.healed
    assert healed.left
    first, second = repository.snapshots()
    assert {own for one in healed.left for own in one.snapshots} == {second.id}
    assert read(reopen(backend), first)["public.memories"] == HELD
    with pytest.raises((Corrupt, NotFound)):
        read(reopen(backend), second)


def test_the_live_source_heals_what_is_still_as_it_was(small_world: World) -> None:
    small_world.run(
        "CREATE TABLE notes (id int PRIMARY KEY, body text);"
        "INSERT INTO notes SELECT n, repeat(md5(n::text), 40) FROM generate_series(1, 300) n"
    )
    before = small_world.take()
    backend = small_world.repository.backend
    for name in objects(backend, "packs/"):
        flip(backend, name, objects(backend)[name] // 2)
    repository = reopen(backend)
    healed = heal(repository, [FromSource("agents", small_world.source)])
    assert healed.healed
    assert healed.left == ()
    gc(repository)
    assert verify(reopen(backend), read_data=True).damaged == ()
    small_world.run("DELETE FROM notes")
    World(reopen(backend), small_world.url).restore(before)
    assert small_world.value("SELECT count(*) FROM notes WHERE body = repeat(md5(id::text), 40)") == 300


def test_what_stays_damaged_is_cut_off_by_name() -> None:
    """Wherever a byte is damaged: what is left is as it was, what is lost is named, and both are all there was."""
    repository, sound = small()
    wanted = {one.id: read(repository, one)["public.memories"] for one in repository.snapshots()}
    lost = 0
    for name, size in objects(sound, "packs/").items():
        for at in range(50, size, max(1, size // STEPS)):
            backend = copied(sound)
            flip(backend, name, at)
            broken = reopen(backend)
            for plan in plan_cut(broken):
                made = cut(broken, plan)
                (source,) = made.sources
                held = wanted[plan.snapshot.id]
                kept = read(broken, made).get("public.memories", {})
                assert kept.items() <= held.items()
                assert len(kept) + plan.rows == len(held)
                named = {int.from_bytes(one) - (1 << 31) for one in plan.lost[0].keys} if plan.lost else set()
                assert named <= held.keys() - kept.keys()
                assert len(named) == plan.rows or plan.lost[0].unnamed
                assert source.missing == tuple(one.words for one in plan.lost) + (
                    ("everything beside its tables: lost to damage",) if plan.objects else ()
                )
                assert made.tags == ("cut",)
                assert plan.snapshot.id[:8] in made.description
                assert resolve(broken.snapshots(), plan.snapshot.id) == plan.snapshot, "it stays"
                rm(broken, [plan.snapshot.id])
                lost += plan.rows
            assert plan_cut(broken) == []
            heal(broken)
            gc(broken)
            assert verify(reopen(backend), read_data=True).damaged == ()
    assert lost


@pytest.mark.parametrize("has_context", [False, True])
@pytest.mark.parametrize("kind", ["sqlite", "file"])
def test_rows_that_were_cut_off_are_read_again_though_nothing_changed(
    kind: str, has_context: bool, tmp_path: Path
) -> None:
    live: Agent | Memory
    if kind == "sqlite":
        live = Agent(tmp_path / "agent.db")
        live.run("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
        for number in range(4):
            live.run("INSERT INTO notes VALUES (?, ?)", (number, f"{number} " * 400))
        live.stop()
    else:
        live = Memory(tmp_path / "memory")
        for number in range(4):
            live.write(f"note {number}", f"{number} " * 400)
    repository, backend = live.repository, live.repository.backend
    time.sleep(0.05)
    live.take()
    assert isinstance(backend, MemoryBackend)
    [*packs] = [one for one in repository.blobs.packs() if Kind.VALUE in repository.blobs.directory(one).kinds]
    flip(backend, object_name(packs[0].name), 60)
    whole = repository.snapshots()[0]
    [plan] = plan_cut(reopen(backend))
    made = cut(reopen(backend), plan)
    assert plan.rows
    if has_context:  # as earlier versions made them
        context = whole.sources[0].context
        repository.change(
            made.id,
            lambda one: dataclasses.replace(one, sources=(dataclasses.replace(one.sources[0], context=context),)),
        )
    rm(reopen(backend), [whole.id])
    live.repository = reopen(backend)
    live.take()
    [again] = [one for one in live.repository.snapshots() if one.id != made.id]
    assert [table.root for table in again.sources[0].tables] == [table.root for table in whole.sources[0].tables]
    assert not any(one.snapshots for one in verify(reopen(backend), snapshots=[again], read_data=True).damaged)


def test_hints_that_are_lost_are_dropped_and_nothing_else() -> None:
    repository, backend = small()
    before = set(objects(backend, "packs/"))
    taking = Take(repository)
    taking.write(rows(range(300, 420), elements=2))
    (hints,) = taking.tables
    repository.abandon(taking.pending)
    _, second = repository.snapshots()

    def hinted(snapshot: Snapshot) -> Snapshot:
        (source,) = snapshot.sources
        tables = (dataclasses.replace(source.tables[0], hints=hints.root),)
        return dataclasses.replace(snapshot, sources=(dataclasses.replace(source, tables=tables),))

    repository.change(second.id, hinted)
    for name in objects(backend, "packs/").keys() - before:
        flip(backend, name, objects(backend)[name] // 3)
    assert verify(reopen(backend), read_data=True).damaged
    healed = heal(reopen(backend))
    assert (healed.left, healed.hints_dropped) == ((), 1)
    gc(reopen(backend))
    is_whole(backend)


def test_lost_keys_of_a_restore_are_told_with_the_safety_snapshot_that_is_cut() -> None:
    repository, backend = small()
    keys_alone = dataclasses.replace(MEMORIES, columns=())
    before = set(objects(backend, "packs/"))
    safety = Take(repository)
    safety.write(rows(range(900)), table=keys_alone)
    lost = objects(backend, "packs/").keys() - before
    touched = tuple(safety.tables)
    safety.tables.clear()
    safety.write(HELD)
    safety.commit(at=3, safety=repository.snapshots()[0].id, touched=touched)
    for name in lost:
        change(backend, name, None)
    (plan,) = plan_cut(reopen(backend))
    assert plan.rows == 0
    made = cut(reopen(backend), plan)
    assert "touched" in made.sources[0].missing[0]
    assert read(reopen(backend), made)["public.memories"] == HELD
    assert sum(table.rows for table in made.touched) == 900 - sum(one.rows for one in plan.lost)
    own = dataclasses.replace(made.sources[0], selection={"mode": "exact", "recreated": []})
    without = dataclasses.replace(made, sources=(own,), touched=())
    with pytest.raises(Invalid, match="lost to damage"):
        undo_ask(reopen(backend), without)


def broken() -> tuple[MemoryBackend, MemoryBackend]:
    """A repository whose index and largest pack are damaged, and one that has copies of its snapshots."""
    repository, backend = small()
    other = init(MemoryBackend(), encrypted=True)
    copy(repository, other)
    flip(backend, next(iter(objects(backend, "index/"))), 100)
    name = max(objects(backend, "packs/"), key=objects(backend).__getitem__)
    flip(backend, name, objects(backend)[name] // 3)
    assert isinstance(other.backend, MemoryBackend)
    return backend, other.backend


def mend(backend: Backend, other: Backend) -> None:
    """All of a repair: what can be healed, and what cannot cut off."""
    heal(reopen(backend), [FromRepository(reopen(other))])
    gc(reopen(backend))


def cut_off(backend: Backend, other: Backend) -> None:
    repository = reopen(backend)
    repair_index(repository)
    for plan in plan_cut(repository):
        cut(repository, plan)


def undamaged(backend: Backend) -> set[str]:
    """The snapshots that can be read whole."""
    repository, whole = reopen(backend), set()
    for snapshot in repository.snapshots():
        with suppress(Corrupt, NotFound):
            read(repository, snapshot)
            whole.add(snapshot.id)
    return whole


@pytest.mark.parametrize("mending", [mend, cut_off])
@pytest.mark.parametrize("fault", WAYS)
def test_a_repair_may_die_at_any_call_and_is_done_by_the_next(
    fault: str, mending: Callable[[Backend, Backend], None]
) -> None:
    start, other = broken()
    calls = calls_to_fail(fault, lambda backend: mending(backend, copied(other)), copied(start))
    first, every = (7, 83) if fault == "before" else (len(fault) % 4, 6)
    if IS_SOAK:
        first, every = 0, 1
    for at in range(first, calls, every):
        backend = copied(start)
        with suppress(SnapstoreError):
            mending(WAYS[fault](backend, at), copied(other))
        healed = undamaged(backend)
        with suppress(Corrupt):  # what is still damaged stops it
            gc(reopen(backend), stale_seconds=-1)
        assert healed <= undamaged(backend), "what was healed stays healed"
        # Whatever was made of it, a repair makes it whole; those that were cut say what they lack, and read well.
        mend(backend, other)
        assert gc(reopen(backend), stale_seconds=-1).waiting == ()
        repository = reopen(backend)
        snapshots = repository.snapshots()
        assert [read(repository, one)["public.memories"] for one in snapshots if "cut" not in one.tags] == [HELD, LATER]
        assert verify(repository, read_data=True).damaged == ()
        assert repository.pendings() == []


@pytest.mark.parametrize("mending", [mend, cut_off])
def test_the_power_may_fail_during_a_repair(mending: Callable[[Backend, Backend], None], tmp_path: Path) -> None:
    start, other = broken()
    folder = DirectoryBackend(tmp_path / "store", create=True)
    for name in objects(start):
        folder.put(name, [start.get(name).data])
    disk = Disk(tmp_path / "store")
    with disk.noted():
        mending(folder, copied(other))
    for number, cut_short in enumerate(Cut if IS_SOAK else (Cut.NAMES, Cut.CHANCE)):
        every = 1 if IS_SOAK else len(disk.steps)
        for left in disk.after_each(cut_short, Random(number), every=every, first=60):
            with suppress(Corrupt):  # as long as something is damaged
                gc(reopen(left.backend))
            mend(left.backend, other)
            gc(reopen(left.backend), stale_seconds=-1)
            repository = reopen(left.backend)
            whole = [read(repository, one)["public.memories"] for one in repository.snapshots() if TAG not in one.tags]
            assert whole == [HELD, LATER], left.what
            assert verify(repository, read_data=True).damaged == ()


@pytest.mark.parametrize("mending", [mend, cut_off])
def test_others_may_work_beside_a_repair(mending: Callable[[Backend, Backend], None]) -> None:
    start, other = broken()

    def others(backend: MemoryBackend) -> None:
        with suppress(SnapstoreError):
            take(reopen(backend), LATER, at=2, description="beside")
        with suppress(SnapstoreError):
            gc(reopen(backend))

    counting = Points(copied(start))
    mending(counting, other)
    for at in range(0, counting.calls, 5 if IS_SOAK else 67):
        backend = copied(start)
        mending(Points(backend, at, before=partial(others, backend)), other)
        mend(backend, other)
        gc(reopen(backend))
        repository = reopen(backend)
        whole = [read(repository, one)["public.memories"] for one in repository.snapshots() if "cut" not in one.tags]
        assert whole in ([HELD, LATER], [HELD, LATER, LATER])
        assert verify(repository, read_data=True).damaged == ()
