"""Work that goes on is not given up, however long it takes; what stalled is, and learns it when it wakes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from snapstore.backends import Entry
from snapstore.backends.memory import MemoryBackend
from snapstore.digest import Buffer, Kind
from snapstore.errors import Conflict, SnapstoreError
from snapstore.operations import heartbeat
from snapstore.operations.capture import silent
from snapstore.operations.gc import gc
from snapstore.operations.heartbeat import BEAT_SECONDS, Heartbeat
from snapstore.operations.take import Request
from snapstore.operations.take import take as run_take
from snapstore.operations.verify import verify
from snapstore.repository import Repository
from snapstore.sources.sqlite.source import SqliteSource
from tests.operations.crowd import copied, everything_is_well, nothing_is_left_behind, repository_with_garbage
from tests.operations.points import Faulty
from tests.operations.sample import Take, init, objects, reopen, rows, take

HOUR = 3600.0


class Slow(MemoryBackend):
    """A store with a clock of its own, days behind, so that it can be put forward."""

    def __init__(self) -> None:
        super().__init__()
        self.now = time.time() - 30 * 24 * HOUR
        self.written: dict[str, float] = {}

    def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
        tag = super().put(name, parts, unique=unique)
        self.written[name] = self.now
        return tag

    def replace(self, name: str, data: Buffer, *, tag: str) -> str:
        fresh = super().replace(name, data, tag=tag)
        self.written[name] = self.now
        return fresh

    def list(self, prefix: str = "") -> Iterator[Entry]:
        for entry in super().list(prefix):
            yield Entry(entry.name, entry.size_bytes, self.written.get(entry.name, self.now), entry.tag)


class Clock:
    """This machine's clock, put forward together with the store's."""

    def __init__(self, store: Slow) -> None:
        self.store = store

    def __call__(self) -> float:
        return self.store.now

    def forward(self, hours: float) -> None:
        self.store.now += hours * HOUR


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_take_of_three_days_is_not_given_up(encrypted: bool) -> None:
    store = Slow()
    init(store, encrypted=encrypted)
    clock = Clock(store)
    running = Take(reopen(store))
    heart = Heartbeat(running.repository, running.pending, clock=clock)
    progress = heart.progress(silent)
    for _ in range(4):
        clock.forward(18)
        progress("rows", 1, None)
        gc(reopen(store))
    running.pending = heart.pending
    held = rows(range(100))
    running.write(held)
    running.commit()
    assert len(reopen(store).snapshots()) == 1


def test_a_take_that_stalls_is_refused_at_its_next_beat_and_at_its_commit() -> None:
    store = Slow()
    repository = Repository.init(store)
    clock = Clock(store)
    running = Take(reopen(store))
    heart = Heartbeat(running.repository, running.pending, clock=clock)
    running.write(rows(range(100)))
    clock.forward(18)
    heart.beat()
    clock.forward(25)
    gc(reopen(store))
    assert repository.pendings() == []
    assert objects(store).keys() == {"config"}
    with pytest.raises(Conflict, match="gave it up; nothing was committed"):
        heart.beat()
    running.pending = heart.pending
    with pytest.raises(Conflict, match="gave it up; nothing was committed"):
        running.commit()
    repository.abandon(heart.pending)
    assert objects(store).keys() == {"config"}


def test_a_beat_between_a_look_and_an_eviction_saves_the_take() -> None:
    class Racing(Slow):
        beat: Heartbeat | None = None

        def replace(self, name: str, data: Buffer, *, tag: str) -> str:
            if self.beat is not None:
                heart, self.beat = self.beat, None
                heart.beat()
            return super().replace(name, data, tag=tag)

    store = Racing()
    Repository.init(store)
    clock = Clock(store)
    running = Take(reopen(store))
    heart = Heartbeat(running.repository, running.pending, clock=clock)
    running.write(rows(range(100)))
    clock.forward(25)
    store.beat = heart
    gc(reopen(store))
    assert [one.id for one in reopen(store).pendings()] == [running.pending.id]
    running.pending = heart.pending
    running.commit()
    assert verify(reopen(store), read_data=True).damaged == ()


def test_it_beats_once_in_ten_minutes_and_not_by_itself() -> None:
    store = Slow()
    repository = Repository.init(store)
    clock = Clock(store)
    first = repository.begin()
    heart = Heartbeat(repository, first, clock=clock)
    heart.beat()
    assert heart.pending == first
    clock.forward(BEAT_SECONDS / HOUR)
    heart.beat()
    second = heart.pending
    assert second.tag != first.tag
    heart.beat()
    assert heart.pending == second
    with pytest.raises(Conflict):
        repository.beat(first)


def test_what_ended_early_after_a_beat_is_not_stored_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its packs are in the index: a take that fails after hours is repeated at the cost of what it had not stored."""
    monkeypatch.setattr("snapstore.blobs.packer._VALUE_PACK_BYTES", 1 << 20)
    store = Slow()
    repository = Repository.init(store)
    clock = Clock(store)
    heart = Heartbeat(repository, repository.begin(), clock=clock)
    random = np.random.default_rng(1)
    values = [random.bytes(60_000) for _ in range(100)]
    names = [repository.blobs.naming.digest(value) for value in values]
    writer = repository.blobs.writer(bytes.fromhex(heart.pending.id))
    sink = heart.sink(writer)
    sink.put(Kind.VALUE, names[:30], values[:30])
    clock.forward(1)
    sink.put(Kind.VALUE, names[30:], values[30:])
    while len(objects(store, "packs/")) < 4:
        time.sleep(0.01)
    writer.abort()
    again = reopen(store)
    with again.blobs.writer(bytes(16)) as second:
        second.put(Kind.VALUE, names, values)
        assert second.close().plain_bytes < 6_000_000 - 900_000


def test_a_take_whose_every_call_beats_is_as_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.0)
    start = repository_with_garbage()

    def taking(repository: Repository) -> None:
        running = Take(repository)
        heart = Heartbeat(repository, running.pending)
        try:
            heart.beat()
            running.pending = heart.pending
            running.write(rows(range(90), elements=140))
            heart.beat()
            running.pending = heart.pending
            running.commit(at=5, description="old")
        except BaseException:
            repository.abandon(heart.pending)
            raise

    counting = Faulty(copied(start), -1)
    taking(reopen(counting))
    for fault in ({"is_done": True}, {"is_done": False}, {"is_full": True}):
        for at in range(counting.calls):
            backend = copied(start)
            with suppress(SnapstoreError):
                taking(reopen(Faulty(backend, at, **fault)))
            everything_is_well(backend)
            nothing_is_left_behind(backend)


def test_verify_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Slow()
    repository = Repository.init(store)
    for at in range(4):
        take(repository, rows(range(40), seed=at), at=at)
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", -1.0)
    collected = []

    def day(what: str, done: int, total: int | None, /) -> None:
        store.now += 20 * HOUR
        collected.append(gc(reopen(store)).waiting)

    assert verify(reopen(store), read_data=True, progress=day).damaged == ()
    assert len(collected) > 4
    assert repository.pendings() == []


def sqlite_request(folder: Path) -> Request:
    file = folder / "memory.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, said TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, f"memory {n} " * 60) for n in range(3000)])
        connection.commit()
    return Request("memory", SqliteSource(f"sqlite:///{file}"))


def test_a_real_take_beats_and_one_that_stalled_is_refused_and_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", -1.0)
    request = sqlite_request(tmp_path)
    store = Slow()
    Repository.init(store)
    collected = []

    def day(what: str, done: int, total: int | None, /) -> None:
        store.now += 20 * HOUR
        collected.append(gc(reopen(store)))

    first = run_take(reopen(store), [request], progress=day)
    assert len(collected) > 0
    assert [one.id for one in reopen(store).snapshots()] == [first.snapshot.id]

    def stall(what: str, done: int, total: int | None, /) -> None:
        store.now += 25 * HOUR
        gc(reopen(store))

    with pytest.raises(Conflict, match="gave it up; nothing was committed"):
        run_take(reopen(store), [request], full=True, progress=stall)
    assert reopen(store).pendings() == []
    again = run_take(reopen(store), [request], full=True)
    assert again.bytes_new == 0, "all of it was there"
    assert again.snapshot.sources[0].tables[0].root == first.snapshot.sources[0].tables[0].root
    assert verify(reopen(store), read_data=True).damaged == ()
