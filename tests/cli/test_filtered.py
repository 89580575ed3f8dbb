"""Takes of a part: memories chosen by what they are, and how every command says that the rest is not there."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from tests.cli.command import Snap

ROLES = """
[sources.agents.roles]
memory = "memories"
type = "kind"
heat = "heat"
owner = "user_id"
created = "created_at"
archived = "archived"
tags = "tags"
"""


@pytest.fixture
def agents(snap: Snap, folder: Path) -> apsw.Connection:
    """A file named in snap.toml with the roles of its columns."""
    connection = apsw.Connection(str(folder / "agents.db"))
    connection.execute(
        "CREATE TABLE memories (id INTEGER PRIMARY KEY, kind, heat REAL, user_id, created_at, archived, tags);"
        "INSERT INTO memories VALUES (1, 'fact', 0.9, 'ann', '2026-01-01', 0, 'a,b'),"
        " (2, 'event', 0.1, 'ann', '2026-01-02', 1, 'b'), (3, 'fact', 0.8, 'bob', '2026-01-03', 0, '');"
        "CREATE TABLE edges (a, b); INSERT INTO edges VALUES (1, 2)"
    )
    (folder / "snap.toml").write_text(
        f"[sources.agents]\nurl = 'sqlite:///{folder}/agents.db'\n{ROLES}"
        f"[sources.plain]\nurl = 'sqlite:///{folder}/agents.db'\n",
        encoding="utf-8",
    )
    return connection


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (["--only-type", "fact"], 2),
        (["--owner", "ann", "--min-heat", "0.5"], 1),
        (["--owner", "ann", "--owner", "bob"], 3),
        (["--only-tag", "b", "--no-archived"], 1),
        (["--created-after", "2026-01-02", "--created-before", "2026-01-03T01:00:00+02:00"], 1),
        (["--owner", "ann", "--where", "memories=heat < 0.5 -- cold"], 1),
    ],
)
def test_memories_are_chosen_by_what_they_are(snap: Snap, agents: apsw.Connection, words: list[str], rows: int) -> None:
    taken = snap.json("take", "agents", *words)
    assert {table["name"]: table["rows"] for table in taken["sources"][0]["tables"]} == {
        "main.memories": rows,
        "main.edges": 1,
    }
    assert "no differences" in snap("status").stdout


def test_every_command_says_that_a_snapshot_is_filtered(snap: Snap, agents: apsw.Connection) -> None:
    told = snap("take", "agents", "--owner", "ann", "--exclude-table", "edges", "--min-heat", "0.05")
    only = "main.memories: only owner ann; heat at least 0.05"
    assert only in told.stderr
    assert "agents: without the tables edges" in told.stderr
    assert "(filtered)" in snap("list").stdout
    assert snap.json("list")[0]["filtered"] is True
    assert only in snap("show", "latest").stdout
    shown = snap.json("show", "latest")["sources"][0]
    assert shown["filter"] == [only]
    assert "user_id" in shown["tables"][0]["where"]
    assert only in snap("diff", "latest", "live").stderr
    agents.execute(
        "DELETE FROM memories; INSERT INTO memories (id, user_id, heat) VALUES (7, 'ann', 0.9), (8, 'bob', 1)"
    )
    told = snap("restore", "latest", "--exact", "--yes")
    assert only in told.stderr
    assert list(agents.execute("SELECT id FROM memories ORDER BY id")) == [(1,), (2,), (7,), (8,)]
    snap("take", "agents")
    assert snap.json("list")[-1]["filtered"] is False


def test_roles_that_are_not_said_are_refused(snap: Snap, agents: apsw.Connection, folder: Path) -> None:
    assert "[sources.plain.roles]" in snap.error("take", "plain", "--owner", "ann", code=2)["hint"]
    assert "plain" in snap.error("take", "--owner", "ann", code=2)["message"]
    url = f"sqlite:///{folder}/agents.db"
    assert "roles" in snap.error("take", url, "--owner", "ann", code=2)["hint"]
    (folder / "snap.toml").write_text(
        (folder / "snap.toml").read_text(encoding="utf-8").replace('owner = "user_id"\n', ""), encoding="utf-8"
    )
    assert "owner" in snap.error("take", "agents", "--owner", "ann", code=2)["message"]
    assert "not a time" in snap.error("take", "agents", "--created-after", "soon", code=2)["message"]
    assert snap.json("list") == []


def test_only_some_columns_may_be_held(snap: Snap, agents: apsw.Connection, folder: Path) -> None:
    (folder / "snap.toml").write_text(
        f"[sources.agents]\nurl = 'sqlite:///{folder}/agents.db'\ncolumns.memories = ['heat', 'tags']\n",
        encoding="utf-8",
    )
    told = snap("take")
    assert "main.memories: without 4 columns: kind, user_id, created_at, archived" in told.stderr
    assert list(snap.json("show", "latest:memories:1")["row"]) == ["id", "heat", "tags"]
