"""A database, its repository, and takes of it both ways: an incremental root must be that of a full read.

watched = Watched(url, folder, "CREATE TABLE memories (...)")
watched.connection.execute("UPDATE memories SET heat = 1")
watched.check().reading
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from snapstore import DirectoryBackend, PostgresSource, Repository, Request, Selection, SnapshotTable, take
from snapstore.operations.parent import Parent, parent_of
from snapstore.operations.state import scratch, stable_capture

__all__ = ["Connection", "Watched", "wide"]

Connection = psycopg.Connection[Any]


def wide(rows: int, floats: int = 600) -> str:
    """A table of memories whose embeddings stand out of line, as arrays: pgvector is not on every server."""
    vector = f"(SELECT array_agg((n * g % 1009)::real) FROM generate_series(1, {floats}) n)"
    return f"""
        CREATE TABLE memories (id bigint PRIMARY KEY, content text NOT NULL, heat real, embedding real[], notes text);
        ALTER TABLE memories ALTER embedding SET STORAGE EXTERNAL;
        INSERT INTO memories SELECT g, 'memory ' || g, g / 10.0, {vector} FROM generate_series(1, {rows}) g"""


class Watched:
    """Its first take is made at once."""

    def __init__(self, url: str, folder: Path, schema: str) -> None:
        self.url = url
        self.connection = psycopg.connect(url, autocommit=True)
        self.repository = Repository.init(DirectoryBackend(folder / "repository", create=True))
        for statement in filter(str.strip, schema.split(";")):
            self.connection.execute(statement.encode())
        self.take()

    def run(self, statements: str) -> None:
        """One after the other; at once where they begin a transaction of their own."""
        for statement in [statements] if statements.startswith("BEGIN") else statements.split(";"):
            self.connection.execute(statement.encode())

    def reconnect(self, url: str = "") -> None:
        """After the server was away, or to another one."""
        self.connection.close()
        self.url = url or self.url
        self.connection = psycopg.connect(self.url, autocommit=True)

    def take(self, *, full: bool = False, selection: Selection | None = None) -> SnapshotTable:
        """A take; what it says of the memories."""
        return self.tables(full=full, selection=selection)["public.memories"]

    def tables(self, *, full: bool = False, selection: Selection | None = None) -> dict[str, SnapshotTable]:
        """A take; what it says of every table."""
        request = Request("agents", PostgresSource(self.url), selection or Selection())
        snapshot = take(self.repository, [request], full=full).snapshot
        return {table.name: table for table in snapshot.sources[0].tables}

    def check(self) -> SnapshotTable:
        """An incremental take, held against a full one."""
        return self.check_all()["public.memories"]

    def check_all(self) -> dict[str, SnapshotTable]:
        """The same of every table."""
        tables, whole = self.tables(), self.tables(full=True)
        assert {name: one.root for name, one in tables.items()} == {name: one.root for name, one in whole.items()}
        return tables

    @property
    def parent(self) -> Parent:
        """What the next take would go by."""
        found = parent_of(self.repository.snapshots(), "agents", "postgresql")
        assert found is not None
        return found

    def capture(self, parent: Parent | None) -> Mapping[str, SnapshotTable]:
        """What a take that goes by this parent would hold; nothing is kept."""
        with scratch(self.repository) as store, store.writer(bytes(16)) as writer:
            captured = stable_capture(
                PostgresSource(self.url),
                Selection(),
                writer,
                self.repository.cut_key,
                parent=parent,
                fetch=None if parent is None else self.repository.blobs,
            )
            return {table.name: table for table in captured.tables}
