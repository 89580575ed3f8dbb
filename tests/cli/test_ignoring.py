"""`ignore-columns` in snap.toml and `--ignore-column`: said wherever something is compared, and never in silence."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from tests.cli.command import Snap


@pytest.fixture
def agents(snap: Snap, folder: Path) -> apsw.Connection:
    """A file named in snap.toml whose memories count how often they were seen; one snapshot of it."""
    connection = apsw.Connection(str(folder / "agents.db"))
    connection.execute("CREATE TABLE memories (id INTEGER PRIMARY KEY, body, seen); CREATE TABLE log (line, seen)")
    connection.execute("INSERT INTO memories VALUES (1, 'one', 0), (2, 'two', 0)")
    (folder / "snap.toml").write_text(
        f"[sources.agents]\nurl = 'sqlite:///{folder}/agents.db'\nignore-columns = ['memories.seen']\n",
        encoding="utf-8",
    )
    snap("take")
    return connection


def test_what_is_not_compared_is_said_and_may_be_compared_all_the_same(snap: Snap, agents: apsw.Connection) -> None:
    agents.execute("UPDATE memories SET seen = 9")
    told = snap("status", "--exit-code")
    assert "no differences" in told.stdout
    assert "not compared: main.memories.seen" in told.stderr
    assert "seen 2" in snap("status", "--all-columns", "--exit-code", code=1).stdout
    tables = {one["name"]: one["ignored"] for one in snap.json("diff", "latest", "live")["tables"]}
    assert tables == {"main.memories": ["seen"], "main.log": []}
    assert snap.json("diff", "latest", "live", "--rows")["tables"][0]["rows"] == []
    restore = ("restore", "latest", "--conflict", "update")
    assert "not compared: main.memories.seen" in snap(*restore, "--dry-run").stdout
    assert "nothing to do" in snap(*restore).stdout
    snap(*restore, "--all-columns")
    assert list(agents.execute("SELECT seen FROM memories")) == [(0,), (0,)]
    agents.execute("UPDATE memories SET body = 'x', seen = 3")
    told = snap(*restore, "--ignore-column", "memories.body", "--dry-run")
    assert "nothing to do" in told.stdout
    agents.execute("DELETE FROM memories WHERE id = 2")
    told = snap(*restore, "--dry-run", "--all-columns")
    assert "--all-columns --plan" in told.stdout


def test_a_pattern_that_means_nothing_is_refused(snap: Snap, agents: apsw.Connection) -> None:
    for command in (["status"], ["restore", "latest", "--dry-run"]):
        assert "means no column" in snap.error(*command, "--ignore-column", "memories.seem", code=2)["message"]
        assert "contradict" in snap.error(*command, "--ignore-column", "a.b", "--all-columns", code=2)["message"]
