"""What happens to whole servers between two takes: the incremental root is still that of a full read.

Each test has servers of its own. On 18 always; the soak runs them on 16 as well, and on the distribution's 15.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from pathlib import Path

import psycopg
import pytest

from snapstore.operations.parent import Parent
from tests.cluster import DEBIAN, Cluster
from tests.operations.watched import Watched, wide
from tests.soak import IS_SOAK

ROWS = 150
DECAY = "UPDATE memories SET heat = heat * 0.97"


@pytest.fixture(params=[18, 16, 15])
def programs(request: pytest.FixtureRequest) -> Path:
    """Where the server of this version is."""
    if request.param == 18:
        path: Path = request.getfixturevalue("server").programs
        return path
    if not IS_SOAK:
        pytest.skip("only in the soak (make soak)")
    if request.param == 16:
        older: Path = request.getfixturevalue("server16").programs
        return older
    if not (DEBIAN / "postgres").exists():
        pytest.skip(f"there is no PostgreSQL in {DEBIAN} (apt-get install postgresql-15)")
    return DEBIAN


def numbers(watched: Watched, query: str) -> int:
    row = watched.connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_copies_standbys_and_promotions_are_read_in_full(programs: Path, tmp_path: Path) -> None:
    with Cluster(programs) as primary:
        watched = Watched(primary.url(), tmp_path, wide(ROWS))
        watched.run(DECAY)
        assert watched.check().reading.startswith("by stamps")
        with Cluster(programs, standby_of=primary) as standby:
            watched.run("UPDATE memories SET heat = 1 WHERE id < 9")
            caught_up = watched.connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
            watched.reconnect(standby.url())
            await_replay(watched, caught_up)
            # Its own takes are no parents either: what it has not replayed has transaction ids of its own.
            for _ in range(2):
                assert watched.check().reading.startswith("in full: ")
            standby.run("pg_ctl", "-D", "data", "-w", "promote")
            watched.run("UPDATE memories SET heat = 2 WHERE id < 9")
            assert watched.check().reading.startswith("in full: ")
            watched.run("UPDATE memories SET heat = 3 WHERE id < 9")
            assert watched.check().reading.startswith("by stamps: 8 of")
            # The old primary goes on with the same transaction ids; then the two by turns.
            for url, heat in ((primary.url(), 4), (standby.url(), 5)):
                watched.reconnect(url)
                watched.run(f"UPDATE memories SET heat = {heat} WHERE id < 5")
                assert watched.check().reading.startswith("in full: ")
        watched.reconnect(primary.url())
        watched.take()
        watched.connection.close()
        primary.stop()
        with Cluster(programs, data=primary.data) as copy:
            primary.start()
            for url, heat in ((primary.url(), 6), (copy.url(), 7), (primary.url(), 8)):
                watched.reconnect(url)
                watched.run(f"UPDATE memories SET heat = {heat} WHERE id BETWEEN {heat} AND 20; {DECAY}")
                assert watched.check().reading.startswith("in full: ")
            watched.connection.close()


def await_replay(watched: Watched, place: tuple[str] | None) -> None:
    assert place is not None
    end = time.monotonic() + 60
    while time.monotonic() < end:
        row = watched.connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", place).fetchone()
        if row is not None and row[0]:
            return
        time.sleep(0.02)
    raise AssertionError("the standby does not catch up")


@pytest.mark.skipif(not IS_SOAK, reason="only in the soak (make soak)")
def test_transaction_ids_near_and_past_the_end_of_32_bits(programs: Path, tmp_path: Path) -> None:
    start = (1 << 32) - 300
    with Cluster(programs, settings={"allow_system_table_mods": "on"}) as cluster:
        watched = Watched(cluster.url(), tmp_path, wide(ROWS))
        # As if every database had been vacuumed long after; template0 takes no connections.
        watched.run(
            "UPDATE pg_database SET datallowconn = true; VACUUM (FREEZE); "
            f"UPDATE pg_database SET datfrozenxid = '{start - 1000}', datminmxid = '1'; VACUUM (FREEZE)"
        )
        for other in ("template0", "template1"):
            with psycopg.connect(cluster.url(other), autocommit=True) as connection:
                connection.execute("VACUUM (FREEZE)")
        watched.connection.close()
        cluster.stop()
        cluster.run("pg_resetwal", "-x", str(start), "-u", str(start - 1000), "data")
        segment = cluster.data / "pg_xact" / f"{start >> 20:04X}"
        cluster.call("truncate", "-s", "262144", str(segment))
        cluster.start()
        watched.reconnect()
        assert "restarted" in watched.check().reading
        for turn in range(6):
            watched.run(
                f"UPDATE memories SET heat = {turn} WHERE id % 10 = {turn}; DELETE FROM memories WHERE id = {turn}"
            )
            if turn % 2:
                watched.run(DECAY)
            with psycopg.connect(watched.url) as writer:  # open while the take goes on, and across the end
                writer.execute(b"UPDATE memories SET heat = -1 WHERE id = %d" % (60 + turn))
                reading = watched.check().reading
                assert reading.startswith("by stamps: ")
                for _ in range(90):
                    watched.connection.execute("SELECT pg_current_xact_id()")
                writer.commit()
            assert watched.check().reading.startswith("by stamps: ")
        assert numbers(watched, "SELECT pg_current_xact_id()::text::int8 >> 32") == 1
        watched.connection.close()


def test_a_killed_backend_takes_asynchronous_commits_with_it(programs: Path, tmp_path: Path) -> None:
    writer = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
    with Cluster(programs) as cluster:
        watched = Watched(cluster.url(), tmp_path, wide(ROWS))
        for is_flushed in (False, True):
            victim = numbers(watched, writer)
            os.kill(victim, signal.SIGSTOP)  # nothing reaches the disk but what somebody waits for
            watched.run("SET synchronous_commit = off; UPDATE memories SET heat = 1 WHERE id = 1")
            if is_flushed:
                watched.run("SET synchronous_commit = on; CREATE TABLE flushed AS SELECT 1")
            snapshot = watched.take()
            before = numbers(watched, "SELECT pg_current_xact_id()::text::int8")
            # Lost, and its transaction ids are given out again, to others.
            watched.run("SET synchronous_commit = off; UPDATE memories SET heat = 2 WHERE id < 40; " + DECAY)
            os.kill(victim, signal.SIGKILL)
            await_another(watched, writer, victim)
            if is_flushed:
                watched.run("DROP TABLE flushed")
            watched.run(
                "UPDATE memories SET heat = 3 WHERE id BETWEEN 30 AND 60; UPDATE memories SET heat = 4 WHERE id = 5"
            )
            assert numbers(watched, "SELECT pg_current_xact_id()::text::int8") <= before + 6
            table = watched.check()
            assert snapshot.rows == table.rows
            if not is_flushed:
                assert "before its log was flushed" in table.reading
        watched.connection.close()


def await_another(watched: Watched, query: str, process: int) -> None:
    """Until the server has recovered from the loss of this process."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            watched.reconnect()
            if numbers(watched, query) != process:
                return
        except (psycopg.OperationalError, AssertionError):
            pass
        time.sleep(0.05)
    raise AssertionError("the server does not come back")


def test_an_id_that_comes_round_again_is_not_taken_for_the_value_that_had_it(programs: Path, tmp_path: Path) -> None:
    with Cluster(programs) as cluster:
        watched = Watched(cluster.url(), tmp_path, wide(ROWS))
        if watched.connection.info.server_version < 170_000:
            watched.connection.close()
            pytest.skip("ids of values can be had from 17 on")
        place = "SELECT pg_column_toast_chunk_id(embedding)::int8 FROM memories WHERE id = 7"
        given = numbers(watched, place)
        parent = watched.parent
        watched.run("UPDATE memories SET embedding = NULL WHERE id = 7; VACUUM memories")
        watched.connection.close()
        cluster.stop()
        cluster.run("pg_resetwal", "-o", str(given), "data")
        cluster.start()
        watched.reconnect()
        watched.run("UPDATE memories SET embedding = array_fill(7::real, '{700}') WHERE id = 7; " + DECAY)
        assert numbers(watched, place) == given
        # A restart is a doubt. Were it none (the counter comes round within one run too), nothing wrong may come of it.
        now = watched.take(full=True)
        run = {name: watched.parent.source.context[name] for name in ("server_started", "run_started")}
        context = {**parent.source.context, **run}
        believed = Parent(parent.snapshot, dataclasses.replace(parent.source, context=context))
        table = watched.capture(believed)["public.memories"]
        assert table.reading.startswith(f"by stamps: {ROWS} of {ROWS} rows less {ROWS - 1} values")
        assert table.root == now.root
        watched.connection.close()
