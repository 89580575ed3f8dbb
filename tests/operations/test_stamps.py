"""A take that reads only what may have changed gives the root of a full one, whatever happened to the database.

Each story happens between two takes; then the incremental root must be that of a full read, and the reading must be
the one expected: by stamps where they can be trusted, in full where they cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snap_cli.embedded import EmbeddedServer
from snapstore import Ask, Mode, PostgresSource, Selection, restore
from tests.operations.watched import Watched

ROWS = 3000
SCHEMA = f"""
CREATE TYPE mood AS ENUM ('calm', 'eager');
CREATE TABLE memories (id bigint PRIMARY KEY, content text NOT NULL, heat real, feeling mood, long text);
INSERT INTO memories SELECT g, 'memory ' || g, g / 10.0, 'calm', repeat(md5(g::text), 40)
FROM generate_series(1, {ROWS}) g"""


@pytest.fixture
def watched(database: str, tmp_path: Path) -> Iterator[Watched]:
    one = Watched(database, tmp_path, SCHEMA)
    yield one
    one.connection.close()


def test_an_idle_table_is_not_read(watched: Watched) -> None:
    table = watched.check()
    assert table.reading == f"by stamps: 0 of {ROWS:,} rows"
    assert (table.added, table.changed, table.removed) == (0, 0, 0)


BY_STAMPS = {
    "updates, inserts and deletes": (
        "UPDATE memories SET heat = 1 WHERE id % 100 = 7; DELETE FROM memories WHERE id % 500 = 3; "
        "INSERT INTO memories SELECT g, 'new', 0 FROM generate_series(5000, 5020) g",
        51,
    ),
    "a key that changes": ("UPDATE memories SET id = id + 100000 WHERE id % 1000 = 1", 3),
    "VACUUM FULL": ("VACUUM FULL memories", None),
    "VACUUM FREEZE": ("VACUUM FREEZE memories", 0),
    "CLUSTER": ("CLUSTER memories USING memories_pkey", None),
    "a rolled back update": ("BEGIN; UPDATE memories SET heat = 0; ROLLBACK", 0),
    "an update that sets what is there": ("UPDATE memories SET heat = heat WHERE id = 5", 1),
    "TRUNCATE and reload in one transaction": (
        "BEGIN; CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE memories; TRUNCATE memories; "
        "INSERT INTO memories SELECT * FROM kept WHERE id % 2 = 0; COMMIT",
        ROWS // 2,
    ),
    "savepoints, some rolled back": (
        "BEGIN; UPDATE memories SET heat = 1 WHERE id = 1; SAVEPOINT a; UPDATE memories SET heat = 2 WHERE id = 2; "
        "ROLLBACK TO a; SAVEPOINT b; UPDATE memories SET heat = 3 WHERE id = 3; RELEASE b; COMMIT",
        2,
    ),
    "an index that comes and goes": ("CREATE INDEX gone ON memories (heat); DROP INDEX gone", 0),
}


@pytest.mark.parametrize("story", BY_STAMPS)
def test_only_what_moved_is_read_after(watched: Watched, story: str) -> None:
    statements, fetched = BY_STAMPS[story]
    watched.run(statements)
    reading = watched.check().reading
    if fetched is not None:
        assert reading.startswith(f"by stamps: {fetched:,} of ")


IN_FULL = {
    "a column that comes": ("ALTER TABLE memories ADD COLUMN extra int DEFAULT 5", "its shape changed"),
    "a column dropped and made again": (
        "ALTER TABLE memories DROP COLUMN heat; ALTER TABLE memories ADD COLUMN heat real; "
        "ALTER TABLE memories DROP COLUMN feeling; ALTER TABLE memories ADD COLUMN feeling mood; "
        "ALTER TABLE memories DROP COLUMN long; ALTER TABLE memories ADD COLUMN long text",
        "the meaning of a type changed|made anew or its columns changed",
    ),
    "a label of an enum renamed": ("ALTER TYPE mood RENAME VALUE 'calm' TO 'quiet'", "meaning of a type|its shape"),
    "a table dropped and made again": (
        "CREATE TABLE other (LIKE memories INCLUDING ALL); INSERT INTO other SELECT * FROM memories; "
        "DROP TABLE memories; ALTER TABLE other RENAME TO memories; "
        "ALTER INDEX other_pkey RENAME TO memories_pkey",
        "made anew|its shape",
    ),
    "a rewrite to another type": ("ALTER TABLE memories ALTER heat TYPE double precision", "its shape changed"),
    "a change of most rows": ("UPDATE memories SET heat = heat * 0.97", None),
}


@pytest.mark.parametrize("story", IN_FULL)
def test_whatever_makes_stamps_doubtful_means_a_right_root(watched: Watched, story: str) -> None:
    statements, reason = IN_FULL[story]
    for statement in statements.split(";"):
        watched.connection.execute(statement)
    reading = watched.check().reading
    if reason is not None:
        assert reading.startswith("in full: ")
        assert any(word in reading for word in reason.split("|")), reading


def test_a_transaction_that_was_open_during_the_last_take_is_not_missed(watched: Watched) -> None:
    with psycopg.connect(watched.url) as writer:
        writer.execute("UPDATE memories SET heat = -1 WHERE id = 77")
        watched.take()
        watched.connection.execute("UPDATE memories SET heat = -2 WHERE id = 78")
        watched.take()
        writer.commit()
    assert watched.check().changed == 1


def test_another_condition_and_other_columns_are_read_in_full(watched: Watched) -> None:
    some = watched.take(selection=Selection(where={"public.memories": "id < 2000"}))
    assert some.reading == "in full: another condition chooses its rows"
    assert some.rows == 1999
    fewer = watched.take(selection=Selection(exclude_columns=("public.memories.long",)))
    assert fewer.reading == "in full: its shape changed"


def test_a_condition_that_lets_in_old_rows_is_read_in_full(watched: Watched) -> None:
    watched.connection.execute("CREATE TABLE chosen (most int PRIMARY KEY); INSERT INTO chosen VALUES (2000)")
    selection = Selection(where={"public.memories": "id <= (SELECT max(most) FROM public.chosen)"})
    assert watched.take(selection=selection).rows == 2000
    watched.connection.execute("UPDATE chosen SET most = 2500")
    after = watched.take(selection=selection)
    assert after.rows == 2500
    assert after.reading.startswith("in full: ")


@given(st.lists(st.tuples(st.sampled_from("uidsar"), st.integers(1, ROWS), st.integers(1, 40)), max_size=12))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_history_gives_the_root_of_a_full_read(watched: Watched, edits: list[tuple[str, int, int]]) -> None:
    statements: dict[str, Callable[[int, int], str]] = {
        "u": lambda at, n: f"UPDATE memories SET heat = {n} WHERE id BETWEEN {at} AND {at + n}",
        "i": lambda at, n: (
            f"INSERT INTO memories SELECT {at + 100000} + g, 'x', {n} FROM generate_series(1, {n}) g "
            "ON CONFLICT DO NOTHING"
        ),
        "d": lambda at, n: f"DELETE FROM memories WHERE id BETWEEN {at} AND {at + n}",
        "s": lambda at, n: (
            f"BEGIN; SAVEPOINT a; UPDATE memories SET heat = {n} WHERE id = {at}; ROLLBACK TO a; "
            f"DELETE FROM memories WHERE id = {at + n}; COMMIT"
        ),
        "a": lambda at, n: f"UPDATE memories SET id = id + 500000 WHERE id BETWEEN {at} AND {at + n // 8}",
        "r": lambda at, n: f"BEGIN; DELETE FROM memories WHERE id > {at}; ROLLBACK",
    }
    for kind, at, n in edits:
        watched.connection.execute(statements[kind](at, n))
    watched.check()


def test_a_server_that_crashed_or_was_restarted_is_read_in_full(tmp_path: Path) -> None:
    with EmbeddedServer(settings={"fsync": "on", "max_prepared_transactions": "4"}) as server:
        watched = Watched(server.create_database("agents"), tmp_path, SCHEMA)
        watched.connection.execute("SET synchronous_commit = off; UPDATE memories SET heat = 1 WHERE id = 1")
        assert watched.take().reading.startswith("by stamps: 1 of")
        watched.connection.execute("UPDATE memories SET heat = 2 WHERE id < 20")
        watched.connection.close()
        server.restart(crash=True)
        watched.connection = psycopg.connect(watched.url, autocommit=True)
        watched.connection.execute("UPDATE memories SET heat = 3 WHERE id = 2")
        assert "restarted" in watched.check().reading
        watched.connection.execute("BEGIN; UPDATE memories SET heat = 4 WHERE id = 3; PREPARE TRANSACTION 'open'")
        watched.take()
        watched.connection.execute("COMMIT PREPARED 'open'")
        assert watched.check().reading.startswith("by stamps: 1 of")
        watched.connection.close()


def test_restore_goes_by_stamps_and_sees_its_own_changes(watched: Watched) -> None:
    snapshot = watched.repository.snapshots()[-1]
    watched.connection.execute("UPDATE memories SET heat = -1 WHERE id < 50; DELETE FROM memories WHERE id > 2990")
    source = PostgresSource(watched.url)
    done = restore(watched.repository, snapshot, source, Ask(mode=Mode.EXACT))
    assert done.safety is not None
    assert done.safety.sources[0].tables[0].reading.startswith("by stamps: 49 of")
    assert watched.check().root == snapshot.sources[0].tables[0].root
