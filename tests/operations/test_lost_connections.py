"""Somebody ends our connection: nothing is half done, the repository is clean, and what is known is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from snapstore.errors import Unavailable
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask, restore
from snapstore.operations.take import Request, take
from snapstore.sources import Selection, Target
from snapstore.sources.postgres.source import PostgresSource
from tests.operations.world import World

PgDump = Callable[..., str]

# Too many rows to lie in the buffers between the server and us.
ROWS = """
    CREATE TABLE t (id int PRIMARY KEY, words text, more text);
    ALTER TABLE t ALTER more SET STORAGE EXTERNAL;
    INSERT INTO t SELECT i, repeat(md5(i::text), 6), NULL FROM generate_series(1, 30000) i;
"""
KILL = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE application_name = 'snapstore' AND datname = current_database()
"""


def killing(world: World, call: int) -> Callable[..., None]:
    """A progress that ends our connections when it is called for the nth time."""
    calls: list[int] = []

    def progress(*_: object) -> None:
        calls.append(1)
        if len(calls) == call:
            assert world.rows(KILL)

    return progress


class Ended(PostgresSource):
    """A source whose connection is ended when everything is done but the commit."""

    @contextmanager
    def target(self, selection: Selection) -> Iterator[Target]:
        with super().target(selection) as target:
            yield target
            with psycopg.connect(self.url, autocommit=True) as connection:
                assert connection.execute(KILL.encode()).fetchall()


def test_a_take_that_loses_its_connection_leaves_nothing_behind(small_world: World) -> None:
    world = small_world
    world.run(ROWS)
    with pytest.raises(Unavailable, match=r"public\.t cannot be read: .*(terminating connection|connection)") as caught:
        take(world.repository, [Request("agents", world.source)], progress=killing(world, 1))
    assert caught.value.hint
    assert world.repository.snapshots() == world.repository.pendings() == []
    assert world.take().sources[0].tables[0].rows == 30_000


def test_a_restore_that_loses_its_connection_has_changed_nothing(small_world: World, pg_dump: PgDump) -> None:
    world = small_world
    world.run(ROWS)
    snapshot = world.take()
    world.run("DELETE FROM t WHERE id > 1000")
    before = pg_dump(world.url)
    # The first call is for the rows that are live, the others for those that go in.
    with pytest.raises(Unavailable, match=r"cannot be inserted into public\.t: .*connection") as caught:
        restore(world.repository, snapshot, world.source, Ask(), progress=killing(world, 3))
    assert caught.value.hint
    assert pg_dump(world.url) == before
    assert [one.id for one in world.repository.snapshots()] == [snapshot.id]
    assert world.repository.pendings() == []
    world.restore(snapshot, Mode.EXACT)
    assert world.value("SELECT count(*) FROM t") == 30_000


def test_a_restore_that_loses_its_connection_as_it_commits_keeps_the_safety_snapshot(small_world: World) -> None:
    world = small_world
    world.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    snapshot = world.take()
    world.run("DELETE FROM t WHERE id = 1")
    with pytest.raises(Unavailable, match="nobody knows whether they were") as caught:
        restore(world.repository, snapshot, Ended(world.url), Ask())
    assert "undo" in caught.value.hint
    safety = world.repository.snapshots()[-1]
    assert safety.safety == snapshot.id
    assert world.rows("SELECT id FROM t") == [(2,)]
    world.restore(snapshot)
    assert world.rows("SELECT id FROM t ORDER BY id") == [(1,), (2,)]
