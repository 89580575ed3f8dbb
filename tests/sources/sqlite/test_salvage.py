"""A damaged file: what can still be read is told, and taken where that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapstore.errors import Corrupt
from snapstore.operations.plan import Mode
from snapstore.operations.scope import Scope
from tests.sources.sqlite.agent import Agent

PAGE = 1024


def filled(agent: Agent) -> None:
    """Four tables of 400 rows."""
    agent.run(f"PRAGMA page_size = {PAGE}")
    agent.run("CREATE TABLE whole (id INTEGER PRIMARY KEY, v)")
    agent.run("CREATE TABLE hurt (id INTEGER PRIMARY KEY, v TEXT)")
    agent.run("CREATE TABLE named (name TEXT PRIMARY KEY, v) WITHOUT ROWID")
    agent.run("CREATE TABLE loose (v)")
    numbers = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 400)"
    agent.run(f"INSERT INTO whole {numbers} SELECT n, n FROM c")
    for table, values in (
        ("hurt", "n * 5, 'row ' || n || '-' || hex(zeroblob(20))"),
        ("named", "'name ' || n, hex(zeroblob(20))"),
    ):
        agent.run(f"INSERT INTO {table} {numbers} SELECT {values} FROM c")
    agent.run(f"INSERT INTO loose {numbers} SELECT 'loose ' || n || '-' || hex(zeroblob(20)) FROM c")
    agent.stop()


def damaged(agent: Agent) -> int:
    """Tables with a page in their middle that is no page; how many rows they had."""
    filled(agent)
    for text in (b"row 200-", b"name 200", b"loose 200-"):
        spoil(agent.place, text)
    return 400


def spoil(place: Path, text: bytes) -> None:
    """Overwrite the head of the first leaf page of a table that has this text."""
    data = bytearray(place.read_bytes())
    pages = [at // PAGE * PAGE for at in range(len(data)) if data.startswith(text, at)]
    for page in pages:
        data[page : page + 8] = b"\xff" * 8
    place.write_bytes(data)


def test_damage_is_told_with_what_can_be_read(agent: Agent) -> None:
    count = damaged(agent)
    with pytest.raises(Corrupt, match="hurt cannot be read") as raised:
        agent.take()
    assert f"main.whole: all of its {count} rows can be read" in raised.value.message
    assert "main.hurt: damaged after" in raised.value.message
    assert "--salvage" in raised.value.hint
    assert agent.repository.snapshots() == []


def test_what_can_be_read_is_taken(agent: Agent, tmp_path: Path) -> None:
    count = damaged(agent)
    taken = agent.taken(salvage=True, partial=True)
    assert not taken.is_complete
    rows = {table.name: table.rows for table in taken.snapshot.sources[0].tables}
    assert rows["main.whole"] == count
    assert all(count * 0.9 < rows[f"main.{name}"] < count for name in ("hurt", "named", "loose"))
    assert [text.partition(";")[0] for text in taken.snapshot.sources[0].missing] == [
        f"table main.{name}: it is damaged" for name in ("hurt", "named", "loose")
    ]
    with pytest.raises(Corrupt):
        agent.take()  # a salvaged snapshot is nobody's proof that nothing changed
    new = agent.at("new.db")
    new.restore(taken.snapshot, Mode.SKIP)
    assert new.run("PRAGMA integrity_check") == [("ok",)]
    assert new.run("SELECT count(*) FROM hurt WHERE v LIKE 'row %'") == [(rows["main.hurt"],)]
    assert new.run("SELECT min(id), max(id) FROM hurt") == [(5, 2000)]


def test_exact_deletes_no_row_that_damage_may_have_hidden(agent: Agent) -> None:
    count = damaged(agent)
    snapshot = agent.take(salvage=True, partial=True)
    held = {table.name: table.rows for table in snapshot.sources[0].tables}
    healthy = agent.at("healthy.db")
    filled(healthy)
    healthy.run("INSERT INTO whole VALUES (1000, 'later'); UPDATE hurt SET v = 'x' WHERE id = 5")
    plan = healthy.restore(snapshot, Mode.EXACT).plan
    done = {table.name: (table.delete, table.unsure) for table in plan.tables}
    assert done == {
        "main.whole": (1, 0),
        "main.hurt": (0, count - held["main.hurt"]),
        "main.named": (0, count - held["main.named"]),
        "main.loose": (0, count - held["main.loose"]),
    }
    assert held["main.hurt"] < count
    assert healthy.run("SELECT count(*) FROM hurt WHERE v LIKE 'row %'") == [(count,)]
    named = healthy.restore(snapshot, Mode.EXACT, scope=Scope(where={"main.hurt": "true"})).plan
    assert sum(table.delete for table in named.tables) == count - held["main.hurt"]
    assert healthy.run("SELECT count(*) FROM hurt") == [(held["main.hurt"],)]


def test_rows_behind_a_damaged_first_page_are_found_however_far_they_are(agent: Agent) -> None:
    agent.run(f"PRAGMA page_size = {PAGE}; CREATE TABLE far (id INTEGER PRIMARY KEY, v TEXT)")
    numbers = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 400)"
    values = "1700000000000 + n * 977, 'row ' || n || '-' || hex(zeroblob(20))"
    agent.run(f"INSERT INTO far {numbers} SELECT {values} FROM c")
    agent.stop()
    spoil(agent.place, b"row 1-")
    taken = agent.take(salvage=True, partial=True)
    lost = 400 - taken.sources[0].tables[0].rows
    assert 0 < lost < PAGE // 40
    new = agent.at("new.db")
    new.restore(taken)
    assert new.run("SELECT min(id), max(id) FROM far") == [
        (1700000000000 + (lost + 1) * 977, 1700000000000 + 400 * 977)
    ]


def test_rows_that_an_index_lacks_are_missed(agent: Agent) -> None:
    agent.run("CREATE TABLE named (name TEXT PRIMARY KEY, v); INSERT INTO named VALUES ('a', 1), ('b', 2)")
    agent.run("CREATE TABLE plain (v); CREATE INDEX plain_v ON plain (v); INSERT INTO plain VALUES (1), (2)")
    agent.run("PRAGMA writable_schema = 1")
    kept = agent.run("SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema")
    agent.run("DELETE FROM sqlite_schema WHERE type = 'index'")
    agent.run("UPDATE sqlite_schema SET sql = 'CREATE TABLE named (name TEXT, v)' WHERE name = 'named'")
    agent.stop()  # whoever opens it now knows of no index, and adds rows to the tables alone
    agent.run("INSERT INTO named VALUES ('c', 3); INSERT INTO plain VALUES (3); PRAGMA writable_schema = 1")
    agent.run("DELETE FROM sqlite_schema")
    for row in kept:
        agent.run("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", row)
    agent.stop()
    assert [table.rows for table in agent.take(tables=("plain",)).sources[0].tables] == [3]
    with pytest.raises(Corrupt, match="has 3 rows, and its primary key gives 2"):
        agent.take()
    rows = {table.name: table.rows for table in agent.take(salvage=True, partial=True).sources[0].tables}
    assert rows == {"main.named": 3, "main.plain": 3}
