"""Every kind of table comes back to the bit: shapes, keys, storage classes, and what else a database has."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Conflict, Unsupported
from snapstore.operations.ask import OnError
from snapstore.operations.plan import Mode
from snapstore.operations.scope import Scope
from snapstore.operations.state import of_snapshot
from snapstore.repository import Repository
from tests.sources.sqlite.agent import Agent

EVERYTHING = """
CREATE TABLE people (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, born REAL,
  upper_name AS (upper(name)), name_length INT GENERATED ALWAYS AS (length(name)) STORED);
CREATE TABLE edges (source TEXT COLLATE NOCASE, target TEXT COLLATE RTRIM, weight,
  PRIMARY KEY (source DESC, target)) WITHOUT ROWID;
CREATE TABLE settings (key TEXT PRIMARY KEY ON CONFLICT REPLACE, value);
CREATE TABLE anything (a, b, c BLOB, d NUMERIC, e INTEGER, f TEXT, g REAL);
CREATE TABLE typed (id INTEGER PRIMARY KEY, i INT, r REAL, t TEXT, b BLOB, x ANY) STRICT;
CREATE TABLE backwards (id INTEGER PRIMARY KEY DESC, v);
CREATE TABLE "odd ""name" ("rowid" TEXT, "a b" TEXT, "_rowid_" INT, "select" PRIMARY KEY);
CREATE TABLE hides (rowid, _rowid_, oid, PRIMARY KEY (rowid));
CREATE TABLE refers (id INTEGER PRIMARY KEY, person REFERENCES people (id) ON DELETE CASCADE);
CREATE UNIQUE INDEX people_born ON people (born) WHERE born > 0;
CREATE INDEX people_lower ON people (lower(name), born DESC);
CREATE VIEW elders AS SELECT * FROM people WHERE born < 1950;
CREATE TRIGGER person_added AFTER INSERT ON people BEGIN INSERT INTO settings VALUES ('last', NEW.name); END;
CREATE TRIGGER elder_added INSTEAD OF INSERT ON elders BEGIN
  INSERT INTO people (name, born) VALUES (NEW.name, NEW.born); END;
PRAGMA user_version = 42;
PRAGMA application_id = 1397641552;
INSERT INTO people (id, name, born) VALUES (3, 'Ada', 1815), (5, 'Grace', 1906.5), (9, 'Łukasz', NULL);
DELETE FROM people WHERE id = 9;
INSERT INTO edges VALUES ('Ada', 'Grace ', 1), ('ada', 'x', 2.5), (7, NULL || 'y', x'00'), (x'00ff', 'z', NULL);
INSERT INTO anything VALUES (1, 1.0, '1', '1', '1', 1, 1), (NULL, x'', '', x'00', 'x', 9e999, -9e999),
  (-0.0, 9223372036854775807, -9223372036854775808, 1e300, 1.5, x'ff', 2), (1, 1.0, '1', '1', '1', 1, 1);
INSERT INTO typed VALUES (1, 2, 3, 'x', x'01', 'any'), (2, NULL, NULL, NULL, NULL, 1.5), (3, -1, -0.0, '', x'', NULL);
INSERT INTO backwards VALUES (2, 'b'), (NULL, 'null key'), (1, 'a');
INSERT INTO "odd ""name" VALUES ('r', 'a', 1, 'k'), ('s', 'b', 2, NULL), (NULL, NULL, NULL, NULL);
INSERT INTO hides VALUES (1, 2, 3), ('x', 'y', 'z');
INSERT INTO refers VALUES (1, 3), (2, 5), (3, 404);
ANALYZE;
"""


def everything(agent: Agent, *pragmas: str) -> None:
    for pragma in pragmas:
        agent.run(f"PRAGMA {pragma}")
    agent.run(EVERYTHING.replace("NULL || 'y'", "'y'"))
    agent.run(
        "INSERT INTO anything VALUES (CAST(x'fffe00' AS TEXT), 'nul' || char(0) || 'in', CAST(x'ed' AS TEXT), "
        "0, 0, 0, 0)"
    )


SETTINGS = [
    ("journal_mode = wal", "page_size = 1024", "auto_vacuum = 2"),
    ("encoding = 'UTF-16le'", "auto_vacuum = 1"),
    ("encoding = 'UTF-16be'",),
]


@pytest.mark.parametrize("pragmas", [(), *SETTINGS], ids=["plain", "wal", "utf-16le", "utf-16be"])
def test_a_new_file_has_everything(agent: Agent, pragmas: tuple[str, ...]) -> None:
    everything(agent, *pragmas)
    snapshot = agent.take()
    agent.stop()
    new = agent.at("new.db")
    new.restore(snapshot, Mode.SKIP)
    assert new.dump() == agent.dump()
    assert new.run("PRAGMA integrity_check") == [("ok",)]
    assert new.run("PRAGMA journal_mode") == [("wal" if "wal" in "".join(pragmas) else "delete",)]
    assert new.run("SELECT seq FROM sqlite_sequence") == [(9,)]
    assert [t.root for t in new.take().sources[0].tables] == [t.root for t in snapshot.sources[0].tables]


@pytest.mark.parametrize("pragmas", [(), *SETTINGS], ids=["plain", "wal", "utf-16le", "utf-16be"])
def test_whatever_was_done_is_undone_in_place(agent: Agent, pragmas: tuple[str, ...]) -> None:
    everything(agent, *pragmas)
    before, snapshot = agent.dump(), agent.take()
    agent.run("""
        UPDATE people SET born = 0; DELETE FROM edges; UPDATE settings SET value = 'other';
        UPDATE anything SET a = 'text', g = 7; DELETE FROM typed WHERE id = 2; UPDATE typed SET x = x'00', r = 1;
        DELETE FROM backwards WHERE v = 'a'; UPDATE "odd ""name" SET "a b" = 'z'; UPDATE hides SET oid = 0;
        INSERT INTO refers VALUES (9, 3); DELETE FROM refers WHERE id = 1; INSERT INTO people (name) VALUES ('new');
    """)
    wrecked = agent.dump()
    restored = agent.restore(snapshot)
    after = agent.dump()
    assert {**after, "sqlite_sequence": 0} == {**before, "sqlite_sequence": 0}
    assert agent.run("SELECT seq FROM sqlite_sequence") == [(10,)]  # it never goes back where others may be watching
    assert "main.refers: 1 of its rows refers to rows that are not there" in restored.notes
    assert restored.safety is not None
    agent.restore(restored.safety, source="agent")
    assert {name for name, rows in agent.dump().items() if rows != wrecked[name]} == set()


def test_the_key_is_what_names_a_row(agent: Agent) -> None:
    everything(agent)
    shapes = {table.name: table.table for table in of_snapshot(agent.repository, agent.take()).tables}

    def key(name: str) -> list[tuple[str, str]]:
        return [(part.name, part.encoding) for part in shapes[f"main.{name}"].key]

    assert key("people") == [("id", "int8")]
    assert key("edges") == [("source", "nocase"), ("target", "rtrim")]
    assert key("settings") == [("key", "value")]
    assert key("anything") == [("rowid", "int8")]
    assert key("backwards") == [("rowid", "int8")]  # it has a row whose primary key is NULL
    assert key('odd "name') == [("oid", "int8")]
    assert key("hides") == [("rowid", "value")]
    assert [column.name for column in shapes["main.settings"].columns] == ["value", "rowid"]
    assert [column.name for column in shapes["main.people"].columns] == ["name", "born"]


def test_triggers_do_not_fire_and_conflict_clauses_do_not_count(agent: Agent) -> None:
    everything(agent)
    agent.run("INSERT INTO settings VALUES ('second', 2)")
    snapshot = agent.take()
    agent.run("DELETE FROM people; UPDATE settings SET key = 'moved', value = 'mine' WHERE key = 'last'")
    for mode in (Mode.SKIP, Mode.UPDATE):
        agent.restore(snapshot, mode)
        assert agent.run("SELECT key, value FROM settings ORDER BY key") == [
            ("last", "Łukasz"), ("moved", "mine"), ("second", 2)
        ]  # fmt: skip
    assert agent.run("SELECT count(*) FROM people") == [(2,)]


def test_a_check_that_came_later_counts_and_one_that_was_there_does_not(agent: Agent) -> None:
    agent.run("CREATE TABLE memories (id INTEGER PRIMARY KEY, heat REAL CHECK (heat < 1))")
    agent.run("INSERT INTO memories VALUES (1, 0.5); PRAGMA ignore_check_constraints = 1")
    agent.run("INSERT INTO memories VALUES (2, 1.5); PRAGMA ignore_check_constraints = 0; CREATE TABLE others (id)")
    snapshot = agent.take()
    agent.run("DELETE FROM memories")
    agent.restore(snapshot, Mode.SKIP)
    assert agent.run("SELECT * FROM memories") == [(1, 0.5), (2, 1.5)]
    agent.run("DROP TABLE memories; CREATE TABLE memories (id INTEGER PRIMARY KEY, heat REAL CHECK (heat < 0.9))")
    with pytest.raises(Conflict, match=r"CHECK constraint failed: heat < 0\.9 \(2, 1\.5\)") as caught:
        agent.restore(snapshot, Mode.SKIP)
    assert "other rules than it had" in caught.value.hint
    assert agent.run("SELECT * FROM memories") == []
    done = agent.restore(snapshot, Mode.SKIP, on_error=OnError.SKIP)
    assert [one.key for one in done.refused] == [{"id": 2}]
    assert agent.run("SELECT * FROM memories") == [(1, 0.5)]
    agent.run("DROP TABLE memories")
    agent.restore(snapshot)
    assert agent.run("SELECT * FROM memories") == [(1, 0.5), (2, 1.5)]


def test_a_row_whose_rowid_is_taken_gets_another(agent: Agent) -> None:
    agent.run(
        "CREATE TABLE memories (id TEXT PRIMARY KEY, body); INSERT INTO memories VALUES ('a', 1), ('b', 2), ('c', 3)"
    )
    snapshot = agent.take()
    agent.run("DELETE FROM memories WHERE id > 'a'; INSERT INTO memories VALUES ('junk', 9)")
    restored = agent.restore(snapshot, Mode.SKIP)
    assert restored.notes == ("main.memories: 1 row has another rowid than before, because theirs is taken",)
    found = agent.run("SELECT rowid, id, body FROM memories ORDER BY rowid")
    assert found == [(1, "a", 1), (2, "junk", 9), (3, "c", 3), (4, "b", 2)]
    agent.restore(snapshot, Mode.UPDATE)
    agent.restore(snapshot, Mode.EXACT)
    assert agent.run("SELECT rowid, id, body FROM memories ORDER BY rowid") == [(1, "a", 1), (2, "b", 2), (3, "c", 3)]


def test_a_vector_is_stored_once_however_its_row_moves(agent: Agent) -> None:
    agent.run("CREATE TABLE memories (id TEXT PRIMARY KEY, heat REAL, embedding BLOB)")
    vectors = [struct.pack("384f", *(math.sin(n * k) for k in range(1, 385))) for n in range(100)]
    for number, vector in enumerate(vectors):
        agent.run("INSERT INTO memories VALUES (?, 1, ?)", (f"m{number}", vector))
    first = agent.taken()
    agent.run("UPDATE memories SET heat = heat * 0.97")
    decayed = agent.taken()
    agent.run("CREATE TABLE copies AS SELECT embedding AS e FROM memories ORDER BY id DESC")
    copied = agent.taken()
    assert first.bytes_new > 150_000
    assert decayed.bytes_new < 5_000
    assert copied.bytes_new < 15_000


def test_a_table_without_a_usable_key_is_held_by_content(agent: Agent) -> None:
    agent.run("PRAGMA encoding = 'UTF-16le'")
    agent.run(
        "CREATE TABLE w (a TEXT, b, PRIMARY KEY (a, b)) WITHOUT ROWID;INSERT INTO w VALUES ('x', 1), ('é', 2), ('z', 3)"
    )
    snapshot = agent.take()
    agent.run("DELETE FROM w WHERE a = 'é'; INSERT INTO w VALUES ('new', 9)")
    agent.restore(snapshot)
    assert sorted(agent.run("SELECT * FROM w")) == [("x", 1), ("z", 3), ("é", 2)]


def test_rows_are_found_by_the_collation_of_the_key(agent: Agent) -> None:
    agent.run("""
        CREATE TABLE folded (name TEXT, v, PRIMARY KEY (name COLLATE NOCASE));
        CREATE TABLE strict (name TEXT COLLATE NOCASE, v, PRIMARY KEY (name COLLATE BINARY));
        INSERT INTO folded VALUES ('Ada', 1), ('Bob', 2), ('Cy', 3);
        INSERT INTO strict VALUES ('ada', 1), ('Ada', 2), ('ADA', 3);
    """)
    before, snapshot = agent.dump(), agent.take()
    agent.run("""
        UPDATE folded SET v = 9 WHERE name = 'Ada'; DELETE FROM folded WHERE name = 'Bob';
        INSERT INTO folded VALUES ('Dee', 4);
        UPDATE strict SET v = 9 WHERE name = 'Ada' COLLATE BINARY; INSERT INTO strict VALUES ('aDa', 4);
    """)
    agent.restore(snapshot)
    assert agent.dump() == before


def test_of_rows_that_are_alike_a_condition_means_each(agent: Agent) -> None:
    agent.run("CREATE TABLE hides (rowid, _rowid_, oid); INSERT INTO hides VALUES (1, 1, 1), (1, 1, 1), (2, 2, 2)")
    before = agent.take()
    agent.run("DELETE FROM hides; INSERT INTO hides VALUES (1, 1, 1)")
    restored = agent.restore(before, Mode.UPDATE, scope=Scope(where={"main.hides": "oid = 1"}))
    assert restored.plan.tables[0].insert == 1
    assert agent.run("SELECT oid FROM hides") == [(1,), (1,)]


def test_rows_found_by_content_are_deleted_by_their_own_value(agent: Agent) -> None:
    agent.run("PRAGMA encoding = 'UTF-16le'")
    agent.run("CREATE TABLE w (a TEXT COLLATE NOCASE, b, PRIMARY KEY (a COLLATE BINARY)) WITHOUT ROWID")
    agent.run("INSERT INTO w VALUES ('x', 1), ('X', 2)")
    snapshot = agent.take()
    agent.run("DELETE FROM w WHERE b = 2; INSERT INTO w VALUES ('X', 3)")
    agent.restore(snapshot)
    assert sorted(agent.run("SELECT * FROM w")) == [("X", 2), ("x", 1)]


def test_one_number_written_two_ways_within_a_key_is_refused(agent: Agent) -> None:
    agent.run("CREATE TABLE odd (k, name, v, PRIMARY KEY (k, name)); CREATE TABLE plain (v)")
    agent.run("INSERT INTO odd VALUES (1, 'b', 1), (1.0, 'a', 2), (2, 'c', 3)")
    assert [table.rows for table in agent.take().sources[0].tables] == [3, 0]  # their bytes have an order too
    agent.run("INSERT INTO odd VALUES (1.0, 'z', 4)")
    with pytest.raises(
        Unsupported, match=r"main\.odd: its key column k has 1 in one row and 1\.0 in another"
    ) as raised:
        agent.take()
    assert "--exclude odd" in raised.value.hint
    assert [table.name for table in agent.take(exclude=("odd",)).sources[0].tables] == ["main.plain"]


VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=True),
    st.text(max_size=6),
    st.binary(max_size=9),
    st.sampled_from([2**53, 2**53 + 1, float(2**53), 1, 1.0, -0.0, 0, "1", "a\0b", b"", "", b"\0" * 12, "x" * 600]),
)
SHAPES = [
    "CREATE TABLE t (k, a, b TEXT, c INTEGER, d REAL, e NUMERIC, f BLOB)",
    "CREATE TABLE t (k PRIMARY KEY, a, b TEXT, c INTEGER, d REAL, e NUMERIC, f BLOB)",
    "CREATE TABLE t (k TEXT PRIMARY KEY COLLATE NOCASE, a, b TEXT, c INTEGER, d REAL, e NUMERIC, f BLOB) ",
    "CREATE TABLE t (k, a, b TEXT, c INTEGER, d REAL, e NUMERIC, f BLOB, PRIMARY KEY (k, b)) WITHOUT ROWID",
    "CREATE TABLE t (k NUMERIC, a, b TEXT, c INTEGER, d REAL, e NUMERIC, f BLOB, PRIMARY KEY (c, k)) WITHOUT ROWID",
    "CREATE TABLE t (k ANY PRIMARY KEY, a ANY, b ANY, c ANY, d ANY, e ANY, f ANY) STRICT",
]
ROWS = st.lists(st.tuples(*[VALUES] * 7), max_size=8)
MANY = settings(
    max_examples=max(1, settings.default.max_examples * 2 // 3) if settings.default else 30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@MANY
@given(shape=st.sampled_from(SHAPES), held=ROWS, wrecked=ROWS, wal=st.booleans())
def test_any_values_come_back_with_their_storage_class(
    agent: Agent, shape: str, held: list[tuple[Any, ...]], wrecked: list[tuple[Any, ...]], wal: bool
) -> None:
    agent.run("PRAGMA journal_mode = " + ("wal" if wal else "delete"))
    agent.run("DROP TABLE IF EXISTS t")
    agent.run(shape)
    agent.repository = Repository.init(MemoryBackend())
    if "PRIMARY KEY" in shape:  # a key that is NULL in some row is another test's
        held, wrecked = ([(_key(row[0]), *row[1:]) for row in rows] for rows in (held, wrecked))
    if "(k, b)" in shape:  # and so is one number in two ways
        held, wrecked = ([(_one_way(row[0]), *row[1:]) for row in rows] for rows in (held, wrecked))
    for row in held:
        agent.run("INSERT OR IGNORE INTO t VALUES (?, ?, ifnull(?, 0), ifnull(?, 0), ?, ?, ?)", row)
    before, snapshot = agent.dump(), agent.take()
    agent.run("DELETE FROM t WHERE abs(random()) % 2")
    for row in wrecked:
        agent.run("INSERT OR REPLACE INTO t VALUES (?, ?, ifnull(?, 0), ifnull(?, 0), ?, ?, ?)", row)
    agent.restore(snapshot)
    assert agent.dump() == before
    assert [t.root for t in agent.take().sources[0].tables] == [t.root for t in snapshot.sources[0].tables]


def _key(value: Any) -> Any:
    return 0 if value is None or (isinstance(value, float) and math.isnan(value)) else value  # NaN is stored as NULL


def _one_way(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**63 else value


def test_a_table_is_the_same_in_any_history(agent: Agent) -> None:
    agent.run("CREATE TABLE a (id INTEGER PRIMARY KEY, v); INSERT INTO a VALUES (1, 'x'), (2, 'y'), (3, 'z')")
    first = agent.take()
    other = agent.at("other.db")
    other.run("CREATE TABLE a (id INTEGER PRIMARY KEY, v); INSERT INTO a VALUES (3, 'z'), (2, 'q')")
    other.run("UPDATE a SET v = 'y' WHERE id = 2; INSERT INTO a VALUES (1, 'x'); VACUUM")
    assert [t.root for t in other.take().sources[0].tables] == [t.root for t in first.sources[0].tables]
