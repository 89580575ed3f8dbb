"""One snapshot of PostgreSQL and SQLite together: taken, compared, and restored one after the other."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.cli.command import Snap, rows, run


def execute(place: Path, statements: str) -> None:
    with sqlite3.connect(place) as connection:
        connection.executescript(statements)
    connection.close()


def fetch(place: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(place)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.fixture
def graph(folder: Path) -> Path:
    place = folder / "graph.db"
    execute(place, "CREATE TABLE edges (source INT, target TEXT, PRIMARY KEY (source, target)) WITHOUT ROWID")
    execute(place, "INSERT INTO edges VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    return place


def test_two_engines_are_one_snapshot(snap: Snap, url: str, graph: Path) -> None:
    taken = snap.json("take", url, f"sqlite://{graph}")
    names = [source["name"] for source in taken["sources"]]
    assert [source["kind"] for source in taken["sources"]] == ["postgresql", "sqlite"]
    run(url, "DELETE FROM memories WHERE id < 4; UPDATE memories SET heat = 0.5 WHERE id = 50")
    execute(graph, "DELETE FROM edges WHERE source = 2; INSERT INTO edges VALUES (9, 'junk')")
    different = {(one["source"], one["name"]): one for one in snap.json("status")["tables"]}
    assert different[names[0], "public.memories"]["removed"] == 3
    assert different["graph", "main.edges"]["added"] == 1
    plan = snap.json("restore", "latest", "--exact", "--dry-run")
    assert {(t["source"], t["name"]): t["delete"] for t in plan["tables"]}["graph", "main.edges"] == 1
    snap("restore", "latest", "--exact", code=2)  # it deletes, and nobody is asked
    told = snap("restore", "latest", "--exact", "--dry-run").stdout
    assert f"--plan {plan['plan']}" in told
    assert "graph: main.edges" in told
    done = snap.json("restore", "latest", "--exact", "--yes", "--plan", plan["plan"])
    assert [source["name"] for source in done["sources"]] == names
    assert all(source["safety"] for source in done["sources"])
    assert rows(url, "SELECT count(*), min(heat) FROM memories") == [(100, 1.0)]
    assert fetch(graph, "SELECT * FROM edges") == [(1, "a"), (2, "b"), (3, "c")]
    snap("status", "--exit-code")
    assert snap.error("restore", "latest", "--exact", "--yes", "--plan", plan["plan"], code=5)["code"] == "conflict"


def test_tables_are_chosen_across_sources(snap: Snap, url: str, graph: Path) -> None:
    snap("take", url, f"sqlite://{graph}")
    run(url, "DELETE FROM memories")
    execute(graph, "DELETE FROM edges")
    snap("restore", "latest", "--table", "edges")
    assert fetch(graph, "SELECT count(*) FROM edges") == [(3,)]
    assert rows(url, "SELECT count(*) FROM memories") == [(0,)]
    assert "nothing" in snap.error("restore", "latest", "--table", "nothing", code=2)["message"]
    assert "one source" in snap.error("restore", "latest", "--key", "edges:1,a", code=2)["message"]
    snap("restore", "latest", "--source", "graph", "--key", "edges:1,a")


def test_a_failure_after_others_were_restored_says_where_things_stand(snap: Snap, url: str, graph: Path) -> None:
    snap("take", url, f"sqlite://{graph}")
    run(url, "DELETE FROM memories WHERE id = 1")
    execute(graph, "DROP TABLE edges; CREATE VIEW edges AS SELECT 1 AS source")
    failed = snap("restore", "latest", code=5)
    assert "was restored; `snap undo" in failed.stderr
    assert "not restored: graph" in failed.stderr
    assert rows(url, "SELECT count(*) FROM memories") == [(100,)]
    execute(graph, "DROP VIEW edges")
    snap("restore", "latest")
    assert fetch(graph, "SELECT count(*) FROM edges") == [(3,)]


def test_three_sources_are_restored_on_from_where_it_stopped(snap: Snap, url: str, graph: Path, folder: Path) -> None:
    notes = folder / "notes"
    notes.mkdir()
    (notes / "tea.md").write_text("likes tea\n")
    names = [one["name"] for one in snap.json("take", url, str(notes), f"sqlite://{graph}")["sources"]]
    run(url, "DELETE FROM memories WHERE id = 1")
    (notes / "tea.md").unlink()
    (notes / "tea.md").mkdir()  # what a restore without --exact never takes away
    (notes / "tea.md" / "mine").write_text("kept\n")
    execute(graph, "DELETE FROM edges")
    failed = snap("restore", "latest", "--conflict", "update", code=5)
    assert f"{names[0]} was restored; `snap undo" in failed.stderr
    assert f"not restored: {names[1]}, {names[2]}; the same command goes on" in failed.stderr
    assert rows(url, "SELECT count(*) FROM memories") == [(100,)]
    assert fetch(graph, "SELECT count(*) FROM edges") == [(0,)]
    assert (notes / "tea.md" / "mine").read_text() == "kept\n"
    (notes / "tea.md" / "mine").unlink()
    (notes / "tea.md").rmdir()
    done = snap.json("restore", "latest", "--conflict", "update")
    # What was restored before is looked at again, and nothing of it written.
    assert [bool(one["safety"]) for one in done["sources"]] == [False, True, True]
    assert (notes / "tea.md").read_text() == "likes tea\n"
    assert fetch(graph, "SELECT count(*) FROM edges") == [(3,)]
    snap("status", "--exit-code")


def test_a_salvaged_snapshot_is_incomplete(snap: Snap, folder: Path) -> None:
    place = folder / "hurt.db"
    execute(
        place,
        "PRAGMA page_size = 512; CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE u (id INTEGER PRIMARY KEY)",
    )
    execute(
        place,
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300) "
        "INSERT INTO t SELECT n, 'row ' || n || '-' FROM c",
    )
    data = bytearray(place.read_bytes())
    page = data.index(b"row 150-") // 512 * 512
    data[page : page + 8] = b"\xff" * 8
    place.write_bytes(data)
    error = snap.error("take", f"sqlite://{place}", code=4)
    assert "main.u: all of its 0 rows can be read" in error["message"]
    assert "SQLite" in snap.error("take", "postgresql://me@nowhere/x", "--salvage", code=2)["message"]
    told = snap("take", f"sqlite://{place}", "--salvage", code=3)
    assert "it is damaged" in told.stderr
    [source] = snap.json("show", "latest")["sources"]
    assert 200 < source["tables"][0]["rows"] < 300


def test_rows_and_keys_of_sqlite_are_shown(snap: Snap, folder: Path) -> None:
    place = folder / "notes.db"
    execute(
        place,
        "CREATE TABLE notes (id TEXT PRIMARY KEY, v, embedding BLOB);"
        "INSERT INTO notes VALUES ('a', 1.5, x'0000803f00000040'), ('7', x'00ff', 'none')",
    )
    snap("take", f"sqlite://{place}", "--where", "notes=v IS NOT NULL")
    row = snap.json("show", "latest:notes:a")["row"]
    assert (row["id"], row["v"], row["embedding"]) == ("a", 1.5, [1.0, 2.0])
    assert snap.json("show", "latest:notes:7")["row"]["v"] == {"hex": "00ff"}
    execute(
        place,
        "UPDATE notes SET embedding = x'00000040000080bf' WHERE id = 'a';"
        "UPDATE notes SET embedding = x'00000040' WHERE id = '7'",
    )
    told = snap("status", "--rows").stdout
    assert "cosine distance" in told
    assert "none → [2.0]" in told
    assert snap.error("show", "latest:notes:gone", code=1)["code"] == "not_found"
    assert "sqlite:///" in snap.error("take", "mysql://x", code=2)["hint"]


@pytest.fixture
def two(snap: Snap, folder: Path) -> dict[str, Path]:
    """Two files named in snap.toml, one snapshot of both, and rows that are lost in the second one since."""
    places = {name: folder / f"file_{name}.db" for name in ("a", "b")}
    for name, place in places.items():
        execute(place, f"CREATE TABLE notes (id INTEGER PRIMARY KEY, v); INSERT INTO notes VALUES (1, '{name}')")
    toml = [f'[sources.{name}]\nurl = "sqlite://{place}"\n' for name, place in places.items()]
    (folder / "snap.toml").write_text("".join(toml), encoding="utf-8")
    snap("take", "a", "b")
    execute(places["b"], "DELETE FROM notes")
    return places


def test_the_default_source_is_never_taken_for_another_of_the_snapshot(snap: Snap, two: dict[str, Path]) -> None:
    restore = ("restore", "latest", "--source", "b", "--exact", "--yes")
    for value in ("a", f"sqlite://{two['a']}"):
        assert "--to" in snap(*restore, code=2, env={"SNAP_SOURCE": value}).stderr
        assert "--to" in snap("diff", "latest", "live", "--source", "b", code=2, env={"SNAP_SOURCE": value}).stderr
        assert fetch(two["a"], "SELECT v FROM notes") == [("a",)]
        assert fetch(two["b"], "SELECT v FROM notes") == []
    for value in ("b", f"sqlite://{two['b']}"):
        snap(*restore, env={"SNAP_SOURCE": value})
        assert fetch(two["b"], "SELECT v FROM notes") == [("b",)]
        assert "--to" in snap("undo", "--yes", code=2, env={"SNAP_SOURCE": "a"}).stderr
        snap("undo", "--yes", env={"SNAP_SOURCE": value})
        assert fetch(two["b"], "SELECT v FROM notes") == []
    snap(*restore, "--to", "a", env={"SNAP_SOURCE": "b"})  # where it is said, it is done
    assert fetch(two["a"], "SELECT v FROM notes") == [("b",)]


def test_sources_that_the_default_source_leaves_out_are_named(snap: Snap, two: dict[str, Path]) -> None:
    for value in ("a", f"sqlite://{two['a']}"):
        for words in (["status"], ["diff", "latest", "live"], ["restore", "latest", "--exact", "--yes"]):
            assert "left out: b (SNAP_SOURCE is a)" in snap("-q", *words, env={"SNAP_SOURCE": value}).stderr
    assert fetch(two["b"], "SELECT v FROM notes") == []
    assert "SNAP_SOURCE" in snap("status", code=2, env={"SNAP_SOURCE": "sqlite:///nowhere/c.db"}).stderr
    assert "left out" not in snap("status").stderr
