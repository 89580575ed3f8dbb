"""A SQLite database restored but for the rows it refuses, and for those that refer to them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from snapstore.errors import Conflict
from snapstore.operations.ask import OnError
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Restored, restore
from snapstore.operations.scope import Scope
from snapstore.operations.undo import undo_ask
from snapstore.repository import Snapshot
from tests.sources.sqlite.agent import Agent

MEMORIES = """
CREATE TABLE people (name TEXT PRIMARY KEY COLLATE NOCASE);
CREATE TABLE memories (id INTEGER PRIMARY KEY, owner TEXT REFERENCES people, body TEXT);
CREATE TABLE edges (source INT REFERENCES memories, target INT REFERENCES memories (id), PRIMARY KEY (source, target))
  WITHOUT ROWID;
INSERT INTO people VALUES ('Ann'), ('Bob');
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
  INSERT INTO memories SELECT i, CASE i % 2 WHEN 1 THEN 'ann' ELSE 'BOB' END, 'memory ' || i FROM n;
INSERT INTO edges SELECT id, id + 1 FROM memories WHERE id < 300;
INSERT INTO edges VALUES (300, 9999);
"""


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    agent = Agent(tmp_path / "agent.db")
    agent.run(MEMORIES)
    return agent


def spared(agent: Agent, snapshot: Snapshot, mode: Mode = Mode.UPDATE, **ask: Any) -> Restored:
    return agent.restore(snapshot, mode, on_error=OnError.SKIP, **ask)


def left_out(done: Restored, table: str = "main.memories") -> list[Mapping[str, Any]]:
    return [one.key for one in done.refused if one.table == table]


def test_rows_in_the_way_of_a_unique_index_are_left_out_with_those_that_refer_to_them(agent: Agent) -> None:
    snapshot, held = agent.take(), agent.dump()
    agent.run("DELETE FROM memories; DELETE FROM edges; CREATE UNIQUE INDEX bodies ON memories (body)")
    agent.run("INSERT INTO memories VALUES (1000, 'ann', 'memory 7'), (1001, 'bob', 'memory 200')")
    before = agent.dump()
    done = spared(agent, snapshot)
    assert left_out(done) == [{"id": 7}, {"id": 200}]
    assert left_out(done, "main.edges") == [
        {"source": 6, "target": 7}, {"source": 7, "target": 8},
        {"source": 199, "target": 200}, {"source": 200, "target": 201},
    ]  # fmt: skip
    # One that referred to nothing in the snapshot is as it was.
    assert agent.run("SELECT count(*), max(target) FROM edges") == [(296, 9999)]
    assert done.safety is not None
    restore(agent.repository, done.safety, agent.source, undo_ask(agent.repository, done.safety))
    assert agent.dump() == before
    spared(agent, snapshot)
    agent.run("DROP INDEX bodies; DELETE FROM memories WHERE id >= 1000")
    keys: dict[str, list[bytes]] = {}
    for one in done.refused:
        keys.setdefault(one.table, []).append(one.key_bytes)
    agent.restore(snapshot, Mode.UPDATE, scope=Scope(keys=keys))
    assert agent.dump() == held


def test_parents_that_a_collation_makes_equal_are_followed(agent: Agent) -> None:
    snapshot = agent.take()
    agent.run("DELETE FROM memories; DELETE FROM edges; DROP TABLE people")
    agent.run("CREATE TABLE people (name TEXT PRIMARY KEY COLLATE NOCASE, age INT NOT NULL)")
    done = spared(agent, snapshot)
    assert left_out(done, "main.people") == [{"name": "ann"}, {"name": "bob"}]
    assert len(left_out(done)) == 300
    assert agent.run("SELECT count(*) FROM memories") == [(0,)]
    assert agent.run("SELECT count(*) FROM edges") == [(0,)]


def test_a_key_to_columns_that_are_not_there_is_not_followed(tmp_path: Path) -> None:
    agent = Agent(tmp_path / "agent.db")
    agent.run("CREATE TABLE a (id INTEGER PRIMARY KEY, x)")
    agent.run("CREATE TABLE b (id INTEGER PRIMARY KEY REFERENCES a (missing))")
    agent.run("INSERT INTO a VALUES (1, 1), (2, 1); INSERT INTO b VALUES (1), (2)")
    snapshot = agent.take()
    agent.run("DELETE FROM a; DELETE FROM b; CREATE UNIQUE INDEX one ON a (x)")
    done = spared(agent, snapshot)
    assert left_out(done, "main.a") == [{"id": 2}]
    assert agent.run("SELECT count(*) FROM b") == [(2,)]


def test_a_change_that_is_refused_leaves_the_live_row(agent: Agent) -> None:
    snapshot = agent.take()
    agent.run("UPDATE memories SET body = 'b' || id; UPDATE memories SET body = 'memory 5' WHERE id = 1")
    agent.run("CREATE UNIQUE INDEX bodies ON memories (body)")
    agent.run("INSERT INTO memories VALUES (1000, 'ann', 'memory 9')")
    done = spared(agent, snapshot)
    assert [(one.key["id"], one.doing) for one in done.refused] == [(9, "update")]
    assert "UNIQUE" in done.refused[0].reason
    assert agent.run("SELECT id, body FROM memories WHERE id IN (1, 5, 9)") == [
        (1, "memory 1"), (5, "memory 5"), (9, "b9"),
    ]  # fmt: skip
    assert agent.run("SELECT count(*) FROM edges") == [(300,)]


def test_a_row_of_a_virtual_table_is_left_out(tmp_path: Path) -> None:
    agent = Agent(tmp_path / "agent.db")
    agent.run("CREATE VIRTUAL TABLE words USING fts5 (body); INSERT INTO words VALUES ('one'), ('ONE')")
    snapshot = agent.take()
    agent.run("DELETE FROM words; CREATE UNIQUE INDEX in_the_way ON words_content (c0 COLLATE NOCASE)")
    assert left_out(spared(agent, snapshot), "main.words") == [{"rowid": 2}]
    assert agent.run("SELECT rowid FROM words('one')") == [(1,)]


def test_a_row_of_an_index_kept_in_tables_is_never_left_out(tmp_path: Path) -> None:
    agent = Agent(tmp_path / "agent.db")
    agent.run(
        "PRAGMA writable_schema = 1;"
        "INSERT INTO sqlite_schema VALUES ('table', 'mem', 'mem', 0, 'CREATE VIRTUAL TABLE mem USING mystery(x)');"
        "PRAGMA writable_schema = RESET"
    )
    agent.run("CREATE TABLE mem_store (x); INSERT INTO mem_store VALUES (1), (1)")
    snapshot = agent.take()
    agent.run("DELETE FROM mem_store; CREATE UNIQUE INDEX in_the_way ON mem_store (x)")
    before = agent.dump()
    with pytest.raises(Conflict, match="part of mem"):
        spared(agent, snapshot, Mode.EXACT)
    assert agent.dump() == before
