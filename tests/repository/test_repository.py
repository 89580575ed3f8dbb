"""A repository is made once, and a snapshot is committed by one swap or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from snapstore.backends import Entry
from snapstore.backends.memory import MemoryBackend
from snapstore.digest import Digest
from snapstore.errors import Conflict, Corrupt, Exists, Invalid, NotFound, Unavailable
from snapstore.repository import Pending, Repository, Snapshot, config, listing, tombstones
from snapstore.repository.listing import committed, evict_stale, pending, read_all
from snapstore.repository.manifest import encode
from snapstore.repository.snapshot import COMMITTED
from snapstore.seal import PLAIN

NOW = datetime(2026, 1, 31, tzinfo=UTC)
ROOT = Digest(b"r" * 32)


def fresh() -> Repository:
    return Repository.init(MemoryBackend())


def commit(repository: Repository, running: Pending, *, day: int = 0) -> Snapshot:
    return repository.commit(running, Snapshot(running.id, NOW + timedelta(days=day)))


def test_a_repository_is_made_once_and_in_an_empty_place() -> None:
    backend = MemoryBackend()
    with pytest.raises(NotFound, match="not a snapstore repository"):
        Repository.open(backend)
    made = Repository.init(backend)
    assert Repository.open(backend).settings == made.settings
    with pytest.raises(Exists, match="already"):
        Repository.init(backend)
    assert Repository.open(backend).settings == made.settings
    theirs = MemoryBackend()
    theirs.put("keys/production.pem", [b""])
    with pytest.raises(Invalid, match=r"production\.pem"):
        Repository.init(theirs)
    assert [entry.name for entry in theirs.list()] == ["keys/production.pem"]
    lost = MemoryBackend()
    commit(Repository.init(lost), Repository.open(lost).begin())
    lost.delete("config")
    with pytest.raises(Corrupt, match="config of memory is lost"):
        Repository.open(lost)
    other = MemoryBackend()
    other.put("somebody/elses", [b"file"])
    with pytest.raises(Invalid, match="not empty"):
        Repository.init(other)


def test_what_is_pending_is_no_snapshot_until_it_is_committed() -> None:
    repository = fresh()
    running = repository.begin(roots=[ROOT])
    assert repository.snapshots() == []
    (seen,) = repository.pendings()
    assert (seen.id, seen.roots) == (running.id, (ROOT,))
    snapshot = commit(repository, running)
    assert snapshot.state == "committed"
    assert [one.id for one in repository.snapshots()] == [running.id]
    assert repository.pendings() == []
    with pytest.raises(Conflict):
        commit(repository, running)
    repository.abandon(running)
    assert len(repository.snapshots()) == 1, "what is committed is not abandoned"


def test_what_was_abandoned_or_evicted_cannot_be_committed() -> None:
    repository = fresh()
    running = repository.begin()
    repository.abandon(running)
    repository.abandon(running)
    with pytest.raises(Conflict, match="nothing was committed"):
        commit(repository, running)
    assert repository.snapshots() == repository.pendings() == []


def test_snapshots_are_listed_by_time() -> None:
    repository = fresh()
    ids = [commit(repository, repository.begin(), day=day).id for day in (3, 1, 2)]
    assert [one.id for one in repository.snapshots()] == [ids[1], ids[2], ids[0]]


def test_changes_at_once_are_all_made() -> None:
    repository = fresh()
    snapshot = commit(repository, repository.begin())

    def tag(word: str, *, beside: str | None = None) -> None:
        todo = [beside] if beside else []

        def edit(one: Snapshot) -> Snapshot:
            if todo:
                tag(todo.pop())
            return dataclasses.replace(one, tags=(*one.tags, word))

        repository.change(snapshot.id, edit)

    tag("mine", beside="theirs")
    (changed,) = repository.snapshots()
    assert changed.tags == ("theirs", "mine")
    repository.remove(snapshot.id)
    with pytest.raises(NotFound):
        tag("late")
    with pytest.raises(NotFound):
        repository.remove(snapshot.id)


def test_an_unreadable_manifest_is_never_passed_over() -> None:
    backend = MemoryBackend()
    repository = Repository.init(backend)
    one, other = (commit(repository, repository.begin(), day=day) for day in (0, 1))
    data = backend.get(one.name).data
    for wrong in (data[:-1], backend.get(other.name).data):
        backend.delete(one.name)
        backend.put(one.name, [wrong])
        with pytest.raises(Corrupt, match=one.id) as caught:
            repository.snapshots()
        assert f"snap rm --damaged {one.id}" in caught.value.hint
        with pytest.raises(Corrupt, match=one.id):
            read_all(repository)


class Vanishing(MemoryBackend):
    """Objects that go right after they were listed."""

    def __init__(self) -> None:
        super().__init__()
        self.going: list[str] = []
        self.listings = 0

    def list(self, prefix: str = "") -> Iterator[Entry]:
        found = list(super().list(prefix))
        self.listings += prefix == "snapshots/"
        if prefix == "snapshots/" and self.going:
            self.delete(self.going.pop())
        return iter(found)


def test_a_listing_is_of_one_moment() -> None:
    backend = Vanishing()
    repository = Repository.init(backend)
    snapshots = [commit(repository, repository.begin(), day=day) for day in range(3)]
    running = repository.begin()
    backend.going = [snapshots[1].name]
    backend.listings = 0
    there = read_all(repository)
    assert [one.id for one in committed(there)] == [snapshots[0].id, snapshots[2].id]
    assert [one.id for one in pending(there)] == [running.id]
    assert backend.listings == 2, "listed again, as what began meanwhile may need what went"


def test_a_listing_in_pages_counts_when_nothing_changed_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A take begins in the page that was read, and its parent goes from the one that was not."""
    monkeypatch.setattr(listing, "_PAGE", 1)

    class Paged(MemoryBackend):
        def list(self, prefix: str = "") -> Iterator[Entry]:
            first = list(super().list(prefix))
            if prefix == "snapshots/" and first[-1].name == parent.name:
                self.put(begun.name, [encode(begun, PLAIN)])
                self.delete(parent.name)
                return iter(first[:-1])
            return iter(first)

    backend = Paged()
    parent, other, begun = (Snapshot(letter * 32, NOW) for letter in "fa0")
    for one in (parent, other):
        backend.put(one.name, [encode(dataclasses.replace(one, state=COMMITTED), PLAIN)])
    backend.put("config", [config.encode(config.plain(created="", program=""))])
    there = read_all(Repository.open(backend))
    assert [one.snapshot.id[0] for one in there] == ["0", "a"]


def test_a_listing_that_never_settles_is_unavailable() -> None:
    backend = Vanishing()
    repository = Repository.init(backend)
    backend.going = [commit(repository, repository.begin()).name for _ in range(30)]
    with pytest.raises(Unavailable, match="faster than they can be read"):
        read_all(repository)


def test_only_what_nobody_touched_for_so_long_is_evicted() -> None:
    repository = fresh()
    running = repository.begin()
    snapshot = commit(repository, repository.begin())
    there = read_all(repository)
    assert evict_stale(repository, there, stale_seconds=3600) == set()
    assert evict_stale(repository, there, stale_seconds=-1) == {running.id}
    assert evict_stale(repository, there, stale_seconds=-1) == set(), "it is gone"
    assert [one.id for one in repository.snapshots()] == [snapshot.id]
    assert repository.pendings() == []


def test_condemning_twice_and_forgetting_twice_is_once() -> None:
    backend = MemoryBackend()
    for _ in range(2):
        tombstones.put(backend, "ab" * 16, PLAIN)
    assert list(tombstones.listed(backend)) == ["ab" * 16]
    for _ in range(2):
        tombstones.remove(backend, "ab" * 16)
    assert list(tombstones.listed(backend)) == []
