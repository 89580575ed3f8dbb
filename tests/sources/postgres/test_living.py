"""A restore into a database that others use: it waits, names who holds it up, tries again, and never half does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from snap_cli.embedded import EmbeddedServer
from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Conflict, Unavailable
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask, restore
from snapstore.operations.take import Request, take
from snapstore.repository import Repository, Snapshot
from snapstore.sources import Selection
from snapstore.sources.postgres.source import PostgresSource

Databases = Callable[..., str]

TABLE = """
    CREATE TABLE t (id int PRIMARY KEY, v int, e vector(2)); CREATE INDEX ON t USING hnsw (e vector_l2_ops);
    INSERT INTO t SELECT i, i, ARRAY[i, 1]::real[] FROM generate_series(1, 20) i;
"""


def run(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


def taken(url: str) -> tuple[Repository, Snapshot, PostgresSource]:
    repository, source = Repository.init(MemoryBackend()), PostgresSource(url)
    return repository, take(repository, [Request("db", source, Selection())]).snapshot, source


def wait_for(connection: psycopg.Connection[object], query: str) -> None:
    """Until the query gives a row: what must happen does, sooner or later, or the test ends by its own time."""
    for _ in range(2000):
        if connection.execute(query.encode()).fetchall():
            return
        time.sleep(0.01)
    raise AssertionError(f"never: {query}")


@pytest.fixture(scope="module")
def preparing() -> Iterator[EmbeddedServer]:
    """A server that allows prepared transactions."""
    with EmbeddedServer(settings={"max_prepared_transactions": "5"}) as running:
        yield running


def test_a_prepared_transaction_in_the_way_is_named(preparing: EmbeddedServer) -> None:
    url = preparing.create_database("prepared")
    run(url, "CREATE TABLE t (id int PRIMARY KEY)")
    repository, snapshot, _ = taken(url)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'left behind'")
    with pytest.raises(Unavailable, match=r"public\.t cannot be locked.*prepared transaction 'left behind'"):
        restore(repository, snapshot, PostgresSource(url, lock_timeout_seconds=0.1), Ask())
    run(url, "COMMIT PREPARED 'left behind'")
    assert restore(repository, snapshot, PostgresSource(url), Ask(Mode.EXACT)).plan.tables[0].delete == 1


def test_the_session_in_the_way_is_named(databases: Databases) -> None:
    url = databases()
    run(url, "CREATE TABLE t (id int PRIMARY KEY)")
    repository, snapshot, _ = taken(url)
    with psycopg.connect(url, application_name="nightly job") as other:
        other.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(Unavailable, match=r"public\.t is held by nightly job of postgres, process \d+"):
            restore(repository, snapshot, PostgresSource(url, lock_timeout_seconds=0.1), Ask())


def test_a_writer_goes_on_while_a_restore_waits_for_another(databases: Databases) -> None:
    url = databases(vector=True)
    run(url, TABLE)
    repository, snapshot, _ = taken(url)
    run(url, "DELETE FROM t WHERE id > 10")
    done: list[int] = []
    source = PostgresSource(url, lock_timeout_seconds=60)

    def work() -> None:
        done.append(restore(repository, snapshot, source, Ask()).plan.tables[0].insert)

    waiting = threading.Thread(target=work)
    with psycopg.connect(url) as long, psycopg.connect(url, autocommit=True) as short:
        long.execute("UPDATE t SET v = 0 WHERE id = 1")
        waiting.start()
        wait_for(short, "SELECT FROM pg_locks WHERE NOT granted AND relation = 't'::regclass")
        short.execute("UPDATE t SET v = 0 WHERE id = 2")  # waits behind the restore until its slice is over
        assert not done
        long.commit()
    waiting.join(timeout=60)
    assert done == [10]


def test_a_restore_that_a_deadlock_ends_is_done_again(databases: Databases) -> None:
    url = databases(vector=True)
    run(url, TABLE)
    repository, snapshot, source = taken(url)
    run(url, "DELETE FROM t WHERE id > 3")  # so many are missing that the vector index is dropped: an exclusive lock
    turns: list[int] = []
    with psycopg.connect(url) as other, psycopg.connect(url, autocommit=True) as watch:
        other.execute("SELECT count(*) FROM t")

        def update() -> None:
            other.execute("UPDATE t SET v = 77 WHERE id = 1")
            other.commit()

        thread = threading.Thread(target=update)

        def progress(*_: object) -> None:
            """Called under the restore's lock: the other session comes to wait for it, and it for the other."""
            if not turns:
                turns.append(1)
                thread.start()
                wait_for(watch, "SELECT FROM pg_locks WHERE NOT granted AND relation = 't'::regclass")

        restored = restore(repository, snapshot, source, Ask(Mode.UPDATE), progress=progress)
        thread.join(timeout=60)
    assert turns == [1]
    # In the first attempt row 1 did not differ: this plan was made after the other had its way.
    assert (restored.plan.tables[0].insert, restored.plan.tables[0].update) == (17, 1)
    assert len(repository.snapshots()) == 2, "one safety snapshot, of the attempt that counted"


def test_rows_that_swapped_places_under_an_exclusion_constraint_come_back(databases: Databases) -> None:
    url = databases()
    run(
        url,
        """
        CREATE TABLE t (id int PRIMARY KEY, during int4range, name text, EXCLUDE USING gist (during WITH &&));
        INSERT INTO t VALUES (1, '[1,5)', 'a'), (2, '[5,9)', 'b');
        """,
    )
    repository, snapshot, source = taken(url)
    run(url, "UPDATE t SET during = NULL")
    run(url, "UPDATE t SET during = CASE id WHEN 1 THEN int4range '[5,9)' ELSE '[1,5)' END")
    restore(repository, snapshot, source, Ask(Mode.UPDATE))
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT id, during::text FROM t ORDER BY id").fetchall()
    assert rows == [(1, "[1,5)"), (2, "[5,9)")]
    run(url, "DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (3, '[6,7)', 'c')")
    with pytest.raises(Conflict, match=r"public\.t.*t_during_excl.*\[6,7\)"):
        restore(repository, snapshot, source, Ask())


def test_a_table_outside_that_refers_to_what_is_deleted_stops_the_restore_by_name(databases: Databases) -> None:
    url = databases()
    run(url, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    repository, snapshot, source = taken(url)
    run(
        url,
        "CREATE TABLE outside (id int PRIMARY KEY, t int CONSTRAINT needs_t REFERENCES t ON DELETE CASCADE);"
        "INSERT INTO t VALUES (2); INSERT INTO outside VALUES (1, 2)",
    )
    with pytest.raises(Conflict, match=r"needs_t of public\.outside does not hold.*\(t\)=\(2\)"):
        restore(repository, snapshot, source, Ask(Mode.EXACT))
    run(url, "DELETE FROM outside")
    assert restore(repository, snapshot, source, Ask(Mode.EXACT)).plan.tables[0].delete == 1


def test_a_restore_that_a_serialization_failure_ends_is_done_again_and_not_for_ever(databases: Databases) -> None:
    url = databases()
    run(
        url,
        """
        CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2); CREATE SEQUENCE turns; CREATE SEQUENCE last;
        CREATE FUNCTION busy(id int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
          IF nextval('public.turns') <= (SELECT last_value FROM public.last) THEN
            RAISE SQLSTATE '40001' USING MESSAGE = 'could not serialize access';
          END IF;
          RETURN true;
        END $$;
        """,
    )
    repository, snapshot, source = taken(url)
    run(url, "DELETE FROM t WHERE id = 1; SELECT setval('turns', 9); ALTER TABLE t ADD CHECK (public.busy(id))")
    with psycopg.connect(url, autocommit=True) as connection:
        for attempts, ends in ((2, False), (3, True)):
            connection.execute(
                b"DELETE FROM t WHERE id = 1; SELECT setval('turns', 1, false), setval('last', %d)" % attempts
            )
            if ends:
                with pytest.raises(Conflict, match="could not serialize access"):
                    restore(repository, snapshot, source, Ask())
            else:
                notes = restore(repository, snapshot, source, Ask()).notes
                assert len(notes) == 2
                assert "begun again, since others were in the way" in notes[0]
                assert "could not serialize access" in notes[0]
            [(turns,)] = connection.execute("SELECT last_value FROM turns").fetchall()
            assert turns == 3, "three attempts, whether the last succeeds or not"
