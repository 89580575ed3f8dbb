"""Through PgBouncer in transaction mode, where the next transaction may be another session's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from snap_cli.embedded import EmbeddedServer
from snapstore.backends.memory import MemoryBackend
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask, plan_restore, restore
from snapstore.operations.take import Request, take
from snapstore.repository import Repository
from snapstore.sources.postgres.connection import connect
from snapstore.sources.postgres.querying import rows_of
from snapstore.sources.postgres.source import PostgresSource
from tests import pooler

ROWS = """
    CREATE SCHEMA app;
    CREATE FUNCTION app.shout(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper(t)';
    CREATE TABLE app.t (id serial PRIMARY KEY, words text, e vector(3),
      loud text GENERATED ALWAYS AS (app.shout(words)) STORED);
    CREATE INDEX ON app.t USING hnsw (e vector_l2_ops);
    INSERT INTO app.t (words, e) SELECT 'words ' || i, ARRAY[i, 1, 2]::real[] FROM generate_series(1, 500) i;
"""


@pytest.fixture
def pooled(databases: Callable[..., str], server: EmbeddedServer, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A database directly, and through a PgBouncer with two sessions that it deals out by transaction."""
    url = databases(vector=True)
    with pooler.pooled(server, url, tmp_path / "log") as through:
        yield url, through


def test_take_plan_and_restore_work_through_a_pooler(
    pooled: tuple[str, str], pg_dump: Callable[..., str], databases: Callable[..., str]
) -> None:
    url, through = pooled
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ROWS.encode())
    before = pg_dump(url)
    repository, source = Repository.init(MemoryBackend()), PostgresSource(through)
    snapshot = take(repository, [Request("db", source)]).snapshot
    directly = take(repository, [Request("db", PostgresSource(url))]).snapshot
    assert snapshot.sources[0].tables[0].root == directly.sources[0].tables[0].root
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM app.t WHERE id > 300; UPDATE app.t SET words = 'x' WHERE id < 50")
    plan = plan_restore(repository, snapshot, source, Ask(Mode.UPDATE))
    assert (plan.tables[0].insert, plan.tables[0].update) == (200, 49)
    restore(repository, snapshot, source, Ask(Mode.UPDATE), plan_id=plan.id)
    assert pg_dump(url) == before
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA app CASCADE; DROP EXTENSION vector")
    restore(repository, snapshot, source, Ask())
    assert pg_dump(url) == before


def test_a_pooled_session_keeps_nothing_of_ours(pooled: tuple[str, str]) -> None:
    url, through = pooled
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ROWS.encode())
    # Names with a dot come with an extension's library, when something first needs it.
    settings = "SELECT name, setting FROM pg_settings WHERE name <> 'application_name' AND name !~ '[.]' ORDER BY name"

    def sessions() -> list[list[tuple[str, str]]]:
        """What the two sessions behind the pooler have set, seen one after the other."""
        seen = []
        for _ in range(2):
            with psycopg.connect(through, autocommit=True) as connection:
                connection.prepare_threshold = None
                seen.append(connection.execute(settings).fetchall())
        return seen

    before = sessions()
    repository, source = Repository.init(MemoryBackend()), PostgresSource(through)
    snapshot = take(repository, [Request("db", source)]).snapshot
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM app.t WHERE id > 300")
    restore(repository, snapshot, source, Ask())
    changed = [set(now) ^ set(then) for now, then in zip(sessions(), before, strict=True)]
    assert changed == [set(), set()]


def test_statements_are_prepared_on_a_session_of_our_own_and_never_behind_a_pooler(pooled: tuple[str, str]) -> None:
    for url, expected in zip(pooled, (1, 0), strict=True):
        with connect(url) as connection, connection.transaction():
            rows_of(connection, "SELECT 1 AS one")
            held = connection.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement ~ ' AS one'")
            assert held.fetchone() == (expected,)
