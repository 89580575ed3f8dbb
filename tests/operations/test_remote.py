"""A server far off and a store that is slow: no round trip by the row, and no transaction that waits for the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import psycopg
import pytest

from benchmarks.line import Line
from snap_cli.embedded import EmbeddedServer
from snapstore import Ask, MemoryBackend, Mode, PostgresSource, Repository, Request, Selection, diff, restore, take
from snapstore.digest import Buffer
from snapstore.operations.state import live, of_snapshot
from tests.operations.watched import wide

FEW, MANY = 100, 1500
A_FEW_MORE = 6
"""Round trips that may come with more rows: a file that grows, a buffer that fills. By the row there were hundreds."""


@pytest.fixture
def line(server: EmbeddedServer) -> Iterator[Line]:
    with Line(server.folder) as one:
        yield one


def test_round_trips_do_not_grow_with_the_rows(
    line: Line, databases: Callable[..., str], server: EmbeddedServer
) -> None:
    few, many = (_round_trips(line, databases(), str(server.folder), rows) for rows in (FEW, MANY))
    assert few.keys() == many.keys()
    for what, trips in few.items():
        assert many[what] <= trips + A_FEW_MORE, what
    assert max(few["idle take"], few["full take"]) < 140, few


def _round_trips(line: Line, url: str, folder: str, rows: int) -> dict[str, int]:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in wide(rows).split(";"):
            connection.execute(statement.encode())
        source = PostgresSource(url.replace(folder, str(line.folder)))
        repository = Repository.init(MemoryBackend())
        counted: dict[str, int] = {}

        def count(what: str, work: Callable[[], object]) -> None:
            line.reset()
            work()
            counted[what] = line.round_trips

        def take_one() -> object:
            return take(repository, [Request("agents", source)])

        def compare() -> object:
            snapshot = repository.snapshots()[0]
            with live(repository, "agents", source, Selection()) as state:
                return list(diff(of_snapshot(repository, snapshot), state))

        count("full take", take_one)
        count("idle take", take_one)
        connection.execute(
            b"UPDATE memories SET content = 'edited', embedding = array_append(embedding, 1) WHERE id % 2 = 0"
        )
        connection.execute(b"DELETE FROM memories WHERE id % 5 = 0")
        count("diff of many rows", compare)
        count("take of many rows", take_one)
        connection.execute(b"UPDATE memories SET heat = 0")
        count("take of a decay", take_one)
        snapshot = repository.snapshots()[0]
        count("restore", lambda: restore(repository, snapshot, source, Ask(mode=Mode.EXACT)))
        return counted


class Stuck(MemoryBackend):
    """A store that takes no pack until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_free = threading.Event()
        self.is_waiting = threading.Event()
        self.is_free.set()

    def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
        if name.startswith("packs/"):
            self.is_waiting.set()
            assert self.is_free.wait(60)
        return super().put(name, parts, unique=unique)


def test_a_transaction_does_not_wait_for_the_store(database: str) -> None:
    backend = Stuck()
    repository = Repository.init(backend)
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in wide(FEW).split(";"):
            connection.execute(statement.encode())
        backend.is_free.clear()
        backend.is_waiting.clear()
        taker = threading.Thread(target=take, args=(repository, [Request("agents", PostgresSource(database))]))
        taker.start()
        try:
            assert backend.is_waiting.wait(60)
            open_ones = (
                b"SELECT count(*) FROM pg_stat_activity "
                b"WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
            )
            end = time.monotonic() + 60
            while connection.execute(open_ones).fetchone() != (0,):
                assert time.monotonic() < end, "a transaction is still open"
                time.sleep(0.02)
            assert taker.is_alive()
            # And nothing is locked any more.
            connection.execute("SET lock_timeout = '5s'; ALTER TABLE memories ADD late int")
        finally:
            backend.is_free.set()
            taker.join()
    assert repository.snapshots()[0].sources[0].tables[0].rows == FEW
