"""Relationships from one store to another: what is missing at the other end is counted, and stops nothing."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from tests.cli.command import Snap, rows, run


@pytest.fixture
def linked(snap: Snap, folder: Path, url: str) -> apsw.Connection:
    """Memories in PostgreSQL, edges between them in a SQLite file; three of these lead nowhere."""
    run(url, "CREATE TABLE people (id uuid PRIMARY KEY, name text)")
    run(url, "INSERT INTO people VALUES ('00000000-0000-0000-0000-00000000000a', 'ann')")
    connection = apsw.Connection(str(folder / "graph.db"))
    connection.execute(
        "CREATE TABLE edges (id INTEGER PRIMARY KEY, a REAL, b, who TEXT);"
        "INSERT INTO edges VALUES (1, 1, 2, '00000000-0000-0000-0000-00000000000a'), (2, 3, NULL, NULL),"
        " (3, 101, '5', '00000000-0000-0000-0000-00000000000b'), (4, 102, 7, NULL)"
    )
    (folder / "snap.toml").write_text(
        f"[sources.agents]\nurl = '{url}'\n[sources.graph]\nurl = 'sqlite:///{folder}/graph.db'\n"
        "[[links]]\nfrom = 'graph:edges.a'\nto = 'agents:memories.id'\n"
        "[[links]]\nfrom = 'graph:edges.b'\nto = 'agents:memories.id'\n"
        "[[links]]\nfrom = 'graph:edges.who'\nto = 'agents:public.people.id'\n",
        encoding="utf-8",
    )
    return connection


def test_missing_ends_are_counted_wherever_a_snapshot_is_looked_at(snap: Snap, linked: apsw.Connection) -> None:
    links = snap.json("take")["links"]
    assert [(one["from"], one["rows"], one["missing"], one["examples"]) for one in links] == [
        ("graph:edges.a", 4, 2, ["101", "102"]),
        ("graph:edges.b", 3, 0, []),
        ("graph:edges.who", 2, 1, ["00000000-0000-0000-0000-00000000000b"]),
    ]
    told = "graph:edges.a → agents:memories.id: 2 of 4 rows refer to what is not there: 101, 102"
    assert told in snap("take").stderr
    assert told in snap("show", "latest").stdout
    assert snap.json("show", "latest")["links"] == links
    assert told in snap("restore", "latest", "--dry-run").stderr


def test_what_cannot_be_checked_is_said_and_is_no_error(snap: Snap, linked: apsw.Connection, folder: Path) -> None:
    assert "not checked: agents:memories is not in it" in snap("take", "graph").stderr
    assert snap.json("take", "agents")["links"] == []
    linked.execute("ALTER TABLE edges RENAME COLUMN a TO c")
    assert "not checked: graph:edges.a is not in it" in snap("take").stderr
    toml = (folder / "snap.toml").read_text(encoding="utf-8")
    (folder / "snap.toml").write_text(toml.replace("[sources.graph]", "where.memories = 'id > 5'\n[sources.graph]"))
    told = snap("take").stderr
    assert "2 of 3 rows refer to what is not there (only some rows of memories are held): 2, 5" in told


def test_a_row_is_restored_with_what_it_refers_to(snap: Snap, url: str) -> None:
    run(url, "CREATE TABLE edges (id int PRIMARY KEY, a int REFERENCES memories, b int REFERENCES memories)")
    run(url, "INSERT INTO edges VALUES (1, 5, 6)")
    snap("take", url)
    run(url, "DELETE FROM edges; DELETE FROM memories WHERE id < 10")
    snap("restore", "latest", "--key", "edges:1", "--with-related", "--table", "edges", code=2)
    snap("restore", "latest", "--with-related", code=2)
    told = snap("restore", "latest", "--key", "edges:1", "--with-related", "--dry-run").stdout
    assert "--with-related --plan" in told
    snap(*told.splitlines()[-1].split()[1:])
    assert rows(url, "SELECT id FROM memories WHERE id < 10 ORDER BY id") == [(5,), (6,)]


def test_a_row_is_restored_with_what_it_is_linked_to_and_other_stores_are_named(
    snap: Snap, linked: apsw.Connection, folder: Path, url: str
) -> None:
    linked.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, about TEXT); INSERT INTO notes VALUES (1, '3'), (2, 4)")
    with (folder / "snap.toml").open("a", encoding="utf-8") as file:
        file.write("[[links]]\nfrom = 'graph:notes.about'\nto = 'graph:edges.id'\n")
    snap("take")
    linked.execute("DELETE FROM notes; DELETE FROM edges")
    told = snap("restore", "latest", "--source", "graph", "--key", "notes:1", "--with-related").stderr
    assert linked.execute("SELECT * FROM notes").fetchall() == [(1, "3")]
    assert linked.execute("SELECT id FROM edges").fetchall() == [(3,)]
    assert "they refer to agents:memories.id, which --source agents restores: 101\n" in told
