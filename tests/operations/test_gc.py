"""Space comes back, and nothing that a snapshot needs goes: alone, and beside takes, readers and other collections."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from snapstore.backends import Entry
from snapstore.backends.directory import DirectoryBackend
from snapstore.backends.memory import MemoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.blobs.pack import object_name
from snapstore.digest import Buffer, Kind, digest
from snapstore.errors import Conflict, Corrupt, Invalid, NotFound, Unavailable, Unsupported
from snapstore.operations.forget import pin, rm, unpin
from snapstore.operations.gc import GcPlan, gc, plan_gc
from snapstore.operations.lost_packs import has_lost
from snapstore.operations.marks import DigestSet, Marks, needed_by
from snapstore.operations.retention import Policy
from snapstore.operations.verify import verify
from snapstore.repository import Repository
from tests.operations.points import Points
from tests.operations.sample import MEMORIES, START, Take, objects, read, rows, take

LATER = START + timedelta(days=9)
WRITES = ("put", "replace", "delete")


def fresh() -> Repository:
    return Repository.init(MemoryBackend())


def reopened(repository: Repository) -> Repository:
    return Repository.open(repository.backend)


def no_garbage(repository: Repository) -> None:
    """Nothing is condemned, and no pack is there for nothing."""
    assert not objects(repository.backend, "condemned/")
    assert plan_gc(repository).bytes_freed == 0


def test_gc_of_a_tidy_repository_writes_nothing() -> None:
    backend = RecordingBackend(MemoryBackend())
    repository = Repository.init(backend)
    held = rows(range(300))
    first = take(repository, held)
    take(repository, held | rows([5, 70], seed=1), at=1, parent=first)
    gc(repository)
    backend.reset()
    collected = gc(reopened(repository), Policy(keep_last=5))
    assert backend.count(*WRITES) == 0
    assert (collected.removed, collected.bytes_freed, collected.waiting) == ((), 0, ())
    assert len(collected.kept) == 2


def test_what_only_a_removed_snapshot_needed_comes_back() -> None:
    repository = fresh()
    held = rows(range(400))
    first = take(repository, held)
    empty = sum(objects(repository.backend, "packs/").values())
    second = take(repository, {id_: held[id_] for id_ in range(60)}, at=1)
    rm(repository, [first.id])
    before = sum(objects(repository.backend, "packs/").values())
    planned = plan_gc(repository)
    collected = gc(repository)
    after = sum(objects(repository.backend, "packs/").values())
    assert collected.bytes_freed == before - after
    assert abs(planned.bytes_freed - collected.bytes_freed) < empty // 20
    assert after < empty // 3
    assert read(reopened(repository), second)["public.memories"] == {id_: held[id_] for id_ in range(60)}
    no_garbage(repository)
    assert set(gc(repository).kept) == {second.id}


def test_gc_keeps_what_snapshots_share() -> None:
    repository = fresh()
    held = rows(range(500))
    snapshots = [take(repository, held | rows(range(n * 10), seed=1), at=n) for n in range(6)]
    whole = {snapshot.id: read(repository, snapshot) for snapshot in snapshots}
    rm(repository, [snapshots[0].id, snapshots[3].id, snapshots[5].id])
    gc(repository)
    for at in (1, 2, 4):
        assert read(reopened(repository), snapshots[at]) == whole[snapshots[at].id]
    no_garbage(repository)


def test_a_policy_removes_what_it_does_not_keep() -> None:
    repository = fresh()
    held = rows(range(100))
    snapshots = [take(repository, held | rows([n], seed=2), at=24 * n) for n in range(5)]
    now = START + timedelta(days=5)
    plan = plan_gc(repository, Policy(keep_last=2), now=now)
    assert plan.removed == tuple(snapshot.id for snapshot in snapshots[:3])
    assert [choice.keep for choice in plan.choices] == [False, False, False, True, True]
    assert len(repository.snapshots()) == 5, "a plan changes nothing"
    collected = gc(repository, plan, now=now)
    assert set(collected.removed) == set(plan.removed)
    assert [snapshot.id for snapshot in repository.snapshots()] == list(collected.kept) == list(plan.kept)
    with pytest.raises(Invalid, match="keeps nothing"):
        gc(repository, Policy())


def test_what_is_pinned_while_gc_reads_trees_stays() -> None:
    class Pinning(MemoryBackend):
        """Somebody pins the snapshot after it was listed, when the index is."""

        def list(self, prefix: str = "") -> Iterator[Entry]:
            if prefix == "index/" and is_gc:
                pin(repository, first.id)
            return super().list(prefix)

    is_gc = False
    repository = Repository.init(Pinning())
    first, _ = (take(repository, rows(range(at * 50, at * 50 + 50)), at=at) for at in range(2))
    is_gc = True
    with pytest.raises(Conflict, match="pinned meanwhile; nothing was removed"):
        gc(repository, Policy(keep_last=1))
    assert repository.has(first.id)
    assert verify(repository).damaged == ()


def test_a_plan_is_not_carried_out_on_what_was_pinned_since() -> None:
    repository = fresh()
    first, second = take(repository, rows(range(50))), take(repository, rows(range(50), seed=1), at=1)
    plan = plan_gc(repository, Policy(keep_last=1), now=START + timedelta(days=1))
    assert plan.removed == (first.id,)
    assert pin(repository, first.id).pinned
    with pytest.raises(Conflict, match="pinned since"):
        gc(repository, plan)
    assert len(repository.snapshots()) == 2
    with pytest.raises(Invalid, match="pinned"):
        rm(repository, [second.id, first.id])
    assert len(repository.snapshots()) == 2
    assert not unpin(repository, first.id).pinned
    assert gc(repository, plan).removed == (first.id,)


def test_rm_says_what_it_cannot_remove() -> None:
    repository = fresh()
    running = Take(repository)
    with pytest.raises(NotFound, match="no snapshot"):
        rm(repository, ["0" * 32])
    for change in (rm, lambda store, ids: pin(store, ids[0])):
        with pytest.raises(Invalid, match="not committed"):
            change(repository, [running.pending.id])
    running.write(rows(range(5)))
    snapshot = running.commit()
    data = repository.backend.get(snapshot.name).data
    repository.backend.delete(snapshot.name)
    repository.backend.put(snapshot.name, [data[:-1] + b"?"])
    with pytest.raises(Corrupt):
        rm(repository, [snapshot.id])
    assert rm(repository, [snapshot.id], damaged=True) == [snapshot.id]
    assert repository.snapshots() == []


def test_gc_stops_at_damage_before_it_removes_anything() -> None:
    sound = MemoryBackend()
    repository = Repository.init(sound)
    first = take(repository, rows(range(200)))
    second = take(repository, rows(range(200), seed=1), at=1)
    names = set(objects(sound))
    stopped = set()
    for name in names - {"config"}:
        for part in (0, 1, 2):
            backend = _copied(sound)
            data = bytearray(backend.get(name).data)
            data[part * (len(data) - 1) // 2] ^= 0x40
            backend.delete(name)
            backend.put(name, [data])
            try:
                gc(Repository.open(backend), Policy(keep_last=1), now=LATER)
            except (Corrupt, Unsupported):
                stopped.add(name)
                assert objects(backend).keys() == names, "nothing was removed or written"
            # What gc does not read, it does not delete if it is needed.
            if name in objects(backend):
                backend.delete(name)
                backend.put(name, [sound.get(name).data])
            assert read(Repository.open(backend), second) == read(repository, second)
    assert {first.name, second.name} < stopped
    assert any(name.startswith("packs/") for name in stopped)
    assert any(name.startswith("index/") for name in stopped)


def _copied(backend: MemoryBackend) -> MemoryBackend:
    copy = MemoryBackend()
    for entry in backend.list():
        copy.put(entry.name, [backend.get(entry.name).data])
    return copy


def test_a_running_take_keeps_its_packs_and_what_it_found_there() -> None:
    repository = fresh()
    held = rows(range(300))
    old = take(repository, held)
    running = Take(reopened(repository), parent=old)
    running.write(held | rows([3], seed=9))
    rm(repository, [old.id])
    before = objects(repository.backend, "packs/")
    collected = gc(reopened(repository))
    assert objects(repository.backend, "packs/") == before
    new = running.commit(at=1)
    assert read(reopened(repository), new)["public.memories"] == held | rows([3], seed=9)
    collected = gc(reopened(repository))
    assert not collected.waiting
    assert read(reopened(repository), new)["public.memories"] == held | rows([3], seed=9)
    no_garbage(repository)


def test_a_take_that_found_a_blob_in_a_pack_condemned_since_is_waited_for() -> None:
    """The trap: dedup against a pack, gc condemns and sweeps it, the take commits."""
    repository = fresh()
    held = rows(range(300))
    old = take(repository, held)
    rm(repository, [old.id])
    running = Take(reopened(repository))
    running.write(held)  # everything is in the old packs already
    collected = gc(reopened(repository))
    assert collected.waiting == (running.pending.id,)
    assert collected.packs_deleted == 0
    assert objects(repository.backend, "condemned/")
    new = running.commit(at=1)
    assert read(reopened(repository), new)["public.memories"] == held
    collected = gc(reopened(repository))
    assert collected.packs_rewritten == collected.packs_deleted > 0
    assert read(reopened(repository), new)["public.memories"] == held
    no_garbage(repository)


def test_a_take_that_begins_after_the_tombstones_relies_on_no_condemned_pack() -> None:
    repository = fresh()
    held = rows(range(300))
    old = take(repository, held)
    rm(repository, [old.id])
    stalled = Take(reopened(repository))
    assert gc(reopened(repository)).waiting == (stalled.pending.id,)
    late = Take(reopened(repository))
    late.write(held)
    # A gc that began while the late take runs waits for the stalled one; this one for both.
    assert set(gc(reopened(repository)).waiting) == {stalled.pending.id, late.pending.id}
    stalled.repository.abandon(stalled.pending)
    new = late.commit(at=1)
    collected = gc(reopened(repository))
    assert collected.packs_deleted > 0
    assert collected.packs_rewritten == 0, "the late take wrote everything again"
    assert read(reopened(repository), new)["public.memories"] == held
    no_garbage(repository)


def test_a_gc_that_waits_does_not_wait_for_what_began_after_its_tombstones() -> None:
    repository = fresh()
    held = rows(range(300))
    rm(repository, [take(repository, held).id])
    early = Take(reopened(repository))
    early.write(rows(range(20), seed=3))
    late: list[Take] = []

    def meanwhile(_: float) -> None:
        if not late:
            late.append(Take(reopened(repository)))
            late[0].write(held)
        else:
            early.repository.abandon(early.pending)

    collected = gc(reopened(repository), wait_seconds=60, sleep=meanwhile)
    assert collected.waiting == ()
    assert collected.packs_deleted > 0
    new = late[0].commit(at=1)
    assert read(reopened(repository), new)["public.memories"] == held


def test_what_commits_while_gc_waits_is_copied_before_its_packs_go() -> None:
    repository = fresh()
    held = rows(range(300))
    rm(repository, [take(repository, held).id])
    early = Take(reopened(repository))
    early.write(held)
    collected = gc(reopened(repository), wait_seconds=5, sleep=lambda _: (early.commit(at=1), None)[1])
    assert collected.packs_rewritten > 0
    (new,) = repository.snapshots()
    assert read(reopened(repository), new)["public.memories"] == held
    no_garbage(repository)


def test_what_a_reader_named_survives_its_removal() -> None:
    repository = fresh()
    held = rows(range(300))
    snapshot = take(repository, held)
    reader = reopened(repository)
    pending = reader.begin(roots=snapshot.digests())
    rm(repository, [snapshot.id])
    for _ in range(3):
        gc(reopened(repository))
    assert read(reader, snapshot)["public.memories"] == held
    assert read(reopened(repository), snapshot)["public.memories"] == held
    reader.abandon(pending)
    gc(repository)
    assert objects(repository.backend, "packs/") == {}


def test_a_pending_whose_parent_is_gone_does_not_stop_a_gc() -> None:
    repository = fresh()
    take(repository, rows(range(40)))
    pending = repository.begin(roots=[digest(b"swept before it began")])
    collected = gc(reopened(repository))
    assert collected.waiting == ()
    repository.abandon(pending)


def test_a_missing_blob_beneath_a_pending_does_not_hide_it_from_a_later_commit() -> None:
    """A parent half swept: the take writes the missing nodes again, and what is beneath them must be marked then."""
    repository = fresh()
    held = rows(range(400))
    snapshot = take(repository, held)
    roots = needed_by(snapshot)
    marks = Marks(repository.blobs)
    # The pending's walk meets a store in which every pack is gone.
    packs = {entry.name: repository.backend.get(entry.name).data for entry in repository.backend.list("packs/")}
    for name in packs:
        repository.backend.delete(name)
    repository.blobs.refresh()
    marks.add_pending(snapshot.digests())
    for name, data in packs.items():
        repository.backend.put(name, [data])
    repository.blobs.refresh()
    marks.add(roots)
    whole = Marks(repository.blobs)
    whole.add(roots)
    assert marks.count == whole.count


def test_a_snapshot_that_goes_while_it_is_read_hides_nothing_that_others_need() -> None:
    """What it shares with them was met, and not walked through, when the rest of it turned out to be gone."""
    sound = MemoryBackend()
    notes = dataclasses.replace(MEMORIES, name="public.notes")
    repository = Repository.init(sound)
    taken = []
    for at in range(3):
        running = Take(repository)
        running.write(rows(range(100)), table=notes)
        running.write(rows(range(200, 260), seed=at))
        taken.append(running.commit(at=at))
    _, gone, last = taken
    expected = read(repository, last)
    calls = Points(_copied(sound))
    gc(Repository.open(calls), Policy(keep_last=2), now=LATER)
    for at in range(calls.calls):
        backend = _copied(sound)

        def another_removes_it(backend: MemoryBackend = backend) -> None:
            rm(Repository.open(backend), [gone.id])
            gc(Repository.open(backend))

        gc(Repository.open(Points(backend, at, before=another_removes_it)), Policy(keep_last=2), now=LATER)
        gc(Repository.open(backend))
        assert read(Repository.open(backend), last) == expected


class Full(MemoryBackend):
    """A store with room for so many bytes, of which each object takes some beside its own."""

    room: int | None = None

    def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
        needed = sum(memoryview(part).nbytes for part in parts) + 500
        if self.room is not None and sum(objects(self).values()) + 500 * len(objects(self)) + needed > self.room:
            raise Unavailable("no space left")
        return super().put(name, parts, unique=unique)


@pytest.mark.parametrize("more", [12_000, 40_000])
def test_gc_gives_back_space_where_there_is_none(more: int) -> None:
    """For each tombstone, each copy and each new piece of the index there is room only after something went."""
    backend = Full()
    repository = Repository.init(backend)
    held = rows(range(200))
    for at in range(7):
        held |= rows(range(20 * at, 20 * at + 150), seed=at)
        take(repository, held, at=at)
    held |= rows(range(150, 300), seed=7)
    last = take(repository, held, at=7)
    backend.room = sum(objects(backend).values()) + 500 * len(objects(backend)) + more
    collected = gc(Repository.open(backend), Policy(keep_last=1), now=LATER)
    assert len(collected.removed) == 7
    assert collected.waiting == ()
    assert collected.packs_deleted >= 7
    no_garbage(Repository.open(backend))
    assert read(Repository.open(backend), last)["public.memories"] == held


def test_a_store_with_no_room_at_all_is_said_to_be_full_and_what_was_removed() -> None:
    backend = Full()
    repository = Repository.init(backend)
    for at in range(3):
        take(repository, rows(range(100), seed=at), at=at)
    backend.room = 0
    with pytest.raises(Unavailable, match="2 of the snapshots were removed before this happened: no space left"):
        gc(Repository.open(backend), Policy(keep_last=1), now=LATER)
    backend.room = None
    assert len(gc(Repository.open(backend)).kept) == 1
    no_garbage(Repository.open(backend))


def test_a_store_that_does_not_answer_is_not_taken_for_a_damaged_snapshot() -> None:
    sound = MemoryBackend()
    take(Repository.init(sound), rows(range(100)), at=0)

    def down() -> None:
        raise Unavailable("the server does not answer")

    reads = Points(_copied(sound))
    gc(Repository.open(reads))
    for at in range(1, reads.calls):
        with pytest.raises(Unavailable, match=r"^the server does not answer$"):
            gc(Repository.open(Points(_copied(sound), at, before=down)))


def test_a_damaged_index_is_not_taken_for_a_damaged_snapshot() -> None:
    repository = fresh()
    take(repository, rows(range(100)), at=0)
    (name,) = objects(repository.backend, "index/")
    data = bytearray(repository.backend.get(name).data)
    data[60] ^= 1
    repository.backend.delete(name)
    repository.backend.put(name, [data])
    with pytest.raises(Corrupt, match=f"^{name} is damaged") as caught:
        gc(reopened(repository))
    assert "snap repair index" in caught.value.hint


def test_gc_removes_nothing_where_a_needed_pack_is_lost() -> None:
    """Not even of values, which it does not read: an older snapshot may be what they can be healed from."""
    backend = MemoryBackend()
    repository = Repository.init(backend)
    taken = [take(repository, rows(range(100)), at=0)]
    (values,) = (
        pack for pack in repository.blobs.packs() if (repository.blobs.directory(pack).kinds == Kind.VALUE).all()
    )
    for at in range(1, 14):
        taken.append(take(repository, rows(range(100 + at)), at=at))
    other = take(repository, rows(range(500, 510)), at=20)
    held = backend.get(object_name(values.name)).data
    backend.delete(object_name(values.name))
    before = objects(backend)
    for refused in (gc, plan_gc):
        with pytest.raises(Corrupt, match=f"{values.name} is lost"):
            refused(reopened(repository), Policy(keep_last=3), now=LATER)
    assert objects(backend) == before
    again = reopened(repository)
    again.blobs.refresh()
    assert again.blobs.lost_packs == {values.name}, "the index is left as it tells of it"
    assert all(has_lost(again, snapshot) for snapshot in taken)
    assert not has_lost(again, other)

    back = _copied(backend)
    back.put(object_name(values.name), [held])
    assert len(gc(Repository.open(back), Policy(keep_last=3), now=LATER).kept) == 3
    rm(repository, [snapshot.id for snapshot in taken])
    assert gc(reopened(repository)).kept == (other.id,)
    no_garbage(reopened(repository))


class Aged(MemoryBackend):
    """A store by whose clock some objects have not been touched for a long time."""

    def __init__(self) -> None:
        super().__init__()
        self.aged: dict[str, float] = {}

    def list(self, prefix: str = "") -> Iterator[Entry]:
        for entry in super().list(prefix):
            yield Entry(entry.name, entry.size_bytes, entry.modified - self.aged.get(entry.name, 0.0))


def test_a_stalled_take_is_given_up_and_cannot_commit() -> None:
    backend = Aged()
    repository = Repository.init(backend)
    held = rows(range(200))
    stalled = Take(reopened(repository))
    stalled.write(held)
    backend.aged[stalled.pending.name] = 23 * 3600.0
    gc(reopened(repository))
    assert len(repository.pendings()) == 1, "a day is not over"
    backend.aged[stalled.pending.name] = 25 * 3600.0
    collected = gc(reopened(repository))
    assert collected.waiting == ()
    assert repository.pendings() == []
    assert objects(backend).keys() == {"config"}
    with pytest.raises(Conflict, match="nothing was committed"):
        stalled.commit()
    assert repository.snapshots() == []


def test_a_take_that_commits_at_the_moment_of_its_eviction_wins_or_loses_whole() -> None:
    class Racing(Aged):
        racer: Take | None = None

        def replace(self, name: str, data: bytes | bytearray | memoryview, *, tag: str) -> str:
            if self.racer is not None:
                racer, self.racer = self.racer, None
                racer.commit(at=1)
            return super().replace(name, data, tag=tag)

    backend = Racing()
    repository = Repository.init(backend)
    held = rows(range(200))
    stalled = Take(reopened(repository))
    stalled.write(held)
    backend.aged[stalled.pending.name] = 25 * 3600.0
    backend.racer = stalled
    gc(reopened(repository))
    (snapshot,) = repository.snapshots()
    assert read(reopened(repository), snapshot)["public.memories"] == held


def test_a_local_clock_gone_wrong_evicts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    repository = fresh()
    running = Take(reopened(repository))
    running.write(rows(range(50)))
    later = os.times().elapsed + 4e9
    with monkeypatch.context() as patched:
        # The store's clock stays right: it stamps objects with a time of its own.
        patched.setattr("snapstore.repository.listing.time.time", lambda: later)
        patched.setattr("snapstore.backends.memory.time.time", lambda: 1.7e9)
        entry = next(iter(repository.backend.list(running.pending.name)))
        patched.setattr("snapstore.backends.memory.time.time", lambda: entry.modified + 60)
        gc(reopened(repository))
    assert [one.id for one in repository.pendings()] == [running.pending.id]


def test_takes_side_by_side_leave_duplicates_that_go_in_time() -> None:
    repository = fresh()
    held = rows(range(400))
    twins = [Take(reopened(repository)) for _ in range(2)]
    for twin in twins:
        twin.repository.blobs.refresh()
    # Both look before either has written.
    writers = [twin.repository.blobs.writer(bytes.fromhex(twin.pending.id)) for twin in twins]
    for writer in writers:
        writer.abort()
    twins[0].write(held)
    lonely = sum(objects(repository.backend, "packs/").values())
    _without_looking(twins[1], held)
    snapshots = [twin.commit(at=at) for at, twin in enumerate(twins)]
    assert sum(objects(repository.backend, "packs/").values()) > 1.9 * lonely
    gc(repository)
    assert sum(objects(repository.backend, "packs/").values()) < 1.2 * lonely
    for snapshot in snapshots:
        assert read(reopened(repository), snapshot)["public.memories"] == held
    no_garbage(repository)


def _without_looking(running: Take, held: dict[int, tuple[bytes | None, ...]]) -> None:
    """Write as a take whose look at the index was too early."""
    elsewhere = Repository(MemoryBackend(), running.repository.settings)
    blind = Take(elsewhere)
    blind.write(held)
    for entry in elsewhere.backend.list():
        if not entry.name.startswith("snapshots/"):
            running.repository.backend.put(entry.name, [elsewhere.backend.get(entry.name).data])
    running.tables = blind.tables


def test_many_small_index_segments_become_one() -> None:
    backend = RecordingBackend(MemoryBackend())
    repository = Repository.init(backend)
    held = rows(range(60))
    snapshot = take(repository, held)
    for at in range(1, 20):
        held |= rows([at], seed=at + 1)
        snapshot = take(repository, held, at=at)
    assert len(objects(backend, "index/")) == 20
    gc(repository)
    assert len(objects(backend, "index/")) == 1
    assert read(reopened(repository), snapshot)["public.memories"] == held
    backend.reset()
    gc(reopened(repository))
    assert backend.count(*WRITES) == 0


def test_leftovers_of_crashed_writers_go_after_a_day(tmp_path: Path) -> None:
    backend = DirectoryBackend(tmp_path / "store", create=True)
    repository = Repository.init(backend)
    snapshot = take(repository, rows(range(30)))
    folder = tmp_path / "store" / ".tmp"
    folder.mkdir(exist_ok=True)
    for name, age in (("old", 30 * 3600), ("young", 3600)):
        (folder / name).write_bytes(b"x" * 100)
        os.utime(folder / name, (0, (folder / name).stat().st_mtime - age))
    assert gc(repository).bytes_freed == 100
    assert [path.name for path in folder.iterdir()] == ["young"]
    assert read(repository, snapshot)["public.memories"] == rows(range(30))


def test_nodes_that_snapshots_share_are_read_once() -> None:
    backend = RecordingBackend(MemoryBackend())
    repository = Repository.init(backend)
    held = rows(range(3000), elements=2)
    take(repository, held)
    backend.reset()
    plan_gc(reopened(repository))
    once = backend.count("get_range", prefix="packs/")
    for at in range(1, 6):
        take(repository, held, at=at)  # nothing new but the manifest
    backend.reset()
    assert isinstance(plan_gc(reopened(repository)), GcPlan)
    assert backend.count("get_range", prefix="packs/") == once


def test_a_digest_set_is_a_set() -> None:
    random = np.random.default_rng(1)
    pool = random.integers(0, 256, (400, 32), dtype=np.uint8)
    pool[200:300, :8] = pool[0, :8]  # many with the same first bytes
    held, model = DigestSet(), set[bytes]()
    for _ in range(200):
        rows_ = pool[random.integers(0, len(pool), int(random.integers(0, 30)))]
        expected = []
        for row in rows_:
            expected.append(row.tobytes() not in model)
            model.add(row.tobytes())
        assert held.add(rows_).tolist() == expected
        assert len(held) == len(model)
        assert held.contains(pool).tolist() == [row.tobytes() in model for row in pool]
