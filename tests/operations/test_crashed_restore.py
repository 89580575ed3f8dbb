"""A restore dies at any storage call: the database is as it was or as it should be, and what it had before is kept."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from snapstore.backends import Backend
from snapstore.backends.directory import DirectoryBackend
from snapstore.errors import SnapstoreError
from snapstore.operations.gc import gc
from snapstore.operations.verify import verify
from tests.operations.crowd import copied
from tests.operations.cut import Cut, Sync
from tests.operations.disk import Disk
from tests.operations.points import WAYS, calls_to_fail
from tests.operations.sample import reopen
from tests.soak import IS_SOAK
from tests.sources.sqlite.agent import Agent


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """A database that has changed since its snapshot was taken."""
    agent = Agent(tmp_path / "agent.db")
    agent.run("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
    for number in range(60):
        agent.run("INSERT INTO notes VALUES (?, ?)", (number, f"{number} " * 200))
    agent.take()
    agent.run("DELETE FROM notes WHERE id % 7 = 0")
    agent.run("UPDATE notes SET body = 'changed' WHERE id % 5 = 0")
    agent.run("INSERT INTO notes VALUES (100, 'new')")
    agent.stop()
    return agent


def restored(agent: Agent, backend: Backend, name: str) -> Agent:
    """The snapshot has been restored over a copy of the database, or as much of that as the backend let happen."""
    own = Agent(agent.place.with_name(name), reopen(agent.repository.backend))
    shutil.copy(agent.place, own.place)
    with suppress(SnapstoreError):
        own.repository = reopen(backend)
        own.restore(agent.repository.snapshots()[0])
    return own


def check(agent: Agent, own: Agent, backend: Backend, wanted: dict[str, Any]) -> bool:
    """That one of both states is live, and the other can be had; whether the restore was carried out."""
    repository = reopen(backend)
    assert verify(repository, read_data=True).damaged == ()
    first, *safety = repository.snapshots()
    before, live = agent.dump(), own.dump()
    assert live in (before, wanted)
    if live == wanted:
        [kept] = safety
        again = Agent(own.place, repository)
        again.restore(kept)
        assert again.dump() == before
    assert gc(repository, stale_seconds=-1).waiting == ()
    assert repository.pendings() == []
    assert first.id in [one.id for one in repository.snapshots()]
    return bool(live == wanted)


@pytest.mark.parametrize("way", WAYS)
def test_a_restore_may_die_at_any_storage_call(way: str, agent: Agent) -> None:
    start = agent.repository.backend
    wanted = restored(agent, copied(start), "wanted.db").dump()
    calls = calls_to_fail(way, lambda backend: restored(agent, backend, "counted.db"), copied(start))
    carried_out = 0
    for at in range(0, calls, 1 if IS_SOAK else 4 if way != "before" else 16):
        backend = copied(start)
        carried_out += check(agent, restored(agent, WAYS[way](backend, at), f"{at}.db"), backend, wanted)
    assert carried_out < calls


def test_the_power_may_fail_during_a_restore(agent: Agent, tmp_path: Path) -> None:
    """What was live is on the disk before the database is touched."""
    wanted = restored(agent, copied(agent.repository.backend), "wanted.db").dump()
    folder = DirectoryBackend(tmp_path / "store", create=True)
    for entry in agent.repository.backend.list():
        folder.put(entry.name, [agent.repository.backend.get(entry.name).data])
    disk = Disk(tmp_path / "store")
    with disk.noted():
        own = restored(agent, folder, "cut.db")
    assert own.dump() == wanted
    shutil.copy(own.place, done := own.place.with_name("done.db"))
    for number, cut in enumerate(Cut):
        every = 1 if IS_SOAK else 1 + len(disk.steps) // 3
        for left in disk.after_each(cut, Random(number), every=every, first=number):
            assert verify(reopen(left.backend), read_data=True).damaged == ()
        shutil.copy(done, own.place)
        assert check(agent, own, left.backend, wanted), "all that it was told to be durable is"


def test_a_new_file_is_there_whole_or_not_at_all_when_the_power_fails(agent: Agent, tmp_path: Path) -> None:
    """SQLite itself is told not to wait for the disk: whatever is durable is what we asked for."""
    snapshot = agent.repository.snapshots()[0]
    (tmp_path / "made").mkdir()
    made = Agent(tmp_path / "made" / "new.db", agent.repository)
    disk = Disk(tmp_path / "made")
    with disk.noted():
        made.restore(snapshot)
    whole = made.place.read_bytes()
    wanted = made.dump()
    for number, cut in enumerate(Cut):
        for left in disk.after_each(cut, Random(number), every=1 if IS_SOAK else len(disk.steps), first=number + 2):
            found = left.files.get("new.db")
            assert found in (None, whole), (cut, left.what)
            assert found or left.step < len(disk.steps), "what was said to be done is"
            again = Agent(left.lay(tmp_path / f"{number}-{left.step}") / "new.db", agent.repository)
            if found is None:
                again.restore(snapshot)
            assert again.dump() == wanted
    for without in Sync:
        *_, left = disk.after_each(Cut.NOTHING, Random(0), without=without)
        assert left.files.get("new.db") != whole
