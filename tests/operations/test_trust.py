"""Everything that may happen to tables between two takes, one after the other and in any order beside open writers.

After each, the root of a take that goes by the last one is that of a full read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.cluster import DEBIAN, Cluster
from tests.operations.watched import Watched, wide
from tests.soak import IS_SOAK

ROWS = 120

SCHEMA = f"""{wide(ROWS)};
CREATE TYPE mood AS ENUM ('calm', 'eager');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN score AS int;
ALTER TABLE memories ADD feeling mood DEFAULT 'calm', ADD both_ pair DEFAULT '(1,x)', ADD rank score;
ALTER TABLE memories ADD short varchar(10);
UPDATE memories SET feeling = 'eager', both_.a = id, rank = id, short = 's' || id WHERE id % 3 = 0;
CREATE TABLE other (LIKE memories INCLUDING ALL);
INSERT INTO other SELECT * FROM memories WHERE id % 2 = 0;
CREATE TABLE logs (kind int, id int, line text, PRIMARY KEY (kind, id)) PARTITION BY LIST (kind);
CREATE TABLE logs_1 PARTITION OF logs FOR VALUES IN (1);
CREATE TABLE logs_2 PARTITION OF logs FOR VALUES IN (2);
CREATE TABLE loose (LIKE logs_1 INCLUDING ALL);
INSERT INTO logs SELECT 1 + g % 2, g, 'line ' || g FROM generate_series(1, {ROWS}) g;
INSERT INTO loose SELECT 1, id, line || '!' FROM logs_1"""

EVENTS = {
    "nothing": "SELECT 1",
    "VACUUM FREEZE": "VACUUM FREEZE memories",
    "VACUUM FULL": "VACUUM FULL memories",
    "CLUSTER": "CLUSTER memories USING memories_pkey",
    "TRUNCATE and reload": "BEGIN; CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE memories; TRUNCATE memories; "
    "INSERT INTO memories SELECT * FROM kept ORDER BY random(); COMMIT",
    "TRUNCATE and fewer": "BEGIN; CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE memories; TRUNCATE memories; "
    "INSERT INTO memories SELECT * FROM kept WHERE id % 3 <> 0; COMMIT",
    "columns that change names": "BEGIN; ALTER TABLE memories RENAME content TO swapped; "
    "UPDATE memories SET notes = '' WHERE notes IS NULL; COMMIT; ",
    "and their names back": "ALTER TABLE memories RENAME swapped TO content",
    "names that two columns exchange": "BEGIN; ALTER TABLE memories RENAME notes TO third; "
    "ALTER TABLE memories RENAME content TO notes; ALTER TABLE memories RENAME third TO content; COMMIT",
    "names that two tables exchange": "BEGIN; ALTER TABLE memories RENAME TO third; "
    "ALTER TABLE other RENAME TO memories; ALTER TABLE third RENAME TO other; COMMIT",
    "and back once more": "BEGIN; ALTER TABLE memories RENAME TO third; "
    "ALTER TABLE other RENAME TO memories; ALTER TABLE third RENAME TO other; COMMIT",
    "names that two types exchange": "BEGIN; CREATE TYPE third AS ENUM ('eager', 'calm'); "
    "ALTER TABLE memories ALTER feeling "
    "DROP DEFAULT, ALTER feeling TYPE third USING "
    "(CASE feeling::text WHEN 'calm' THEN 'eager' ELSE 'calm' END)::third; COMMIT",
    "and back": "BEGIN; ALTER TABLE memories ALTER feeling TYPE mood USING feeling::text::mood; "
    "DROP TYPE third; COMMIT",
    "a type with a rewrite": "ALTER TABLE memories ALTER heat TYPE double precision",
    "and back again": "ALTER TABLE memories ALTER heat TYPE real",
    "a type without a rewrite": "ALTER TABLE memories ALTER short TYPE varchar(20)",
    "a narrower key": "ALTER TABLE memories ALTER id TYPE int",
    "a wider key": "ALTER TABLE memories ALTER id TYPE bigint",
    "a column with a volatile default": "ALTER TABLE memories ADD luck float8 DEFAULT random()",
    "a column with a constant default": "ALTER TABLE memories ADD fixed int DEFAULT 7",
    "a generated column": "ALTER TABLE memories ADD twice float8 GENERATED ALWAYS AS (heat * 2) STORED",
    "columns that go": "ALTER TABLE memories DROP luck, DROP fixed, DROP twice",
    "a column dropped and made again": "BEGIN; ALTER TABLE memories DROP short; "
    "ALTER TABLE memories ADD short varchar(20); COMMIT",
    "another default": "ALTER TABLE memories ALTER heat SET DEFAULT 3",
    "NOT NULL": "ALTER TABLE memories ALTER heat SET NOT NULL",
    "a constraint": "ALTER TABLE memories ADD CONSTRAINT hot CHECK (heat > -1000) NOT VALID",
    "statistics": "ALTER TABLE memories ALTER heat SET STATISTICS 7",
    "another storage": "ALTER TABLE memories ALTER embedding SET STORAGE MAIN",
    "another storage, and rewritten": "VACUUM FULL memories",
    "storage as it was": "ALTER TABLE memories ALTER embedding SET STORAGE EXTERNAL",
    "storage as it was, and rewritten": "VACUUM FULL memories",
    "compression": "ALTER TABLE memories ALTER content SET COMPRESSION pglz",
    "room in pages": "ALTER TABLE memories SET (fillfactor = 50, toast_tuple_target = 256)",
    "another access to rows": "ALTER TABLE memories ENABLE ROW LEVEL SECURITY",
    "replica identity": "ALTER TABLE memories REPLICA IDENTITY FULL",
    "unlogged": "ALTER TABLE memories SET UNLOGGED",
    "logged": "ALTER TABLE memories SET LOGGED",
    "a schema and back": "BEGIN; CREATE SCHEMA away; ALTER TABLE memories SET SCHEMA away; "
    "ALTER TABLE away.memories SET SCHEMA public; DROP SCHEMA away; COMMIT",
    "another primary key": "ALTER TABLE memories DROP CONSTRAINT memories_pkey, "
    "ADD CONSTRAINT memories_pkey PRIMARY KEY (id, heat)",
    "the key as it was": "ALTER TABLE memories DROP CONSTRAINT memories_pkey, "
    "ADD CONSTRAINT memories_pkey PRIMARY KEY (id)",
    "a label more": "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'bored' BEFORE 'eager'",
    "labels that two values exchange": "BEGIN; ALTER TYPE mood RENAME VALUE 'calm' TO 'third'; "
    "ALTER TYPE mood RENAME VALUE 'eager' TO 'calm'; ALTER TYPE mood RENAME VALUE 'third' TO 'eager'; COMMIT",
    "an attribute more": "ALTER TYPE pair ADD ATTRIBUTE c int",
    "an attribute less": "ALTER TYPE pair DROP ATTRIBUTE c",
    "another attribute": "ALTER TYPE pair RENAME ATTRIBUTE b TO d",
    "the attribute as it was": "ALTER TYPE pair RENAME ATTRIBUTE d TO b",
    "a stricter domain": "ALTER DOMAIN score ADD CONSTRAINT low CHECK (VALUE < 100000)",
    "a type of another name": "ALTER TYPE pair RENAME TO couple",
    "the type's name as it was": "ALTER TYPE couple RENAME TO pair",
    "a partition detached": "ALTER TABLE logs DETACH PARTITION logs_1",
    "another attached": "ALTER TABLE logs ATTACH PARTITION loose FOR VALUES IN (1)",
    "partitions swapped": "BEGIN; ALTER TABLE logs DETACH PARTITION loose; "
    "ALTER TABLE logs ATTACH PARTITION logs_1 FOR VALUES IN (1); "
    "ALTER TABLE loose RENAME TO third; ALTER TABLE logs_1 RENAME TO loose; ALTER TABLE third RENAME TO logs_1; COMMIT",
    "a row that moves between partitions": "UPDATE logs SET kind = 3 - kind WHERE id % 10 = 0",
}


@pytest.fixture(scope="module", params=[18, 16, 15])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A server that prepares transactions: 18, in the soak older ones too."""
    if request.param != 18 and not IS_SOAK:
        pytest.skip("only in the soak (make soak)")
    if request.param == 15 and not (DEBIAN / "postgres").exists():
        pytest.skip(f"there is no PostgreSQL in {DEBIAN} (apt-get install postgresql-15)")
    name = "server" if request.param == 18 else "server16"
    programs = DEBIAN if request.param == 15 else request.getfixturevalue(name).programs
    with Cluster(programs) as one:
        yield one


def test_every_event_alone(cluster: Cluster, tmp_path: Path) -> None:
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE alone")
    watched = Watched(cluster.url("alone"), tmp_path, SCHEMA)
    try:
        for at, (event, statements) in enumerate(EVENTS.items()):
            watched.run(f"UPDATE memories SET heat = heat + 1 WHERE id % 20 = {at % 20}")
            watched.run(statements)
            if (
                IS_SOAK or at % 3 == 2 or at == len(EVENTS) - 1
            ):  # otherwise three of them together: to look after each takes half a minute
                assert roots(watched.tables()) == roots(watched.capture(None)), event
    finally:
        watched.connection.close()


def roots(tables: Any) -> dict[str, bytes | None]:
    return {name: table.root for name, table in tables.items()}


class Histories(RuleBasedStateMachine):
    """Statements, another connection's transactions, and takes, in any order."""

    cluster: Cluster
    number = 0

    def __init__(self) -> None:
        super().__init__()
        Histories.number += 1
        name = f"history{Histories.number}"
        with psycopg.connect(self.cluster.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        self.folder = tempfile.TemporaryDirectory()
        self.watched = Watched(self.cluster.url(name), Path(self.folder.name), SCHEMA)
        self.watched.run("SET lock_timeout = '100ms'")
        self.writer: psycopg.Connection[Any] | None = None
        self.prepared: list[str] = []

    @rule(at=st.integers(0, ROWS), count=st.integers(0, 60), heat=st.integers(0, 9))
    def update(self, at: int, count: int, heat: int) -> None:
        self.run(f"UPDATE memories SET heat = {heat} WHERE id BETWEEN {at} AND {at + count}")

    @rule(at=st.integers(0, ROWS), count=st.integers(0, 30))
    def embed(self, at: int, count: int) -> None:
        self.run(f"UPDATE memories SET embedding = array_append(embedding, 1) WHERE id BETWEEN {at} AND {at + count}")

    @rule(at=st.integers(0, ROWS), by=st.integers(1, ROWS))
    def exchange_keys(self, at: int, by: int) -> None:
        self.run(
            f"BEGIN; UPDATE memories SET id = -id WHERE id IN ({at}, {at + by}); "
            f"UPDATE memories SET id = {2 * at + by} + id WHERE id < 0; COMMIT"
        )

    @rule(at=st.integers(0, ROWS), count=st.integers(0, 40))
    def delete_and_insert(self, at: int, count: int) -> None:
        self.run(
            f"BEGIN; DELETE FROM memories WHERE id BETWEEN {at} AND {at + count // 2}; SAVEPOINT a; "
            f"DELETE FROM memories WHERE id > {at}; ROLLBACK TO a; INSERT INTO memories (id, content, heat, embedding) "
            f"SELECT id + 1000, content, 1, embedding FROM memories WHERE id BETWEEN {at} AND {at + count} "
            "ON CONFLICT DO NOTHING; COMMIT"
        )

    @rule(event=st.sampled_from(sorted(EVENTS)))
    def event(self, event: str) -> None:
        self.run(EVENTS[event])

    @rule(at=st.integers(0, ROWS), count=st.integers(0, 60), is_rolled_back=st.booleans())
    def write_beside(self, at: int, count: int, is_rolled_back: bool) -> None:
        """Part of another transaction, which stays open; in a savepoint, which may be rolled back."""
        if self.writer is None:
            self.writer = psycopg.connect(self.watched.url)
            self.writer.execute("SET lock_timeout = '100ms'")
            self.writer.commit()
        end = "ROLLBACK TO b" if is_rolled_back else "RELEASE b"
        try:
            self.writer.execute(
                f"SAVEPOINT b; UPDATE memories SET heat = -1 WHERE id BETWEEN {at} AND {at + count}; {end}".encode()
            )
        except psycopg.Error:
            self.writer.rollback()

    @precondition(lambda self: self.writer is not None)
    @rule(how=st.sampled_from(["commit", "rollback", "prepare"]))
    def end_beside(self, how: str) -> None:
        assert self.writer is not None
        if how == "prepare" and not self.prepared:
            self.prepared.append("one")
            self.writer.execute("SELECT pg_current_xact_id()")
            self.writer.execute(f"PREPARE TRANSACTION 'history{Histories.number}'".encode())
        getattr(self.writer, "rollback" if how == "rollback" else "commit")()

    @precondition(lambda self: bool(self.prepared))
    @rule(how=st.sampled_from(["COMMIT", "ROLLBACK"]))
    def end_prepared(self, how: str) -> None:
        self.prepared.pop()
        self.watched.connection.execute(f"{how} PREPARED 'history{Histories.number}'".encode())

    @rule()
    def take(self) -> None:
        assert roots(self.watched.tables()) == roots(self.watched.capture(None))

    def run(self, statements: str) -> None:
        """What cannot be done now, or just here, is not done."""
        try:
            self.watched.run(statements)
        except psycopg.Error:
            self.watched.connection.execute("ROLLBACK")

    def teardown(self) -> None:
        if self.writer is not None:
            self.writer.close()
        if self.prepared:
            self.end_prepared("COMMIT")
        try:
            self.take()
        finally:
            self.watched.connection.close()
            self.folder.cleanup()


def test_any_history_beside_open_writers(cluster: Cluster) -> None:
    Histories.cluster = cluster
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=200 if IS_SOAK else 1,
            stateful_step_count=40 if IS_SOAK else 12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
