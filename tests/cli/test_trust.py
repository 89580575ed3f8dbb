"""A plain repository that others can write to: its rows are put back, its SQL and its URLs are not acted on unasked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import apsw
import psycopg
import pytest

from snap_cli.settings import read_settings
from snapstore.backends.directory import DirectoryBackend
from snapstore.errors import Conflict, Corrupt, Invalid
from snapstore.operations.restore import Ask, restore
from snapstore.operations.take import Request, take
from snapstore.repository import Repository, Snapshot
from snapstore.sources import Selection
from snapstore.sources.postgres.connection import connect, execute_one
from snapstore.sources.postgres.source import PostgresSource
from snapstore.sources.sqlite.connection import create, memory
from tests.cli.command import Snap, rows, run


@pytest.fixture
def graph(folder: Path) -> Path:
    place = folder / "graph.db"
    with apsw.Connection(str(place)) as connection:
        connection.execute("CREATE TABLE edges (id INTEGER PRIMARY KEY, target TEXT)")
        connection.execute("CREATE VIEW seen AS SELECT target FROM edges; INSERT INTO edges VALUES (1, 'a'), (2, 'b')")
    connection.close()
    return place


def opened(folder: Path, mode: int) -> None:
    """Let others write into the repository, or not."""
    (folder / ".snapstore").chmod(mode)


def count(place: Path) -> int:
    connection = apsw.Connection(str(place))
    try:
        return int(connection.execute("SELECT count(*) FROM edges").get)
    finally:
        connection.close()


def test_what_others_can_write_is_not_run_unless_it_is_trusted(snap: Snap, graph: Path, folder: Path) -> None:
    snap("take", f"sqlite://{graph}")
    opened(folder, 0o777)
    made = folder / "made.db"
    error = snap.error("restore", "latest", "--to", f"sqlite://{made}", code=5)
    assert "main.edges" in error["message"]
    assert "--trust" in error["hint"]
    assert not made.exists() or not made.stat().st_size
    snap("restore", "latest", "--to", f"sqlite://{made}", "--trust")
    assert count(made) == 2
    with apsw.Connection(str(made)) as connection:
        connection.execute("DELETE FROM edges WHERE id = 1")
    connection.close()
    snap("restore", "latest", "--to", f"sqlite://{made}")  # rows alone are no SQL
    assert count(made) == 2
    made.unlink()
    opened(folder, 0o700)
    snap("restore", "latest", "--to", f"sqlite://{made}")
    assert count(made) == 2


def test_where_a_snapshot_says_it_is_from_is_not_believed(snap: Snap, graph: Path, folder: Path) -> None:
    snap("take", f"sqlite://{graph}")
    opened(folder, 0o770)
    for words, code in ((["status"], 1), (["diff", "latest", "live"], 1), (["restore", "latest"], 5)):
        error = snap.error(*words, code=code)
        assert str(graph) in error["message"]
        assert "--to" in error["hint"]
    snap("diff", "latest", "live", "--to", f"sqlite://{graph}")
    snap("status", "--trust")
    snap("status", env={"SNAP_SOURCE": f"sqlite://{graph}"})


def test_a_condition_in_a_snapshot_is_not_run(snap: Snap, graph: Path, folder: Path) -> None:
    snap("take", f"sqlite://{graph}", "--where", "edges=id < 9")
    opened(folder, 0o770)
    error = snap.error("diff", "latest", "live", "--to", f"sqlite://{graph}", code=1)
    assert "id < 9" in error["message"]
    assert snap.error("restore", "latest", "--to", f"sqlite://{graph}", code=5)["code"] == "conflict"
    snap("diff", "latest", "live", "--to", f"sqlite://{graph}", "--trust")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE a (x); ATTACH 'other.db' AS other",
        "ATTACH 'other.db' AS other",
        "VACUUM INTO 'other.db'",
        " CREATE TABLE a (x); DROP TABLE a",
        "",
    ],
)
def test_a_text_that_is_not_one_create_statement_is_damage(statement: str, folder: Path) -> None:
    with pytest.raises(Corrupt):
        create(memory(), statement)
    assert not list(folder.iterdir())
    create(memory(), "CREATE TABLE a (x)")


def test_what_a_restore_would_run_is_named_and_refused(databases: Callable[..., str], tmp_path: Path) -> None:
    source, empty = databases(), databases()
    run(
        source,
        "CREATE TABLE memories (id int PRIMARY KEY, content text DEFAULT 'x'); INSERT INTO memories VALUES (1, 'a');"
        "CREATE FUNCTION evil() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        "CREATE VIEW hot AS SELECT evil() FROM memories;",
    )
    repository = Repository.init(DirectoryBackend(tmp_path / "repository", create=True))
    snapshot = taken(repository, source)
    for database, told in (
        (empty, "table public.memories"),
        (empty, "function public.evil"),
        (empty, "view public.hot"),
    ):
        with pytest.raises(Conflict, match=told.replace(".", r"\.")):
            restore(repository, snapshot, PostgresSource(database), Ask(trusted=False))
    assert rows(empty, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [(0,)]
    run(source, "DELETE FROM memories")
    restored = restore(repository, snapshot, PostgresSource(source), Ask(trusted=False))
    assert restored.plan.tables[0].insert == 1
    run(source, "DROP VIEW hot; DELETE FROM memories")
    with pytest.raises(Conflict, match=r"view public\.hot"):
        restore(repository, snapshot, PostgresSource(source), Ask(trusted=False))
    run(source, "ALTER TABLE memories ALTER content TYPE varchar(9)")
    with pytest.raises(Conflict, match="types"):
        restore(repository, snapshot, PostgresSource(source), Ask(trusted=False, tables=("public.memories",)))


def taken(repository: Repository, url: str) -> Snapshot:
    return take(repository, [Request("agents", PostgresSource(url), Selection())]).snapshot


def test_words_of_a_snapshot_are_one_statement_or_none(database: str) -> None:
    with connect(database) as connection:
        execute_one(connection, psycopg.sql.SQL("CREATE TABLE a (x int)"))
        with pytest.raises(psycopg.errors.SyntaxError):
            execute_one(connection, psycopg.sql.SQL("CREATE TABLE b (x int); DROP TABLE a"))
    assert rows(database, "SELECT count(*) FROM a") == [(0,)]


def test_settings_that_somebody_else_left_above_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, above = folder / "own", folder / "snap.toml"
    own.mkdir()
    above.write_text("repository = 's3://somebody/else'", encoding="utf-8")
    assert read_settings(own).repository == "s3://somebody/else"
    real = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> object:
        found = real(path, follow_symlinks=follow_symlinks)
        if path != above:
            return found
        return dataclasses.make_dataclass("Other", ["st_uid", "st_mode"])(12345, found.st_mode)

    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises(Invalid, match="belongs to somebody else"):
        read_settings(own)
