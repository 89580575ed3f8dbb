"""A restore of one row may bring what it refers to, however far, and nothing that only refers to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.operations.plan import Mode
from snapstore.operations.related import with_related
from snapstore.operations.restore import Ask, restore
from snapstore.operations.scope import Scope
from snapstore.operations.state import of_snapshot
from snapstore.operations.take import Request, take
from snapstore.repository import Repository
from snapstore.sources.display import parse_key
from tests.contracts.stores import PostgresStore, SqliteStore, Store

TABLES = """
CREATE TABLE people (name text PRIMARY KEY, boss text REFERENCES people);
CREATE TABLE memories (id integer PRIMARY KEY, who text REFERENCES People(NAME), body text);
CREATE TABLE places (a integer, b text, PRIMARY KEY (a, b));
CREATE TABLE edges (id integer PRIMARY KEY, source integer REFERENCES memories, target integer REFERENCES memories(id),
    x integer, y text, FOREIGN KEY (x, y) REFERENCES places (a, b));
INSERT INTO people VALUES ('ada', NULL), ('ann', 'ada'), ('bob', 'ada');
INSERT INTO memories VALUES (1, 'ann', 'one'), (2, NULL, 'two'), (3, 'bob', 'three');
INSERT INTO places VALUES (1, 'x'), (1, 'y');
INSERT INTO edges VALUES (7, 1, 2, 1, 'y'), (8, 2, 3, NULL, 'x'), (9, 2, 2, NULL, NULL);
"""


@pytest.mark.parametrize("engine", ["postgresql", "sqlite"])
def test_a_row_comes_with_all_that_it_refers_to(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if engine == "sqlite":
        store: Store = SqliteStore(tmp_path / "agents.db")
    else:
        store = PostgresStore(request.getfixturevalue("databases"))
    store.run(TABLES)
    repository = Repository.init(MemoryBackend())
    snapshot = take(repository, [Request("agents", store.source)]).snapshot
    store.run("DELETE FROM edges; DELETE FROM memories; DELETE FROM people; DELETE FROM places")
    state = of_snapshot(repository, snapshot)
    [edges] = [table for table in state.tables if table.name.endswith(".edges")]
    keys = with_related(state, store.source, {edges.name: [parse_key(edges.table, "7")]})
    ask = Ask(mode=Mode.SKIP, tables=tuple(keys), scope=Scope(keys=keys))
    restore(repository, snapshot, store.source, ask)
    assert store.rows("SELECT id FROM edges") == [(7,)]
    assert store.rows("SELECT id FROM memories ORDER BY id") == [(1,), (2,)]
    assert store.rows("SELECT name FROM people ORDER BY name") == [("ada",), ("ann",)]
    assert store.rows("SELECT a, b FROM places") == [(1, "y")]
    keys = with_related(state, store.source, {edges.name: [parse_key(edges.table, "9")]})
    assert {name.partition(".")[2]: len(own) for name, own in keys.items()} == {"edges": 1, "memories": 1}


def test_partitions_refer_and_are_referred_to_as_the_table_they_are_parts_of(databases: Callable[..., str]) -> None:
    store = PostgresStore(databases)
    store.run(
        "CREATE TABLE people (id integer PRIMARY KEY);"
        "CREATE TABLE memories (id integer, day integer, who integer REFERENCES people, PRIMARY KEY (id, day))"
        " PARTITION BY RANGE (day);"
        "CREATE TABLE early PARTITION OF memories FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (day);"
        "CREATE TABLE first PARTITION OF early FOR VALUES FROM (0) TO (5);"
        "CREATE TABLE late PARTITION OF memories FOR VALUES FROM (10) TO (20);"
        "CREATE TABLE edges (id integer PRIMARY KEY, a integer, day integer,"
        " FOREIGN KEY (a, day) REFERENCES memories (id, day));"
        "INSERT INTO people VALUES (1), (2), (3); INSERT INTO memories VALUES (5, 1, 1), (6, 11, 2), (7, 2, 3);"
        "INSERT INTO edges VALUES (8, 5, 1), (9, 6, 11)"
    )
    repository = Repository.init(MemoryBackend())
    state = of_snapshot(repository, take(repository, [Request("agents", store.source)]).snapshot)
    [edges] = [table for table in state.tables if table.name == "public.edges"]
    keys = with_related(state, store.source, {edges.name: [parse_key(edges.table, "8"), parse_key(edges.table, "9")]})
    held = {table.name: table.table for table in state.tables}
    assert {name: set(own) for name, own in keys.items()} == {
        name: {parse_key(held[name], text) for text in texts}
        for name, texts in {
            "public.edges": ["8", "9"], "public.first": ["5,1"], "public.late": ["6,11"], "public.people": ["1", "2"],
        }.items()
    }  # fmt: skip
