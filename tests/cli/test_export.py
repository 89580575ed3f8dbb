"""`snap export` and `snap import`: what they print, where rows end up, and what is refused."""

from __future__ import annotations

import json
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from snapstore.operations.export import checksums, combined
from tests.cli.command import Snap, rows, run


def test_rows_go_out_and_come_back(snap: Snap, url: str, folder: Path) -> None:
    snap("take", url)
    before = rows(url, "SELECT * FROM memories ORDER BY id")
    result = snap("export", "latest", "--format", "json", "-o", "out")
    assert "the memory: memory is public.memories, content is content, vector is embedding" in result.stderr
    assert "public.memories   100" in result.stdout
    run(url, "DELETE FROM memories WHERE id > 50; UPDATE memories SET heat = 0 WHERE id = 1")
    dry = snap("import", "out", "--to", url, "--dry-run")
    assert "public.memories      50" in dry.stdout
    assert len(snap.json("list")) == 1
    snap("import", "out", "--to", url)
    assert rows(url, "SELECT count(*), min(heat) FROM memories") == [(100, 0)]
    snap("import", "out", "--to", url, "--conflict", "update")
    assert rows(url, "SELECT * FROM memories ORDER BY id") == before


def test_a_snapshot_can_be_made_of_an_export_alone(snap: Snap, url: str, databases: Callable[..., str]) -> None:
    snap("take", url)
    snap("export", "latest", "--format", "jsonl", "-o", "out")
    made = snap.json("import", "out", "--as-snapshot", "--tag", "imported")
    assert made["rows"] == 102
    assert "no differences" in snap("diff", "latest~1", "imported").stdout
    elsewhere = databases(vector=True)
    snap("restore", "imported", "--to", elsewhere)
    assert rows(elsewhere, "SELECT count(*) FROM memories") == [(100,)]


def test_a_take_after_an_import_reads_everything(snap: Snap, url: str) -> None:
    snap("take", url)
    snap("export", "latest", "--format", "jsonl", "-o", "out")
    snap("import", "out", "--as-snapshot")
    run(url, "UPDATE memories SET heat = 3 WHERE id = 7")
    taken = snap.json("take", url)
    (memories,) = [table for table in taken["sources"][0]["tables"] if table["name"] == "public.memories"]
    assert memories["changed"] == 1
    assert memories["reading"].startswith("in full")


def test_vectors_that_a_csv_lacks_are_null_and_that_is_said(snap: Snap, url: str) -> None:
    snap("take", url)
    assert "without its vectors (embedding)" in snap("export", "latest", "--format", "csv", "-o", "out").stderr
    run(url, "DELETE FROM memories WHERE id = 1")
    assert "the export has no embedding" in snap("import", "out", "--to", url).stderr
    assert rows(url, "SELECT content, embedding FROM memories WHERE id = 1") == [
        ("memory number 1 of an agent that remembers", None)
    ]


def test_live_rows_and_conditions(snap: Snap, url: str, folder: Path) -> None:
    snap("take", url)
    run(url, "UPDATE memories SET content = 'new' WHERE id = 1")
    words = ("--format", "json", "--table", "memories", "--where", "id < 4", "--no-vectors", "-o", "out")
    told = snap.json("export", "live", *words)
    assert told["rows"] == {"public.memories": 3}
    assert told["snapshot"] == "live"
    document = json.loads((folder / "out/export.json").read_bytes())
    assert document["memories"][0]["content"] == "new"
    assert set(document["memories"][0]) == {"id", "content", "heat", "seen"}


def test_several_sources_stay_apart(snap: Snap, url: str, databases: Callable[..., str], folder: Path) -> None:
    other = databases()
    run(other, "CREATE TABLE memories (id int PRIMARY KEY, content text); INSERT INTO memories VALUES (1, 'other')")
    (folder / "snap.toml").write_text(f"[sources.a]\nurl = '{url}'\n[sources.b]\nurl = '{other}'\n", encoding="utf-8")
    snap("take")
    snap("export", "latest", "--format", "jsonl", "-o", "out")
    snap("import", "out", "--as-snapshot")
    assert "no differences" in snap("diff", "latest~1", "latest").stdout
    assert "several sources" in snap("import", "out", "--to", "b", code=2).stderr
    run(other, "TRUNCATE memories")
    snap("import", "out", "--to", "b", "--source", "b")
    assert rows(other, "SELECT content FROM memories") == [("other",)]


def test_what_is_wrong_is_refused_and_nothing_is_left(snap: Snap, url: str, folder: Path) -> None:
    snap("take", url)
    snap("export", "latest", "--format", "jsonl", "-o", "out")
    assert "not empty" in snap("export", "latest", "--format", "json", "-o", "out", code=1).stderr
    assert "whose a memory is" in snap("export", "latest", "--format", "json", "-o", "x", "--user", "a", code=2).stderr
    assert not (folder / "x").exists()
    assert "where to" in snap("import", "out", code=2).stderr
    assert "metadata.json" in snap("import", ".", "--as-snapshot", code=1).stderr
    path = folder / "out/memories.jsonl"
    path.write_bytes(path.read_bytes().replace(b"number 7 ", b"number 8 "))
    assert "memories.jsonl was changed" in snap("import", "out", "--as-snapshot", code=4).stderr
    assert len(snap.json("list")) == 1


@pytest.mark.parametrize("form", ["markdown", "parquet"])
def test_the_other_formats_are_written(snap: Snap, url: str, folder: Path, form: str) -> None:
    snap("take", url)
    files = snap.json("export", "latest", "--format", form, "-o", "out")["files"]
    assert all((folder / "out" / name).is_file() for name in files)


def test_sqlite_goes_out_and_comes_back(snap: Snap, folder: Path) -> None:
    import sqlite3

    with sqlite3.connect(folder / "agents.db") as connection:
        connection.executescript(
            "CREATE TABLE notes (id INTEGER PRIMARY KEY, body, extra);"
            "INSERT INTO notes VALUES (1, 'text', x'0001'), (2, 17, 0.5), (3, '17', NULL), (4, '', '{\"a\": 1}');"
        )
    connection.close()
    snap("take", "sqlite://" + str(folder / "agents.db"))
    for form in ("json", "csv", "parquet"):
        snap("export", "latest", "--format", form, "-o", form)
        snap("import", form, "--as-snapshot", "--tag", form)
        assert "no differences" in snap("diff", "latest~1", "latest").stdout, form


def test_exact_deletes_nothing_that_an_export_left_out(snap: Snap, folder: Path) -> None:
    with closing(sqlite3.connect(folder / "a.db")) as database, database:
        database.execute("CREATE TABLE memories (id INTEGER PRIMARY KEY, content TEXT, owner TEXT)")
        database.executemany(
            "INSERT INTO memories VALUES (?, '', ?)", [(n, "ann" if n % 2 else "bob") for n in range(9)]
        )
    url = f"sqlite://{folder}/a.db"
    snap("take", url)
    snap("export", "latest", "--format", "json", "--user", "ann", "-o", "of-ann")
    snap("export", "latest", "--format", "csv", "--where", "id < 3", "-o", "some", "--to", url)
    snap("take", url, "--where", "memories=id < 3")
    assert (
        "only the rows that meet id < 3 were taken"
        in snap("export", "latest", "--format", "jsonl", "-o", "filtered").stderr
    )
    for name in ("of-ann", "some", "filtered"):
        assert "main.memories: only the rows" in snap("import", name, "--as-snapshot").stderr
        (table,) = snap.json("restore", "latest", "--to", url, "--exact", "--dry-run")["tables"]
        assert (table["delete"], table["insert"]) == (0, 0), name


def test_an_import_of_a_file_tree_knows_what_chose_its_files(snap: Snap, folder: Path) -> None:
    tree = folder / "tree"
    tree.mkdir()
    for name in ("a.md", "b.md", "c.txt"):
        (tree / name).write_text(name, encoding="utf-8")
    snap("take", str(tree), "--only", "*.md")
    snap("export", "latest", "--format", "json", "-o", "out")
    (tree / "a.md").unlink()
    snap("import", "out", "--as-snapshot")
    assert "no live source" in snap("restore", "latest", code=2).stderr
    dry = snap("restore", "latest", "--to", str(tree), "--exact", "--dry-run")
    assert "would" not in dry.stderr
    snap("restore", "latest", "--to", str(tree), "--exact", "--yes")
    assert sorted(one.name for one in tree.iterdir()) == ["a.md", "b.md", "c.txt"]


def test_what_a_dry_run_of_an_import_says_can_be_typed(snap: Snap, folder: Path) -> None:
    with closing(sqlite3.connect(folder / "a.db")) as database, database:
        database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        database.execute("INSERT INTO t VALUES (1), (2)")
    snap("take", f"sqlite://{folder}/a.db")
    snap("export", "latest", "--format", "json", "-o", "out")
    with closing(sqlite3.connect(folder / "a.db")) as database, database:
        database.execute("DELETE FROM t WHERE id = 2")
    dry = snap("import", "out", "--to", f"sqlite://{folder}/a.db", "--dry-run").stdout
    _, *words = shlex.split(dry.splitlines()[-1])
    assert "1 row inserted" in snap(*words).stdout


@pytest.mark.parametrize(
    "field",
    [{"kind": []}, {"source": 5}, {"file": 7}, {"file": "../x"}, {"file": "none"}, {"left_out": [3]}, {"rows": 9}],
)
def test_an_export_that_lies_about_itself_is_refused_and_nothing_is_kept(
    snap: Snap, folder: Path, field: dict[str, object]
) -> None:
    (folder / "tree").mkdir()
    (folder / "tree/a.md").write_text("a", encoding="utf-8")
    snap("take", "./tree")
    snap("export", "latest", "--format", "jsonl", "-o", "out")
    about = json.loads((folder / "out/metadata.json").read_bytes())
    about["tables"][0].update(field)
    (folder / "out/metadata.json").write_text(json.dumps(about), encoding="utf-8")
    files = checksums(folder / "out")
    sums = json.dumps({"files": files, "combined": combined(files)})
    (folder / "out/checksums.json").write_text(sums, encoding="utf-8")
    snap("import", "out", "--as-snapshot", code=4)
    assert len(snap.json("list")) == 1
