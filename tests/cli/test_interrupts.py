"""Ctrl-C at any moment: exit 130, one sentence, and both repository and database as they were."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.cli.command import Snap, environment, rows, run
from tests.soak import IS_SOAK

PATIENCE_SECONDS = 60

# A row at a time, each in its own good time; but only what is put back, and only where it is to be interrupted.
SLOW = """
CREATE FUNCTION slow(n integer) RETURNS boolean LANGUAGE sql AS
  'SELECT pg_sleep(coalesce(current_setting(''test.pace'', true), ''0'')::float) IS NOT NULL';
ALTER TABLE memories ADD CONSTRAINT takes_its_time CHECK (slow(id));
"""


@contextmanager
def held(url: str, table: str) -> Iterator[None]:
    """Another session has locked the table."""
    with psycopg.connect(url) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield


def sessions(url: str, condition: str) -> list[tuple[object, ...]]:
    """The program's sessions in this database that are in this state."""
    own = "application_name = 'snapstore' AND datname = current_database()"
    return rows(url, f"SELECT pid FROM pg_stat_activity WHERE {own} AND {condition}")


def wait_for(url: str, condition: str, child: subprocess.Popen[str]) -> None:
    """Until a session of the program is in this state."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not sessions(url, condition):
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < end, f"never: {condition}"
        time.sleep(0.02)


WAITING = "wait_event_type = 'Lock'"
COPYING_OUT = "state = 'active' AND query ILIKE 'COPY%TO STDOUT%'"
WRITING = "state = 'active' AND (query ILIKE 'COPY%FROM STDIN%' OR query ILIKE 'INSERT%' OR query ILIKE 'UPDATE%')"


def interrupted(child: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> str:
    child.send_signal(number)
    out, err = child.communicate(timeout=PATIENCE_SECONDS)
    assert child.returncode == (130 if number is signal.SIGINT else 128 + number), err
    assert out == ""
    assert "Traceback" not in err
    return err


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / ".snapstore" / "snapshots").iterdir()}


def test_ctrl_c_while_a_take_waits_for_a_lock(snap: Snap, url: str) -> None:
    snap("take", url, "--table", "visits")
    before = names(snap.folder)
    with held(url, "memories"):
        child = snap.start("take", url)
        wait_for(url, WAITING, child)
        assert "nothing was lost" in interrupted(child)
    assert names(snap.folder) == before
    snap("take", url)


@pytest.mark.parametrize("number", [signal.SIGTERM, *[signal.SIGINT] * IS_SOAK])
def test_ctrl_c_while_a_take_reads_leaves_no_trace(snap: Snap, url: str, number: signal.Signals) -> None:
    run(url, "CREATE FUNCTION slow(n integer) RETURNS boolean LANGUAGE sql AS 'SELECT pg_sleep(0.1) IS NOT NULL'")
    child = snap.start("take", url, "--where", "memories=slow(id)")
    wait_for(url, COPYING_OUT, child)
    interrupted(child, number)
    assert names(snap.folder) == set()
    assert not sessions(url, "state = 'active'")
    snap("take", url)
    snap("gc", "--keep-all")


def test_ctrl_c_while_a_restore_waits_for_a_lock(snap: Snap, url: str, pg_dump: Callable[..., str]) -> None:
    snap("take", url)
    run(url, "DELETE FROM memories WHERE id > 50")
    dump, before = pg_dump(url), names(snap.folder)
    with held(url, "memories"):
        child = snap.start("restore", "latest")
        wait_for(url, WAITING, child)
        interrupted(child)
    assert pg_dump(url) == dump
    assert names(snap.folder) == before


@pytest.mark.parametrize("number", [signal.SIGINT, *[signal.SIGTERM] * IS_SOAK])
def test_ctrl_c_while_a_restore_writes_leaves_the_database_as_it_was(
    snap: Snap, url: str, pg_dump: Callable[..., str], number: signal.Signals
) -> None:
    run(url, SLOW)
    snap("take", url)
    run(url, "DELETE FROM memories WHERE id > 20")
    dump = pg_dump(url)
    child = snap.start("restore", "latest", env=environment(PGOPTIONS="-c test.pace=0.03"))
    wait_for(url, WRITING, child)
    interrupted(child, number)
    assert pg_dump(url) == dump
    assert [one["safety"] for one in snap.json("list")] == [None]
    snap("restore", "latest", "--no-verify")
    assert rows(url, "SELECT count(*) FROM memories") == [(100,)]


def test_ctrl_c_with_json_is_an_error_document(snap: Snap, url: str) -> None:
    with held(url, "memories"):
        child = snap.start("take", url, "--json")
        wait_for(url, WAITING, child)
        assert '"code": "interrupted"' in interrupted(child)
