"""The traps of reading a database that others use: each ends in the right rows or in a loud, named error."""

# ruff: noqa: SIM117  # a view, and what fails in it
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from snapstore.errors import Conflict, Corrupt, Invalid, SnapstoreError, Unavailable, Unsupported
from snapstore.rows import Table
from snapstore.sources import Selection, Source, View
from snapstore.sources.postgres.connection import connect
from snapstore.sources.postgres.source import PostgresSource
from snapstore.sources.postgres.stream import GROUP_BYTES, ahead, groups


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    """Another session on the same database, with a table t of 1,000 rows."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id int PRIMARY KEY, note text)")
        connection.execute("INSERT INTO t SELECT g, 'note ' || g FROM generate_series(1, 1000) g")
        yield connection


def count(view: View, table: Table) -> int:
    return sum(map(len, view.read(table)))


def ids(view: View, table: Table) -> list[int]:
    return [int.from_bytes(key or b"", "big") - 2**31 for batch in view.read(table) for key in batch.keys.to_list()]


@contextmanager
def held_back(url: str, admin: psycopg.Connection[Any], first: str, then: str) -> Iterator[None]:
    """Others do `first` in a transaction; once the block waits for its lock, they do `then` and commit."""
    admin.execute("BEGIN")
    admin.execute(first.encode())
    failed: list[BaseException] = []

    def release() -> None:
        try:
            with psycopg.connect(url, autocommit=True) as watch:
                waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
                while watch.execute(waiting).fetchone() == (0,):
                    time.sleep(0.01)
            admin.execute(then.encode())
            admin.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001  # shown by the test
            failed.append(error)

    thread = threading.Thread(target=release)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not failed


RELOAD = "INSERT INTO t SELECT g, 'again' FROM generate_series(1, 1000) g"


def test_a_table_truncated_and_loaded_again_while_we_wait_has_all_its_rows(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    with held_back(database, admin, "TRUNCATE t", RELOAD), PostgresSource(database).view(Selection()) as view:
        assert count(view, view.tables[0]) == 1000


def test_a_table_rewritten_while_we_wait_is_listed_again(database: str, admin: psycopg.Connection[Any]) -> None:
    rewrite = "ALTER TABLE t ADD COLUMN heat float8 DEFAULT random(), ALTER COLUMN id TYPE bigint"
    with held_back(database, admin, rewrite, "SELECT 1"), PostgresSource(database).view(Selection()) as view:
        (table,) = view.tables
        assert [column.name for column in table.columns] == ["note", "heat"]
        assert table.key[0].encoding == "int8"
        assert count(view, table) == 1000


def test_a_table_dropped_while_we_wait_is_not_in_the_view(database: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute("CREATE TABLE other (id int PRIMARY KEY)")
    with held_back(database, admin, "DROP TABLE t", "SELECT 1"), PostgresSource(database).view(Selection()) as view:
        assert [table.name for table in view.tables] == ["public.other"]


def test_a_table_dropped_while_we_wait_that_was_asked_for_is_named(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    with (
        held_back(database, admin, "DROP TABLE t", "SELECT 1"),
        pytest.raises(Invalid, match="'t'"),
        PostgresSource(database).view(Selection(tables=("t",))),
    ):
        pass


def test_a_table_that_comes_between_listing_and_snapshot_is_in_the_view(
    database: str, admin: psycopg.Connection[Any]
) -> None:
    new = "CREATE TABLE new (id int PRIMARY KEY); INSERT INTO new VALUES (1)"
    with held_back(database, admin, f"LOCK TABLE t; {new}", "SELECT 1"):
        with PostgresSource(database).view(Selection()) as view:
            assert {table.name: count(view, table) for table in view.tables} == {"public.new": 1, "public.t": 1000}


def test_one_view_is_one_state(database: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute("CREATE TABLE u (id int PRIMARY KEY)")
    with PostgresSource(database).view(Selection()) as view:
        admin.execute("DELETE FROM t WHERE id > 10")
        admin.execute("INSERT INTO u VALUES (1)")
        assert {table.name: count(view, table) for table in view.tables} == {"public.t": 1000, "public.u": 0}
        view.confirm()


def test_nothing_can_truncate_or_alter_a_table_while_it_is_read(database: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute("SET lock_timeout = '50ms'")
    with PostgresSource(database).view(Selection()) as view:
        for statement in ("TRUNCATE t", "ALTER TABLE t ADD COLUMN more int", "DROP TABLE t"):
            with pytest.raises(psycopg.errors.LockNotAvailable):
                admin.execute(statement)
        view.confirm()
        admin.execute("TRUNCATE t")


def test_row_level_security_fails_instead_of_filtering(database: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute("ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON t USING (id < 10)")
    with as_role(database, admin, "GRANT SELECT ON t TO reader") as url:
        with pytest.raises(Unsupported, match=r"table public\.t: row security would hide rows") as caught:
            open_and_close(PostgresSource(url))
        assert "--allow-partial" in caught.value.hint
        with PostgresSource(url).view(Selection(partial=True)) as view:
            assert list(view.tables) == []
            assert list(view.missing) == ["table public.t: row security would hide rows from this role"]


@pytest.mark.parametrize(
    ("grant", "reason"),
    [
        ("SELECT 1", "this role may not read it"),
        ("GRANT SELECT (id) ON t TO reader", "this role may not read its columns .*"),
        ("GRANT SELECT ON t TO reader; REVOKE USAGE ON SCHEMA public FROM PUBLIC", "this role may not use its schema"),
    ],
)
def test_what_a_role_may_not_read_is_named(
    database: str, admin: psycopg.Connection[Any], grant: str, reason: str
) -> None:
    with as_role(database, admin, grant) as url:
        with pytest.raises(Unsupported, match=rf"table public\.t: {reason}"):
            open_and_close(PostgresSource(url))
        with pytest.raises(Unsupported, match=rf"public\.t is there, and its rows cannot be held: {reason}"):
            open_and_close(PostgresSource(url), Selection(tables=("public.t",), partial=True, optional=True))


@contextmanager
def as_role(url: str, admin: psycopg.Connection[Any], grant: str) -> Iterator[str]:
    admin.execute("CREATE ROLE reader LOGIN")
    try:
        admin.execute(grant.encode())
        yield make_conninfo(url, user="reader")
    finally:
        admin.execute("DROP OWNED BY reader; DROP ROLE reader")


def open_and_close(source: Source, selection: Selection = Selection()) -> None:  # noqa: B008  # it is frozen
    with source.view(selection):
        pass


def test_a_lock_that_does_not_come_is_unavailable_and_named(database: str, admin: psycopg.Connection[Any]) -> None:
    with admin.transaction():
        admin.execute("LOCK TABLE t")
        with pytest.raises(Unavailable, match=r"lock timeout \(public\.t is held by") as caught:
            open_and_close(PostgresSource(database, lock_timeout_seconds=0.05))
        assert "the other session" in caught.value.hint
    with admin.transaction():  # a lock that describing the table does not wait for
        admin.execute("LOCK TABLE t IN EXCLUSIVE MODE")
        open_and_close(PostgresSource(database, lock_timeout_seconds=0.05))
        with pytest.raises(Unavailable, match=r"public.t cannot be locked: .*lock timeout"):
            with PostgresSource(database, lock_timeout_seconds=0.05).target(Selection()):
                pass


def test_a_lock_timeout_must_be_positive() -> None:
    with pytest.raises(Invalid, match="more than 0"):
        PostgresSource("postgresql://db/agents", lock_timeout_seconds=0)


def test_a_table_has_only_its_own_rows(database: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute("CREATE TABLE child (LIKE t INCLUDING ALL); INSERT INTO child VALUES (1001, 'child')")
    with PostgresSource(database).view(Selection(tables=("t",))) as view:
        admin.execute("ALTER TABLE child INHERIT t")  # the lock does not stop this
        assert count(view, view.tables[0]) == 1000


def test_a_condition_chooses_rows(databases: Callable[..., str]) -> None:
    url = databases(vector=True)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE TABLE t (id int PRIMARY KEY, at vector(2))")
        admin.execute("INSERT INTO t SELECT g, ARRAY[g, 0]::vector FROM generate_series(1, 100) g")
    for condition in ("at <-> '[10,0]' < 2", "id = 9 OR id IN (10, 11) -- a comment", "id::text ~ '^(9|1[01])$'"):
        with PostgresSource(url).view(Selection(where={"public.t": condition})) as view:
            assert ids(view, view.tables[0]) == [9, 10, 11]


@pytest.mark.parametrize(
    "condition",
    ["nothing = 1", "id =", "id", "1 / (id - 500) > 0", "id = (SELECT id FROM t)", "id = 1) x", "no_such(id)"],
)  # fmt: skip
def test_a_bad_condition_is_invalid_and_named(database: str, admin: psycopg.Connection[Any], condition: str) -> None:
    admin.execute("CREATE TABLE u (id int PRIMARY KEY)")
    with PostgresSource(database).view(Selection(where={"public.t": condition})) as view:
        by_name = {table.name: table for table in view.tables}
        with pytest.raises(Invalid, match=r"the condition for public.t") as caught:
            count(view, by_name["public.t"])
        assert condition in caught.value.message
        assert count(view, by_name["public.u"]) == 0, "the view is still usable"


def test_a_condition_for_a_table_that_is_not_there_is_invalid(database: str, admin: psycopg.Connection[Any]) -> None:
    with pytest.raises(Invalid, match=r"public\.nothing"):
        open_and_close(PostgresSource(database), Selection(where={"public.nothing": "true"}))


def test_batches_are_bounded_in_rows_and_bytes(database: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute("INSERT INTO t SELECT g, '' FROM generate_series(1001, 20000) g")
    admin.execute("CREATE TABLE wide (id int PRIMARY KEY, doc text)")
    admin.execute("ALTER TABLE wide ALTER doc SET STORAGE EXTERNAL")
    admin.execute("INSERT INTO wide VALUES (0, repeat('y', 20000000))")  # which comes with the header
    admin.execute("INSERT INTO wide SELECT g, repeat('x', 1000000) FROM generate_series(1, 40) g")
    admin.execute("INSERT INTO wide VALUES (41, repeat('y', 20000000)), (42, 'z')")
    with PostgresSource(database).view(Selection()) as view:
        by_name = {table.name: table for table in view.tables}
        assert all(len(batch) <= 8192 for batch in view.read(by_name["public.t"]))
        sizes = [(len(batch), len(batch.columns[0].data)) for batch in view.read(by_name["public.wide"])]
        assert sum(rows for rows, _ in sizes) == 43
        assert sizes.count((1, 20_000_000)) == 2, "a row larger than a batch comes alone"
        assert all(size <= GROUP_BYTES + 1_000_000 for rows, size in sizes if rows > 1)


def test_reading_stopped_early_leaves_the_view_usable(database: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute("INSERT INTO t SELECT g, 'more' FROM generate_series(1001, 100000) g")
    # Rows come by the index, and the server is busy, not sending, when the reader stops.
    url = make_conninfo(database, options="-c enable_seqscan=off -c enable_bitmapscan=off -c enable_sort=off")
    slow = Selection(where={"public.t": "id < 20000 OR pg_sleep(60) IS NULL"})
    with PostgresSource(url).view(slow) as view:
        (table,) = view.tables
        for _ in range(2):
            reading = view.read(table)
            assert len(next(reading)) > 0
            with pytest.raises(Invalid, match=r"public.t is being read"):
                next(view.read(table))
            assert isinstance(reading, Generator)
            reading.close()
        view.confirm()


def test_a_view_may_end_with_a_read_left_open(database: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute("INSERT INTO t SELECT g, 'more' FROM generate_series(1001, 300000) g")
    before = threading.active_count()
    with PostgresSource(database).view(Selection()) as view:
        reading = view.read(view.tables[0])
        next(reading)
    assert threading.active_count() == before
    assert admin.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'snapstore'").fetchone() in (
        (0,),
        (1,),
    )
    with pytest.raises((SnapstoreError, StopIteration)):
        next(reading)


def test_an_error_of_the_consumer_comes_through(database: str, admin: psycopg.Connection[Any]) -> None:
    def interrupted() -> None:
        with PostgresSource(database).view(Selection()) as view:
            for _ in view.read(view.tables[0]):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_a_connection_lost_while_reading_is_unavailable(database: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute("INSERT INTO t SELECT g, repeat('x', 300) FROM generate_series(1001, 200000) g")
    with PostgresSource(database).view(Selection()) as view:
        reading = view.read(view.tables[0])
        next(reading)
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'snapstore'")
        with pytest.raises(Unavailable, match=r"public.t cannot be read"):
            list(reading)


def test_rows_with_one_key_twice_are_corrupt(database: str, admin: psycopg.Connection[Any]) -> None:
    # The index of the primary key is blinded, as damage would.
    admin.execute("UPDATE pg_index SET indisready = false WHERE indexrelid = 't_pkey'::regclass")
    admin.execute("INSERT INTO t VALUES (500, 'twice')")
    by_table = make_conninfo(database, options="-c enable_indexscan=off -c enable_indexonlyscan=off")
    with PostgresSource(by_table).view(Selection()) as view:
        with pytest.raises(Corrupt, match=r"public.t: .*one key twice") as caught:
            count(view, view.tables[0])
        assert "REINDEX" in caught.value.hint


def test_a_key_too_long_for_the_format_is_refused(database: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute("CREATE TABLE long (k text PRIMARY KEY); INSERT INTO long VALUES (repeat('a', 70000))")
    with PostgresSource(database).view(Selection(tables=("long",))) as view:
        with pytest.raises(Unsupported, match=r"public.long has a key longer than 65,533"):
            count(view, view.tables[0])


def test_a_shape_that_moved_beneath_the_view_is_a_conflict(database: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute("CREATE TYPE mood AS ENUM ('sad'); ALTER TABLE t ADD COLUMN mood mood")
    for move in (
        "ALTER TYPE mood RENAME TO humour",
        "ALTER SCHEMA public RENAME TO private; CREATE SCHEMA public",
    ):
        with PostgresSource(database).view(Selection()) as view:
            assert count(view, view.tables[0]) == 1000
            admin.execute(move.encode())  # takes no lock on the table
            with pytest.raises(Conflict, match=r"public.t changed its shape"):
                view.confirm()
        admin.execute("DROP SCHEMA IF EXISTS private CASCADE")
        if move.startswith("ALTER TYPE"):
            admin.execute("ALTER TYPE humour RENAME TO mood")


def test_what_is_new_since_the_view_is_no_conflict(database: str, admin: psycopg.Connection[Any]) -> None:
    with PostgresSource(database).view(Selection()) as view:
        admin.execute("CREATE TABLE later (id int PRIMARY KEY)")
        view.confirm()


def test_the_position_says_where_the_view_stands(database: str, admin: psycopg.Connection[Any]) -> None:
    with PostgresSource(database).view(Selection()) as view:
        position = view.position
    identity = admin.execute("SELECT system_identifier::text, current_database() FROM pg_control_system()").fetchone()
    assert identity == (position["system_identifier"], position["database"])
    assert 0 < position["snapshot_xmin"] <= position["snapshot_xmax"]
    assert position["timeline"] == 1
    assert position["wal"].count("/") == 1
    assert position["time"].endswith("Z")
    assert position["in_recovery"] is False


def test_the_position_does_without_what_is_not_permitted(database: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    with as_role(database, admin, "GRANT SELECT ON t TO reader") as url, PostgresSource(url).view(Selection()) as view:
        assert view.position["system_identifier"] is None
        assert count(view, view.tables[0]) == 1000


def test_names_that_need_quoting_are_quoted(database: str, admin: psycopg.Connection[Any]) -> None:
    admin.execute(
        'CREATE SCHEMA "My ""S"""; CREATE TABLE "My ""S"""."sel;ect%s" ("Key %d" int PRIMARY KEY, "a""b" text)'
    )
    admin.execute('INSERT INTO "My ""S"""."sel;ect%s" VALUES (1, \'x\')')
    with PostgresSource(database).view(Selection()) as view:
        found = {table.definition["name"]: ids(view, table) for table in view.tables}
    assert found["sel;ect%s"] == [1]


def test_an_older_server_is_read_as_well(databases16: Callable[..., str]) -> None:
    url = databases16()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (-1)")
    with PostgresSource(url).view(Selection()) as view:
        assert ids(view, view.tables[0]) == [-1, 1]
        view.confirm()


def test_a_stream_is_never_further_ahead_than_its_bound(database: str) -> None:
    made, used = [0], [0]

    def source() -> Generator[int, None, None]:
        for size in [4 << 20] * 20 + [64 << 20] * 3 + [1] * 5:
            made[0] += size
            yield size

    with connect(database) as connection:
        for size in ahead(connection, source(), lambda item: item):
            # In the hands of the consumer, in the queue, and the one its maker holds.
            assert made[0] - used[0] <= max(16 << 20, size) + (64 << 20)
            used[0] += size
    assert made == used


def test_a_group_ends_exactly_with_the_rows(database: str) -> None:
    """Wherever the trailer falls, whether a group is full or not."""
    with connect(database) as connection:
        for rows in (0, 1, 2, 8191, 8192, 8193):
            query = psycopg.sql.SQL("COPY (SELECT g FROM generate_series(1, {}) g) TO STDOUT (FORMAT BINARY)")
            found = list(groups(connection, query.format(rows), "t"))
            assert sum(map(len, found)) == rows
            assert all(len(bytes(row)) == 10 for group in found for row in group)
            assert np.all([len(group) <= 8192 for group in found])
