"""Live stores of each engine, driven by statements that all of them understand: what the contract of sources runs on.

store = SqliteStore(tmp_path / "agents.db")
store.run("CREATE TABLE notes (id integer PRIMARY KEY, body text)")
store.source.view(Selection())
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import apsw
import psycopg
from qdrant_client import models

from snapstore.sources import Source
from snapstore.sources.postgres.source import PostgresSource
from snapstore.sources.sqlite.source import SqliteSource
from tests.sources.qdrant.agent import Agent


class Store(Protocol):
    """A database with a source on it.

    `has_transactions` says that a view is one moment, and that what fails leaves nothing; `has_lock`, that two restores
    do not run at once; `has_stamps`, that what did not change is not read; `has_shapes`, that tables have keys, types
    and constraints of their own.
    """

    schema: str
    source: Source
    has_transactions: bool
    has_lock: bool
    has_stamps: bool
    has_shapes: bool

    def run(self, statements: str) -> None:
        """Execute statements and commit."""

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query gives, seen by another connection."""

    def another(self) -> Store:
        """An empty one of the same kind."""

    def condition(self, words: str) -> str:
        """The same condition on rows in the language of the source."""


class PostgresStore:
    """A database of the embedded server."""

    schema = "public"
    has_transactions = has_lock = has_stamps = has_shapes = True

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

    def condition(self, words: str) -> str:
        return words


class SqliteStore:
    """A file; the application's connection stays open beside ours, as in life."""

    schema = "main"
    has_transactions = has_lock = has_stamps = has_shapes = True

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

    def condition(self, words: str) -> str:
        return words


class QdrantStore:
    """A server or a folder. Statements run in a database in memory, which is read from collections before and written
    to them after: a row is a point, by its integer key, its rowid, or a UUID made of its key.
    """

    schema = "qdrant"
    has_transactions = has_stamps = has_shapes = False

    def __init__(self, url: str, another: Callable[[], str]) -> None:
        self._agent = Agent(url)
        self._another = another
        self.source: Source = self._agent.source
        self.has_lock = self._agent.is_local
        self._mirror = sqlite3.connect(":memory:")

    def run(self, statements: str) -> None:
        self._read()
        before = {name: self._points(name) for name in self._tables()}
        self._mirror.executescript(statements)
        after = {name: self._points(name) for name in self._tables()}
        with self._agent.client() as client:
            for name in before.keys() - after.keys():
                client.delete_collection(name)
            for name, points in after.items():
                if name not in before:
                    client.create_collection(name, vectors_config={})
                old = before.get(name, {})
                gone = sorted(old.keys() - points.keys(), key=str)
                new = [
                    models.PointStruct(id=own, vector={}, payload=one)
                    for own, one in points.items()
                    if old.get(own) != one
                ]
                if gone:
                    client.delete(name, models.PointIdsList(points=gone))
                if new:
                    client.upsert(name, new)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        self._read()
        return self._mirror.execute(query).fetchall()

    def another(self) -> Store:
        return QdrantStore(self._another(), self._another)

    def condition(self, words: str) -> str:
        return json.dumps(_FILTERS[words]) if words in _FILTERS else words

    def _tables(self) -> list[str]:
        return [row[0] for row in self._mirror.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]

    def _key(self, name: str) -> list[str]:
        found = self._mirror.execute(f"PRAGMA table_info({name})").fetchall()
        return [row[1] for row in sorted(found, key=lambda row: row[5]) if row[5]]

    def _points(self, name: str) -> dict[Any, dict[str, Any]]:
        cursor = self._mirror.execute(f"SELECT rowid AS rowid_, * FROM {name}")
        names = [one[0] for one in cursor.description]
        key, points = self._key(name), {}
        for values in cursor:
            row = dict(zip(names, values, strict=True))
            number = row.pop("rowid_")
            if len(key) > 1:
                number = str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps([row[one] for one in key])))
            points[number] = {one: value for one, value in row.items() if [one] != key}
        return points

    def _read(self) -> None:
        tables = self._tables()
        if not tables:
            return
        with self._agent.client() as client:
            for name in tables:
                points, _ = client.scroll(name, limit=10_000, with_payload=True)
                self._mirror.execute(f"DELETE FROM {name}")
                for point in points:
                    row = dict(point.payload or {}) | ({} if isinstance(point.id, str) else {"rowid": point.id})
                    marks = ", ".join("?" for _ in row)
                    self._mirror.execute(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({marks})", list(row.values()))
        self._mirror.commit()


_FILTERS = {
    "id <= 3 -- a few": {"must": [{"has_id": [1, 2, 3]}]},
    "heat > 30 AND body LIKE 'note 2%'": {"must": [{"key": "heat", "range": {"gt": 30, "lt": 37.5}}]},
    "id % 100 = 7": {"must": [{"has_id": [7, 107, 207]}]},
}
