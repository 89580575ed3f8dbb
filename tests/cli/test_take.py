"""`snap take` on a real database: what it prints, what it leaves out, and how it names things."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from snapstore.backends.directory import DirectoryBackend
from snapstore.repository import Repository
from tests.cli.command import Snap, run


def test_take_prints_id_tables_rows_and_bytes(snap: Snap, url: str) -> None:
    result = snap("take", url, "--tag", "before", "--tag", "nightly", "--description", "first of all")
    assert "102 rows in 2 tables" in result.stdout
    assert "[before nightly]" in result.stdout
    assert "public.memories" in result.stdout
    assert "stored" in result.stdout
    assert result.stderr == ""


def test_take_as_json_has_the_shape_of_the_contract(snap: Snap, url: str) -> None:
    taken = snap.json("take", url, "--tag", "t")
    assert {"snapshot", "tags", "sources", "bytes_read", "bytes_added", "seconds"} <= taken.keys()
    assert len(taken["snapshot"]) == 32
    assert taken["tags"] == ["t"]
    (source,) = taken["sources"]
    assert source["kind"] == "postgresql"
    tables = {table["name"]: table for table in source["tables"]}
    assert set(tables) == {"public.memories", "public.visits"}
    assert {"name", "rows", "root", "added", "changed", "removed"} <= tables["public.memories"].keys()
    assert tables["public.memories"]["rows"] == 100
    assert len(tables["public.memories"]["root"]) == 64


def test_a_second_take_counts_what_changed(snap: Snap, url: str) -> None:
    snap("take", url)
    run(
        url,
        "UPDATE memories SET heat = 2 WHERE id <= 10; DELETE FROM memories WHERE id > 97;"
        "INSERT INTO visits VALUES ('c', 'today', '')",
    )
    (source,) = snap.json("take", url)["sources"]
    tables = {table["name"]: (table["added"], table["changed"], table["removed"]) for table in source["tables"]}
    assert tables == {"public.memories": (0, 10, 3), "public.visits": (1, 0, 0)}


def test_the_first_take_without_a_repository_says_how_to_make_one(folder: object, url: str) -> None:
    from_nowhere = Snap(folder)  # type: ignore[arg-type]  # a Path
    result = from_nowhere("take", url, code=10)
    assert "snap init" in result.stderr
    assert from_nowhere.error("take", url, code=10)["code"] == "no_repository"


def test_a_source_is_named_for_its_database_unless_told_otherwise(snap: Snap, url: str) -> None:
    database = url.partition("@/")[2].partition("?")[0]
    assert snap.json("take", url)["sources"][0]["name"] == database
    assert snap.json("take", url, "--name", "agents")["sources"][0]["name"] == "agents"


def test_key_value_strings_are_sources_too(snap: Snap, url: str) -> None:
    database, host = url.partition("@/")[2].partition("?")[0], url.partition("host=")[2].partition("&")[0]
    taken = snap.json("take", f"dbname={database} host={host} port=5432 user=postgres")
    assert taken["sources"][0]["name"] == database


def test_backup_is_another_word_for_take(snap: Snap, url: str) -> None:
    snap("backup", url)
    assert len(snap.json("snapshots")) == 1


def test_tables_columns_and_rows_can_be_left_out_and_that_is_said(snap: Snap, url: str) -> None:
    result = snap(
        "take", url, "--table", "memories", "--exclude-column", "memories.embedding", "--where", "memories=id <= 7"
    )
    assert "only the rows where id <= 7" in result.stderr
    assert "without 1 column: embedding" in result.stderr
    (source,) = snap.json("show", "latest")["sources"]
    (table,) = source["tables"]
    assert (table["name"], table["rows"], table["left_out"]) == ("public.memories", 7, ["embedding"])


def test_excluded_tables_and_vectors_are_left_out(snap: Snap, url: str) -> None:
    snap("take", url, "--exclude", "vis*", "--no-vectors")
    (table,) = snap.json("show", "latest")["sources"][0]["tables"]
    assert table["left_out"] == ["embedding"]


def test_only_shapes_can_be_taken(snap: Snap, url: str) -> None:
    assert "no rows" in snap("take", url, "--schema-only").stderr
    assert all(table["root"] is None for table in snap.json("show", "latest")["sources"][0]["tables"])


def test_what_cannot_be_held_is_refused_by_name_or_saved_as_incomplete(snap: Snap, url: str) -> None:
    run(url, "CREATE TYPE shared AS (f regproc); CREATE TABLE odd (s shared)")
    error = snap.error("take", url, code=1)
    assert error["code"] == "unsupported"
    assert "public.odd" in error["message"]
    assert snap.json("list") == []
    result = snap("take", url, "--allow-partial", code=3)
    assert "public.odd" in result.stderr
    assert "incomplete" in result.stderr
    assert "public.odd" in snap("show", "latest").stderr


def test_several_sources_make_one_snapshot_and_one_may_be_away(
    snap: Snap, url: str, databases: Callable[..., str]
) -> None:
    other = databases()
    run(other, "CREATE TABLE t (id int PRIMARY KEY)")
    assert len(snap.json("take", url, other)["sources"]) == 2
    away = "postgresql://postgres@127.0.0.1:1/away"
    snap("take", url, away, code=1)
    result = snap("take", url, away, "--allow-partial", code=3)
    assert "away" in result.stderr


def test_misuse_is_told_before_anything_is_done(snap: Snap, url: str) -> None:
    for words in (
        ["--where", "nonsense"],
        ["--where", "nothere=id > 1"],
        ["--tag", "two words"],
        ["--tag", "latest"],
        ["--table", "nothere"],
        ["--exclude-column", "memories.nothere"],
    ):
        assert snap.error("take", url, *words, code=2)["code"] == "invalid"
    snap("take", code=2)
    snap("take", "nosuchname", code=2)
    snap("take", url, url, code=2)
    assert snap.json("list") == []


def test_a_sqlite_file_may_be_written_as_a_path(snap: Snap, folder: Path) -> None:
    with closing(sqlite3.connect(folder / "my agents.db")) as file, file:
        file.execute("CREATE TABLE memories (id INTEGER PRIMARY KEY)")
    assert snap.json("take", "./my agents.db")["sources"][0]["kind"] == "sqlite"
    assert "Did you mean ./my agents.db" in snap("take", "my agents.db", code=2).stderr


def test_a_snapshot_from_the_future_is_told_of_and_pushes_nothing_out(snap: Snap, folder: Path) -> None:
    with closing(sqlite3.connect(folder / "agents.db")) as file, file:
        file.execute("CREATE TABLE memories (id INTEGER PRIMARY KEY)")
    ahead = snap.json("take", "./agents.db")["snapshot"]
    repository = Repository.open(DirectoryBackend(folder / ".snapstore"))
    repository.change(ahead, lambda one: replace(one, time=datetime(2999, 1, 1, tzinfo=UTC)))
    told = snap("take", "./agents.db").stderr
    assert f"{ahead[:8]} is dated 2999-01-01 00:00:00 UTC, after this one" in told
    taken = snap.json("take", "./agents.db")
    assert taken["later"] == [ahead]
    assert "which is in the future" in snap("restore", "latest", "--dry-run", "--to", "./agents.db").stderr
    assert set(snap.json("gc", "--keep-last", "1")["kept"]) == {ahead, taken["snapshot"]}
