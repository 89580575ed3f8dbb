"""Live stores of each engine, driven by statements that all of them understand: what the contract of sources runs on.

store = SqliteStore(tmp_path / "agents.db")
store.run("CREATE TABLE notes (id integer PRIMARY KEY, body text)")
store.source.view(Selection())
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import apsw
import psycopg

from snapstore.sources import Source
from snapstore.sources.postgres.source import PostgresSource
from snapstore.sources.sqlite.source import SqliteSource


class Store(Protocol):
    """A database with a source on it."""

    schema: str
    source: Source

    def run(self, statements: str) -> None:
        """Execute statements and commit."""

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query gives, seen by another connection."""

    def another(self) -> Store:
        """An empty one of the same kind."""


class PostgresStore:
    """A database of the embedded server."""

    schema = "public"

    def __init__(self, databases: Callable[..., str]) -> None:
        self._databases = databases
        self.url = databases()
        self.source: Source = PostgresSource(self.url, lock_timeout_seconds=0.2)

    def run(self, statements: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statements.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def another(self) -> Store:
        return PostgresStore(self._databases)


class SqliteStore:
    """A file; the application's connection stays open beside ours, as in life."""

    schema = "main"

    def __init__(self, place: Path, *, wal: bool = True) -> None:
        self.place = place
        self.source: Source = SqliteSource(f"sqlite://{place}", wait_seconds=0.2, settle_seconds=0.01)
        self.application = apsw.Connection(str(place))
        self.application.set_busy_timeout(200)
        self.application.pragma("synchronous", 0)  # nobody pulls the plug here
        if wal:
            self.application.pragma("journal_mode", "wal")

    def run(self, statements: str) -> None:
        self.application.execute(statements).fetchall()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return list(self.application.execute(query))

    def another(self) -> Store:
        return SqliteStore(self.place.with_name(f"{self.place.stem}-2.db"))
