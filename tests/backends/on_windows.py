"""What must hold on Windows: run by `test_windows` in a process that takes itself for one there, and under Wine."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import apsw
import pytest

from snap_cli.main import _COMMANDS
from snapstore.backends import Backend
from snapstore.backends.directory import DirectoryBackend
from snapstore.operations.gc import gc
from snapstore.operations.verify import verify
from snapstore.repository import Repository
from tests.backends.contract import BackendContract
from tests.cli.command import Snap
from tests.operations.sample import read, rows, take


class TestDirectory(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return DirectoryBackend(tmp_path / "store", create=True)


def test_this_is_no_posix() -> None:
    assert sys.platform == "win32"
    assert not hasattr(os, "pread")
    with pytest.raises(ImportError):
        import fcntl  # noqa: F401


def test_a_repository_in_a_folder_is_taken_into_read_and_collected(tmp_path: Path) -> None:
    backend = DirectoryBackend(tmp_path / "store", create=True)
    repository = Repository.init(backend)
    held = rows(range(60), elements=140)
    first = take(repository, rows(range(100, 200)))
    second = take(repository, held, at=1)
    repository.remove(first.id)
    assert gc(repository).packs_deleted
    again = Repository.open(DirectoryBackend(tmp_path / "store"))
    assert read(again, second)["public.memories"] == held
    assert verify(again, read_data=True).damaged == ()
    assert os.listdir(tmp_path / "store" / ".tmp") == []


def test_what_is_open_for_a_moment_is_replaced_and_deleted_after_it(tmp_path: Path) -> None:
    backend = DirectoryBackend(tmp_path / "store", create=True)
    tag = backend.put("snapshots/a", [b"one"])
    held = open(tmp_path / "store" / "snapshots" / "a", "rb")  # noqa: SIM115  # as a scanner does
    threading.Timer(0.1, held.close).start()
    backend.replace("snapshots/a", b"two", tag=tag)
    held = open(tmp_path / "store" / "snapshots" / "a", "rb")  # noqa: SIM115
    threading.Timer(0.1, held.close).start()
    backend.delete("snapshots/a")
    assert list(backend.list()) == []


def test_leftovers_are_strays_unless_they_are_open(tmp_path: Path) -> None:
    backend = DirectoryBackend(tmp_path / "store", create=True)
    backend.put("config", [b"x"])
    (tmp_path / "store" / ".tmp" / "left").write_bytes(b"123")
    with open(tmp_path / "store" / ".tmp" / "written", "wb"):
        assert [entry.name for entry in backend.stray()] == [".tmp/left"]


def test_a_database_is_taken_and_restored_by_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    snap, database = Snap(tmp_path), tmp_path / "agent.db"
    change(database, "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
    change(database, "INSERT INTO notes VALUES (1, 'one'), (2, 'two')")
    snap("init")
    snap("take", f"sqlite://{database}")
    change(database, "DELETE FROM notes WHERE id = 1")
    assert "-1" in snap("diff", "latest", "live", "--trust").stdout
    snap("restore", "latest", "--trust", "--yes", "--on-error", "skip")
    assert change(database, "SELECT id, body FROM notes") == [(1, "one"), (2, "two")]
    assert not list(tmp_path.glob("failed-*"))
    snap("restore", "latest", "--trust", "--yes", "--to", f"sqlite://{tmp_path / 'new.db'}")
    assert change(tmp_path / "new.db", "SELECT id, body FROM notes") == [(1, "one"), (2, "two")]
    snap("verify", "--read-data")
    snap("verify", "--restore-test")
    snap("doctor")
    snap("schedule", "install", "--daily", "02:00", f"sqlite://{database}")
    snap("gc", "--keep-all")
    snap("bundle", "latest", "--output", "all.bundle")
    snap("init", "-r", "other")
    snap("unbundle", "all.bundle", "-r", "other")
    assert "Linux and macOS only" in snap.error("take", f"file://{tmp_path}", code=1)["message"]


@pytest.mark.skipif(os.name != "nt", reason="a process of its own does not take itself for one on Windows")
def test_takes_at_once_are_whole_and_one_that_is_killed_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    snap, database = Snap(tmp_path), tmp_path / "agent.db"
    change(database, "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
    snap("init")
    held = 0
    for round_, appears in enumerate((".tmp/*", "packs/*/*", "snapshots/*")):
        change(database, "DELETE FROM notes")
        change(
            database,
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
            f"INSERT INTO notes SELECT i, hex(randomblob(400)) || {round_} FROM n",
        )
        known = set((tmp_path / ".snapstore").glob(appears))
        killed = snap.start("take", str(database))
        while killed.poll() is None and set((tmp_path / ".snapstore").glob(appears)) == known:
            pass
        killed.kill()
        killed.communicate()
        is_told = killed.returncode == 0
        snap("verify", "--read-data")
        there = len(snap.json("list"))
        assert there == held + 1 if is_told else there in (held, held + 1)
        for one in [snap.start("take", str(database)) for _ in range(2)]:
            _, errors = one.communicate()
            assert one.returncode == 0, errors
        held = there + 2
    snap("verify", "--read-data")
    snap("gc", "--keep-all")
    assert len(snap.json("list")) == held
    change(database, "DELETE FROM notes")
    snap("restore", "latest", "--trust", "--yes")
    assert change(database, "SELECT count(*), min(substr(body, -1)) FROM notes") == [(20000, "2")]


@pytest.mark.parametrize("command", [*_COMMANDS])
def test_every_command_is_there(command: str, tmp_path: Path) -> None:
    Snap(tmp_path)(command, "--help")


def test_what_needs_another_system_says_so(tmp_path: Path) -> None:
    assert "Linux and macOS only" in Snap(tmp_path)("demo", code=1).stderr


def change(database: Path, statement: str) -> list[tuple[object, ...]]:
    connection = apsw.Connection(str(database))
    try:
        return list(connection.execute(statement))
    finally:
        connection.close()
