"""Full text, R-trees and vectors come back to an index that works, without their module through their parts."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from snapstore.operations.plan import Mode
from snapstore.repository import Snapshot
from snapstore.sources.sqlite import connection as connecting
from snapstore.sources.sqlite.modules import read_virtual
from tests.sources.sqlite.agent import Agent

MEMORIES = """
CREATE TABLE memories (id INTEGER PRIMARY KEY, content TEXT, kind TEXT);
CREATE VIRTUAL TABLE notes_fts USING fts5(title, body UNINDEXED, tokenize = 'porter');
CREATE VIRTUAL TABLE memories_fts USING fts5(content, content = 'memories', content_rowid = 'id', tokenize = 'trigram');
CREATE VIRTUAL TABLE bare_fts USING fts5(words, content = '');
CREATE VIRTUAL TABLE old4 USING fts4(title, body, languageid="lang", tokenize=unicode61);
CREATE VIRTUAL TABLE old4_content_of USING fts4(content="memories", content);
CREATE VIRTUAL TABLE old3 USING fts3(title);
CREATE VIRTUAL TABLE terms USING fts5vocab('notes_fts', 'row');
CREATE VIRTUAL TABLE places USING rtree(id, west, east, south, north, +label TEXT);
CREATE VIRTUAL TABLE cells USING rtree_i32(id, low, high);
CREATE VIRTUAL TABLE shapes USING geopoly(label);
CREATE VIRTUAL TABLE vectors USING vec0(
  owner TEXT PARTITION KEY, embedding FLOAT[8] distance_metric=cosine, small INT8[8], bits BIT[16],
  stars INTEGER, +note TEXT);
CREATE VIRTUAL TABLE named USING vec0(doc TEXT PRIMARY KEY, embedding FLOAT[4]);
CREATE TRIGGER memory_added AFTER INSERT ON memories BEGIN
  INSERT INTO memories_fts (rowid, content) VALUES (NEW.id, NEW.content);
  INSERT INTO old4_content_of (docid, content) VALUES (NEW.id, NEW.content); END;
CREATE TRIGGER memory_gone BEFORE DELETE ON memories BEGIN
  INSERT INTO memories_fts (memories_fts, rowid, content) VALUES ('delete', OLD.id, OLD.content);
  DELETE FROM old4_content_of WHERE docid = OLD.id; END;
"""
QUERIES = {
    "fts5": "SELECT rowid, title, rank FROM notes_fts('running') ORDER BY rank, rowid",
    "external": "SELECT rowid, rank FROM memories_fts('number 1') ORDER BY rank, rowid",
    "contentless": "SELECT rowid FROM bare_fts('seven') ORDER BY rowid",
    "fts4": "SELECT docid, title, lang FROM old4 WHERE old4 MATCH 'body:seven' AND lang = 2 ORDER BY docid",
    "fts4 external": "SELECT docid FROM old4_content_of WHERE content MATCH 'number' ORDER BY docid",
    "fts3": "SELECT docid, title FROM old3 WHERE title MATCH 'old*' ORDER BY docid",
    "rtree": "SELECT * FROM places WHERE west > 1.5 AND east < 30.5 ORDER BY id",
    "integers": "SELECT * FROM cells WHERE low >= 10 ORDER BY id",
    "shapes": "SELECT rowid, label, geopoly_json(_shape) FROM shapes ORDER BY rowid",
    "named": "SELECT doc, hex(embedding) FROM named ORDER BY doc",
    "vocabulary": "SELECT * FROM terms ORDER BY term",
}


def fill(agent: Agent) -> None:
    agent.run(MEMORIES)
    for n in range(1, 41):
        agent.run("INSERT INTO memories VALUES (?, ?, 'fact')", (n, f"memory number {n}"))
        agent.run("INSERT INTO notes_fts (rowid, title, body) VALUES (?, ?, ?)", (n * 3, f"runs {n % 7} times", n))
        agent.run("INSERT INTO bare_fts (rowid, words) VALUES (?, ?)", (n, ["six", "seven", "eight"][n % 3]))
        agent.run("INSERT INTO old4 (docid, title, body, lang) VALUES (?, ?, 'six seven', ?)", (n, f"old {n}", n % 3))
        agent.run("INSERT INTO old3 (docid, title) VALUES (?, ?)", (n, f"older {n}"))
        agent.run("INSERT INTO places VALUES (?, ?, ?, ?, ?, ?)", (n, n / 3, n + 0.1, -n, n, f"place {n}"))
        agent.run("INSERT INTO cells VALUES (?, ?, ?)", (n, n, n + 1))
        agent.run("INSERT INTO shapes (_shape, label) VALUES (?, ?)", (f"[[0,0],[{n},0],[0,{n}],[0,0]]", f"shape {n}"))
        agent.run(
            "INSERT INTO vectors (rowid, owner, embedding, small, bits, stars, note) "
            "VALUES (?, ?, ?, vec_int8(?), vec_bit(?), ?, ?)",
            (
                n * 2,
                f"user {n % 2}",
                vector(8, n),
                bytes(range(n, n + 8)),
                bytes((n, 255)),
                n,
                None if n % 5 else "five",
            ),
        )
        agent.run("INSERT INTO named (doc, embedding) VALUES (?, ?)", (f"doc {n}", vector(4, n)))


def vector(size: int, seed: int) -> bytes:
    return struct.pack(f"<{size}f", *((seed * 7 + k * 13) % 11 - 5.25 for k in range(size)))


def answers(agent: Agent) -> dict[str, Any]:
    found = {name: agent.run(query) for name, query in QUERIES.items()}
    for column, size in (("embedding", 8), ("small", None), ("bits", None)):
        wanted = vector(8, 3) if size else bytes(range(5, 13)) if column == "small" else b"\x05\xff"
        wrap = {"small": "vec_int8(?)", "bits": "vec_bit(?)"}.get(column, "?")
        found[column] = agent.run(
            f"SELECT rowid, distance, stars, note FROM vectors "
            f"WHERE {column} MATCH {wrap} AND k = 7 AND owner = 'user 1'",
            (wanted,),
        )
    assert all(found.values()), found
    return found


def roots(snapshot: Snapshot) -> dict[str, bytes | None]:
    return {table.name: table.root for table in snapshot.sources[0].tables}


def check(agent: Agent) -> None:
    assert agent.run("PRAGMA integrity_check") == [("ok",)]
    for name in ("notes_fts", "memories_fts", "bare_fts", "old4", "old3"):
        agent.run(f"INSERT INTO {name} ({name}) VALUES ('integrity-check')")
    assert agent.run("SELECT rtreecheck('places'), rtreecheck('cells')") == [("ok", "ok")]


def test_a_new_file_searches_as_the_old_one(agent: Agent) -> None:
    fill(agent)
    before, snapshot = answers(agent), agent.take()
    new = agent.at("new.db")
    new.restore(snapshot, Mode.SKIP)
    assert answers(new) == before
    check(new)
    assert roots(new.take()) == roots(snapshot)
    new.run("INSERT INTO memories VALUES (99, 'a new number', 'x'); DELETE FROM memories WHERE id = 1")
    check(new)


def test_a_database_that_was_wrecked_searches_as_before(agent: Agent) -> None:
    fill(agent)
    before, snapshot = answers(agent), agent.take()
    agent.run("""
        DELETE FROM memories WHERE id % 2; DELETE FROM notes_fts WHERE rowid < 30;
        UPDATE notes_fts SET title = 'junk' WHERE rowid = 33;
        INSERT INTO bare_fts (rowid, words) VALUES (100, 'seven seven'); DELETE FROM old4 WHERE docid > 20;
        DELETE FROM old3;
        UPDATE places SET label = 'x', east = 900 WHERE id = 3; DELETE FROM cells WHERE id > 5;
        DELETE FROM shapes WHERE rowid < 4;
        DELETE FROM vectors WHERE stars < 20; DELETE FROM vectors WHERE stars = 30;
        DELETE FROM named WHERE doc > 'doc 3';
        UPDATE named SET embedding = '[1,1,1,1]' WHERE doc = 'doc 1';
        INSERT INTO named (doc, embedding) VALUES ('new', '[1,1,1,1]');
    """)
    agent.restore(snapshot)
    assert answers(agent) == before
    check(agent)


def test_only_the_rows_that_are_missing_are_inserted(agent: Agent) -> None:
    fill(agent)
    snapshot = agent.take(exclude=("bare_fts*",))
    agent.run(
        "DELETE FROM vectors WHERE stars <= 3;"
        "INSERT INTO notes_fts (rowid, title) VALUES (1000, 'mine');"
        "DELETE FROM notes_fts WHERE rowid = 3"
    )
    plan = agent.restore(snapshot, Mode.SKIP).plan
    assert {t.name: t.insert for t in plan.tables if t.insert} == {"main.vectors": 3, "main.notes_fts": 1}
    assert agent.run("SELECT count(*) FROM notes_fts") == [(41,)]
    check(agent)


def test_parts_are_restored_whole_or_not_at_all(agent: Agent) -> None:
    fill(agent)
    snapshot = agent.take()
    agent.run("INSERT INTO bare_fts (rowid, words) VALUES (100, 'seven'); DELETE FROM memories WHERE id = 7")
    plan = agent.restore(snapshot, Mode.SKIP).plan
    assert [t.name for t in plan.tables if not t.is_empty] == ["main.memories"]
    told = {(one.what, one.outcome) for table in plan.tables for one in table.drift}
    assert ("part of bare_fts", "left as it is: only --exact restores it") in told
    assert (100,) in agent.run(QUERIES["contentless"])
    check(agent)
    agent.restore(snapshot, Mode.EXACT)
    assert (100,) not in agent.run(QUERIES["contentless"])
    check(agent)


def test_without_its_module_a_table_comes_back_through_its_parts(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.run("CREATE TABLE memories (id INTEGER PRIMARY KEY, body)")
    agent.run("CREATE VIRTUAL TABLE named USING vec0(doc TEXT PRIMARY KEY, embedding FLOAT[4])")
    for n in range(30):
        agent.run("INSERT INTO named (doc, embedding) VALUES (?, ?)", (f"doc {n}", vector(4, n)))
    query = ("SELECT doc, distance FROM named WHERE embedding MATCH ? AND k = 5", (vector(4, 3),))
    before = agent.run(*query)
    with monkeypatch.context() as patch:
        patch.setattr(connecting, "_vec_library", lambda: None)
        snapshot = agent.take()
        assert {table.name for table in snapshot.sources[0].tables} >= {
            "main.named_chunks",
            "main.named_vector_chunks00",
        }
        new = agent.at("new.db")
        new.restore(snapshot, Mode.SKIP)
        new.stop()
    assert new.run(*query) == before
    new.run("INSERT INTO named (doc, embedding) VALUES ('one more', ?)", (vector(4, 3),))
    assert new.run("PRAGMA integrity_check") == [("ok",)]
    agent.run("DELETE FROM named WHERE doc < 'doc 2'")
    with monkeypatch.context() as patch:
        patch.setattr(connecting, "_vec_library", lambda: None)
        agent.restore(snapshot)
    agent.stop()
    assert agent.run(*query) == before


def test_the_embedding_of_a_vector_table_is_that_of_a_column(agent: Agent) -> None:
    agent.run("CREATE TABLE plain (id INTEGER PRIMARY KEY, embedding BLOB)")
    agent.run("CREATE VIRTUAL TABLE vectors USING vec0(embedding FLOAT[256])")
    for n in range(50):
        agent.run("INSERT INTO plain VALUES (?, ?)", (n, vector(256, n)))
        agent.run("INSERT INTO vectors (rowid, embedding) VALUES (?, ?)", (n, vector(256, n)))
    assert agent.taken(tables=("plain",)).bytes_new > 10_000
    assert agent.taken().bytes_new < 5_000


@pytest.mark.parametrize(
    ("sql", "held", "content"),
    [
        ("CREATE VIRTUAL TABLE t USING fts5(a, b)", "rows", ""),
        ("CREATE VIRTUAL TABLE t USING FTS5(a, content='')", "parts", ""),
        (
            'create virtual table if not exists main."using x" using fts5(a, tokenize = "unicode61 tokenchars x")',
            "rows",
            "",
        ),
        ('CREATE VIRTUAL TABLE t USING fts5(a, content = "it\'s, (mine)")', "rebuilt", "it's, (mine)"),
        ("CREATE VIRTUAL TABLE t USING fts4(content=t2, a)", "rebuilt", "t2"),
        ("CREATE VIRTUAL TABLE t USING fts3(a, content=t2)", "rows", ""),
        ("CREATE VIRTUAL TABLE t USING fts5vocab(f, row)", "alone", ""),
        ("CREATE VIRTUAL TABLE t USING fts5(a, locale=1)", "parts", ""),
        ("CREATE VIRTUAL TABLE t USING spellfix1", "parts", ""),
        ("CREATE VIRTUAL TABLE t USING vec0(a float[3])", "rows", ""),
    ],
)
def test_how_a_virtual_table_is_held(sql: str, held: str, content: str) -> None:
    found = read_virtual("t", sql)
    assert (found.held, found.content) == (held, content)
    assert read_virtual("t", sql, works=False).held == "parts"


def test_a_table_that_is_only_called_like_a_part_is_held(agent: Agent) -> None:
    agent.run("CREATE TABLE docs_content (id INTEGER PRIMARY KEY, body); INSERT INTO docs_content VALUES (1, 'mine')")
    agent.run("CREATE VIRTUAL TABLE docs USING fts5(body, content = 'docs_content', content_rowid = 'id')")
    agent.run("CREATE TABLE docs_data_of_mine (x); INSERT INTO docs_data_of_mine VALUES (1)")
    agent.run("CREATE VIRTUAL TABLE vectors USING vec0(embedding FLOAT[4])")
    agent.run(
        "CREATE TABLE vectors_auxiliary (rowid INTEGER PRIMARY KEY, mine);INSERT INTO vectors_auxiliary VALUES (1, 2)"
    )
    agent.run("INSERT INTO docs (docs) VALUES ('rebuild')")
    rows = {table.name: table.rows for table in agent.take().sources[0].tables}
    assert rows == {
        "main.docs_content": 1,
        "main.docs": 0,
        "main.docs_data_of_mine": 1,
        "main.vectors": 0,
        "main.vectors_auxiliary": 1,
    }


def test_a_table_named_after_one_that_has_no_parts_is_held(agent: Agent) -> None:
    agent.run("CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES ('one')")
    agent.run("CREATE VIRTUAL TABLE terms USING fts5vocab(f, row)")
    agent.run("CREATE TABLE terms_history (id INTEGER PRIMARY KEY, term); INSERT INTO terms_history VALUES (1, 'mine')")
    assert {table.name: table.rows for table in agent.take().sources[0].tables} == {
        "main.f": 1,
        "main.terms": 0,
        "main.terms_history": 1,
    }


@pytest.mark.parametrize("is_first", [True, False])
def test_a_virtual_table_is_no_part_of_one_whose_module_nobody_knows(agent: Agent, is_first: bool) -> None:
    statements = [
        "PRAGMA writable_schema = 1;"
        "INSERT INTO sqlite_schema VALUES ('table', 'mem', 'mem', 0, 'CREATE VIRTUAL TABLE mem USING mystery(x)');"
        "PRAGMA writable_schema = RESET",
        "CREATE VIRTUAL TABLE mem_fts USING fts5(body); INSERT INTO mem_fts VALUES ('kept')",
    ]
    for statement in statements if is_first else reversed(statements):
        agent.run(statement)
    agent.run("CREATE TABLE mem_store (x); INSERT INTO mem_store VALUES (1), (2)")
    snapshot = agent.take()
    assert {table.name: table.rows for table in snapshot.sources[0].tables} == {"main.mem_fts": 1, "main.mem_store": 2}
    new = agent.at("new.db")
    new.restore(snapshot)
    assert new.run("SELECT body FROM mem_fts('kept')") == [("kept",)]
    assert sorted(new.run("SELECT name FROM sqlite_schema")) == sorted(agent.run("SELECT name FROM sqlite_schema"))


def test_an_index_that_was_dropped_is_missed_and_made_again(agent: Agent) -> None:
    fill(agent)
    before, snapshot = answers(agent), agent.take()
    agent.run("DROP TABLE memories_fts; DROP TABLE terms; DROP TABLE bare_fts; DROP TABLE notes_fts")
    plan = agent.restore(snapshot, Mode.SKIP).plan
    made = {table.name for table in plan.tables if table.create}
    assert made >= {"main.memories_fts", "main.terms", "main.bare_fts_data", "main.notes_fts"}
    assert answers(agent) == before
    check(agent)


def test_how_a_full_text_table_ranks_comes_back(agent: Agent) -> None:
    agent.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE VIRTUAL TABLE f USING fts5(a, b)")
    agent.run("CREATE VIRTUAL TABLE g USING fts5(a, content = t, content_rowid = id)")
    for name in ("f", "g"):
        agent.run(f"INSERT INTO {name} ({name}, rank) VALUES ('rank', 'bm25(10.0, 5.0)'), ('automerge', 8)")
    snapshot = agent.take()
    new = agent.at("new.db")
    new.restore(snapshot)
    for name in ("f", "g"):
        assert new.run(f"SELECT * FROM {name}_config") == agent.run(f"SELECT * FROM {name}_config")
