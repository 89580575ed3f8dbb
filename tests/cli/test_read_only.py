"""A repository in a folder that cannot be written: what is in it comes out, and what does not work names the way."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import Snap

pytestmark = pytest.mark.skipif(not hasattr(os, "seteuid"), reason="folders say otherwise who may write")

_NOBODY = 65534


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[Snap]:
    """In a folder of a user who is not root, as that user; `backups` is a repository that belongs to somebody else."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / "states"))
        snap = Snap(folder)
        with sqlite3.connect("memory.db") as memory:
            memory.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
            memory.executemany("INSERT INTO notes VALUES (?, ?)", [(number, "said") for number in range(20)])
        memory.close()
        snap("init", "backups")
        snap("take", "sqlite://./memory.db", "-r", "backups")
        there = [folder / "backups", *(folder / "backups").rglob("*")]
        for path in there:
            path.chmod(0o555 if path.is_dir() else 0o444)
        for path in {folder, *folder.rglob("*")} - set(there):
            os.chown(path, _NOBODY if os.geteuid() == 0 else -1, -1)
        own = os.geteuid()
        if own == 0:
            os.seteuid(_NOBODY)
        try:
            yield snap
        finally:
            os.seteuid(own)
            for path in there:
                path.chmod(0o755)


def notes() -> int:
    memory = sqlite3.connect("memory.db")
    [(count,)] = memory.execute("SELECT count(*) FROM notes").fetchall()
    memory.close()
    return int(count)


def test_a_folder_that_may_only_be_read_is_verified_copied_and_restored_from_the_copy(reader: Snap) -> None:
    told = reader("verify", "--read-data", "-r", "backups")
    assert "no damage" in told.stdout
    assert "nothing may be written" in told.stderr
    assert reader.json("verify", "-r", "backups")["protected"] is False
    memory = sqlite3.connect("memory.db")
    memory.execute("DELETE FROM notes WHERE id > 10")
    memory.commit()
    memory.close()
    dry = reader("restore", "latest", "--dry-run", "-r", "backups")
    assert "snap copy" in dry.stderr
    assert "--plan" not in dry.stdout, "that would fail"
    refused = reader.error("restore", "latest", "-r", "backups", code=1)
    assert refused["code"] == "denied"
    assert "snap copy" in refused["hint"]
    assert notes() == 11
    reader("init", "own")
    assert "nothing may be written" in reader("copy", "latest", "--from", "backups", "--to", "own").stderr
    reader("restore", "latest", "--to", "sqlite://./memory.db", "-r", "own")
    assert notes() == 20
    reader("verify", "-r", "own")
