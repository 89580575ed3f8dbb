"""Files as they are found: logs, journals, folders that may not be written, and what is left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Conflict, Corrupt, Invalid, NotFound, Unavailable, Unsupported
from snapstore.operations.take import Request, take
from snapstore.repository import Repository
from snapstore.sources import Selection
from snapstore.sources.sqlite.connection import place_of
from snapstore.sources.sqlite.source import SqliteSource
from snapstore.sources.sqlite.target import SqliteTarget
from tests.sources.sqlite.agent import Agent

NOTES = "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO notes VALUES (1, 'one'), (2, 'two')"


def files(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder in which nothing may be written, for somebody who is not root."""
    modes = {one: one.stat().st_mode for one in (*folder.iterdir(), folder)}
    user = os.geteuid()
    for one, mode in modes.items():
        one.chmod(mode & ~0o222 | 0o555 if one.is_dir() else 0o444)
    parents = [one for one in folder.parents if one.stat().st_uid == user and not one.stat().st_mode & 0o001]
    for one in parents:
        one.chmod(one.stat().st_mode | 0o011)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for one, mode in modes.items():
            one.chmod(mode)


def test_rows_in_a_log_are_held_and_the_log_stays_as_it_was(agent: Agent, tmp_path: Path) -> None:
    agent.run("PRAGMA journal_mode = wal")
    agent.run(NOTES)
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for suffix in ("", "-wal"):  # what a crash leaves: a log, and nobody who holds it
        shutil.copy(f"{agent.place}{suffix}", crashed)
    before = files(crashed)
    other = Agent(crashed / "agent.db")
    assert [table.rows for table in other.take().sources[0].tables] == [2]
    after = files(crashed)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() <= {"agent.db-shm"}


def test_a_database_that_was_closed_has_no_log_afterwards(agent: Agent, tmp_path: Path) -> None:
    agent.run("PRAGMA journal_mode = wal")
    agent.run(NOTES)
    agent.stop()
    before = files(tmp_path)
    agent.take()
    assert files(tmp_path) == before


def test_an_open_application_keeps_its_log(agent: Agent, tmp_path: Path) -> None:
    agent.run("PRAGMA journal_mode = wal")
    agent.run(NOTES)
    before = files(tmp_path)
    agent.take()
    after = files(tmp_path)
    assert (after["agent.db"], after["agent.db-wal"]) == (before["agent.db"], before["agent.db-wal"])
    agent.run("INSERT INTO notes VALUES (3, 'three')")


def crash(place: Path) -> None:
    """Leave a transaction half written, with its journal."""
    script = (
        "import apsw, os, sys; c = apsw.Connection(sys.argv[1]); c.pragma('cache_size', 1); c.execute('BEGIN');"
        "c.execute(\"UPDATE notes SET body = body || 'torn'\"); c.cache_flush(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(place)], check=True)


def test_a_transaction_that_a_crash_cut_short_is_not_held(agent: Agent) -> None:
    agent.run(NOTES)
    agent.stop()
    whole = agent.place.read_bytes()
    crash(agent.place)
    assert agent.place.read_bytes() != whole
    snapshot = agent.take()
    assert agent.run("SELECT body FROM notes") == [("one",), ("two",)]
    agent.run("DELETE FROM notes")
    agent.restore(snapshot)
    assert agent.run("SELECT body FROM notes") == [("one",), ("two",)]


def test_a_folder_that_may_not_be_written_is_read_as_it_is(agent: Agent, tmp_path: Path) -> None:
    folder = tmp_path / "sealed"
    folder.mkdir()
    sealed = Agent(folder / "agent.db")
    sealed.run(NOTES)
    sealed.stop()
    crash(sealed.place)
    plain = Agent(folder / "plain.db")
    plain.run(NOTES)
    plain.stop()
    logged = Agent(folder / "logged.db")
    logged.run("PRAGMA journal_mode = wal")
    logged.run(NOTES)
    logged.stop()
    before = files(folder)
    with read_only(folder):
        for one in (sealed, plain, logged):
            assert [table.rows for table in one.take().sources[0].tables] == [2]
        with pytest.raises(Unavailable, match="cannot be"):
            plain.restore(plain.take(), recreate=True)
    assert files(folder) == before


def test_a_log_is_found_through_a_symbolic_link(agent: Agent, tmp_path: Path) -> None:
    folder = tmp_path / "sealed"
    folder.mkdir()
    real = Agent(folder / "real.db")
    real.run("PRAGMA journal_mode = wal")
    real.run(NOTES)
    agent.place.symlink_to(real.place)
    time.sleep(0.02)
    assert [table.rows for table in agent.take().sources[0].tables] == [2]
    real.run("INSERT INTO notes VALUES (3, 'three')")
    assert [table.rows for table in agent.take().sources[0].tables] == [3]
    before = {suffix: Path(f"{real.place}{suffix}").read_bytes() for suffix in ("", "-wal")}
    real.stop()
    Path(f"{real.place}-wal").unlink(missing_ok=True)
    for suffix, data in before.items():  # what a crash leaves, where nothing may be written
        Path(f"{real.place}{suffix}").write_bytes(data)
    with read_only(folder):
        assert [table.rows for table in agent.take().sources[0].tables] == [3]
    assert files(folder) == {f"real.db{suffix}": data for suffix, data in before.items()}


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    junk = tmp_path / "junk.db"
    junk.write_bytes(b"no database at all " * 100)
    with pytest.raises(Corrupt, match=r"junk\.db"), SqliteSource(f"sqlite://{junk}").view(Selection()):
        pass
    with pytest.raises(NotFound, match=r"gone\.db"), SqliteSource(f"sqlite://{tmp_path}/gone.db").view(Selection()):
        pass
    with pytest.raises(Invalid, match="not a file"), SqliteSource(f"sqlite://{tmp_path}").view(Selection()):
        pass


def test_an_empty_file_is_an_empty_database(tmp_path: Path) -> None:
    agent = Agent(tmp_path / "empty.db")
    agent.place.touch()
    assert agent.take().sources[0].tables == ()


def test_urls_name_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert place_of("sqlite:///a/b.db") == place_of("sqlite:////a/b.db") == Path("/a/b.db")
    assert place_of("sqlite://./b.db") == place_of("sqlite://b.db") == tmp_path / "b.db"
    assert place_of("sqlite:///a/100%25.db") == Path("/a/100%.db")
    for wrong in ("sqlite://", "sqlite:///", "sqlite:///a.db?mode=ro", "file:///a.db"):
        with pytest.raises(Invalid):
            place_of(wrong)
    odd = tmp_path / "odd ? name %20 \udcff.db"
    assert place_of(SqliteSource(f"sqlite://{tmp_path}/odd %3F name %2520 %FF.db").url) == odd


def test_a_new_file_appears_whole_or_not_at_all(agent: Agent, tmp_path: Path) -> None:
    agent.run(NOTES)
    snapshot = agent.take()
    new = agent.at("new.db")
    with pytest.raises(KeyError), new.source.target(Selection()) as target:  # noqa: PT012  # the error must leave it
        target.begin({**_definition(agent)}, [])
        assert not new.place.exists()
        raise KeyError
    assert sorted(files(tmp_path)) == ["agent.db"]
    with pytest.raises(Conflict, match="meanwhile"), new.source.target(Selection()) as target:  # noqa: PT012  # the error must leave it
        target.begin({**_definition(agent)}, [])
        target.finish()
        new.place.write_bytes(b"somebody else's")
    assert files(tmp_path)["new.db"] == b"somebody else's"
    new.place.unlink()
    new.restore(snapshot)
    assert new.dump() == agent.dump()
    assert sorted(files(tmp_path)) == ["agent.db", "new.db"]


@pytest.mark.parametrize("suffix", ["-wal", "-journal", "-shm"])
def test_a_new_file_is_not_put_beside_a_log_that_is_left_over(agent: Agent, tmp_path: Path, suffix: str) -> None:
    agent.run(NOTES)
    snapshot = agent.take()
    new = agent.at("new.db")
    left = Path(f"{new.place}{suffix}")
    left.write_bytes(b"of another database")
    with pytest.raises(Conflict, match=f"new.db{suffix}") as raised:
        new.restore(snapshot)
    assert "move that file away" in raised.value.hint
    left.unlink()
    with pytest.raises(Conflict, match=f"new.db{suffix}"), new.source.target(Selection()) as target:  # noqa: PT012  # the error must leave it
        target.begin({**_definition(agent)}, [])
        target.finish()
        left.write_bytes(b"of another database")
    assert sorted(files(tmp_path)) == ["agent.db", left.name]
    assert left.read_bytes() == b"of another database"
    left.unlink()
    new.restore(snapshot)
    assert new.dump() == agent.dump()


def test_what_is_restored_into_a_file_is_on_the_disk_with_its_name(agent: Agent) -> None:
    agent.run(NOTES)
    with agent.source.target(Selection()) as target:
        assert isinstance(target, SqliteTarget)
        assert target._connection.pragma("synchronous", schema="main") == 3


def test_a_new_file_is_its_owners_alone(agent: Agent) -> None:
    agent.run(NOTES)
    agent.place.chmod(0o644)
    new = agent.at("new.db")
    new.restore(agent.take())
    assert new.place.stat().st_mode & 0o777 == 0o600


def _definition(agent: Agent) -> dict[str, object]:
    with agent.source.view(Selection()) as view:
        return dict(view.definition)


def test_a_restore_waits_for_a_writer_and_says_so(agent: Agent) -> None:
    agent.run(NOTES)
    snapshot = agent.take()
    agent.run("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="another program"):
        agent.restore(snapshot)
    agent.run("ROLLBACK")


WRITES = [
    "INSERT INTO notes (body) VALUES ('more')",
    "UPDATE notes SET body = body || '.'",
    "DELETE FROM notes WHERE id = (SELECT max(id) FROM notes)",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA wal_checkpoint(PASSIVE)",
    "PRAGMA journal_mode = delete",
    "PRAGMA journal_mode = wal",
    "VACUUM",
    "SELECT 1",
]


@given(steps=st.lists(st.sampled_from(WRITES), min_size=1, max_size=6))
@settings(
    max_examples=max(1, settings.default.max_examples // 2) if settings.default else 10,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_a_write_is_never_missed(agent: Agent, steps: list[str]) -> None:
    agent.repository = Repository.init(MemoryBackend())
    agent.run("DROP TABLE IF EXISTS notes")
    agent.run(NOTES)
    time.sleep(0.02)
    agent.take()
    for step in steps:
        agent.run(step)
        quick = agent.take()
        full = take(agent.repository, [Request("other", agent.source)], full=True).snapshot
        assert [t.root for t in quick.sources[0].tables] == [t.root for t in full.sources[0].tables]


def test_a_file_that_was_just_written_is_not_trusted(agent: Agent) -> None:
    agent.run(NOTES)
    patient = SqliteSource(f"sqlite://{agent.place}", settle_seconds=60)
    for expected in ("no earlier snapshot", "the file had just been written when the last snapshot was taken"):
        snapshot = take(agent.repository, [Request("agent", patient)]).snapshot
        assert snapshot.sources[0].tables[0].reading == f"in full: {expected}"
    time.sleep(0.02)
    agent.take()
    assert agent.take().sources[0].tables[0].reading == "by stamps: 0 of 2 rows"


def _secret(*values: apsw.SQLiteValue) -> apsw.SQLiteValue:
    return values[0]


def test_what_only_the_application_knows_is_told(agent: Agent) -> None:
    agent.run("SELECT 1")
    assert agent.application is not None
    agent.application.create_collation("mine", lambda one, other: (one > other) - (one < other))
    agent.application.create_scalar_function("secret", _secret, deterministic=True)
    agent.run("CREATE TABLE odd (name TEXT COLLATE mine PRIMARY KEY, v); INSERT INTO odd VALUES ('a', 1), ('b', 2)")
    agent.run("CREATE TABLE hidden (id INTEGER PRIMARY KEY, v); CREATE INDEX by_secret ON hidden (secret(v))")
    agent.run("INSERT INTO hidden VALUES (1, 1)")
    snapshot = agent.take()  # reading needs neither
    assert [table.rows for table in snapshot.sources[0].tables] == [2, 1]
    agent.run("DELETE FROM hidden; DELETE FROM odd WHERE name = 'a'")
    for table, word in (("hidden", "secret"), ("odd", "mine")):
        with pytest.raises(Unsupported, match=word) as raised:
            agent.restore(snapshot, tables=(table,))
        assert "application" in raised.value.hint
    assert agent.run("SELECT name FROM odd") == [("b",)]
