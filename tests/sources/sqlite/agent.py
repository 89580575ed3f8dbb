"""A SQLite file and what people do with it: statements by the application's own connection, takes and restores."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from snapstore.backends.memory import MemoryBackend
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask, Restored, restore
from snapstore.operations.take import Request, Taken, take
from snapstore.repository import Repository, Snapshot
from snapstore.sources import Selection
from snapstore.sources.sqlite.connection import connect, quoted
from snapstore.sources.sqlite.source import SqliteSource


@dataclass
class Agent:
    """An application with a database file, and a repository beside it."""

    place: Path
    repository: Repository = field(default_factory=lambda: Repository.init(MemoryBackend()))

    def __post_init__(self) -> None:
        self.source = SqliteSource(f"sqlite://{self.place}", wait_seconds=0.3, settle_seconds=0.01)
        self.application: apsw.Connection | None = None

    def run(self, statements: str, values: tuple[Any, ...] = ()) -> list[Any]:
        if self.application is None:
            self.application = connect(str(self.place), self.place, 0.3)
            self.application.pragma("synchronous", 0)  # nobody pulls the plug here
        return self.application.execute(statements, values).fetchall()

    def stop(self) -> None:
        """Close the application's connection."""
        if self.application is not None:
            self.application.close(True)
        self.application = None

    def taken(self, **selection: Any) -> Taken:
        return take(self.repository, [Request("agent", self.source, Selection(**selection))])

    def take(self, **selection: Any) -> Snapshot:
        return self.taken(**selection).snapshot

    def restore(self, snapshot: Snapshot, mode: Mode = Mode.EXACT, **ask: Any) -> Restored:
        return restore(self.repository, snapshot, self.source, Ask(mode=mode, **ask))

    def at(self, name: str) -> Agent:
        """The same repository with another file."""
        return Agent(self.place.with_name(name), self.repository)

    def dump(self) -> dict[str, Any]:
        """Everything in the database: the schema, settings, and every cell of every table with its class."""
        connection = connect(str(self.place), self.place, 0.3)
        try:
            return _dump(connection)
        finally:
            connection.close(True)


def _dump(connection: apsw.Connection) -> dict[str, Any]:
    dump: dict[str, Any] = {
        name: connection.pragma(name)
        for name in ("user_version", "application_id", "encoding", "page_size", "auto_vacuum")
    }
    entries = list(connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%'"))
    dump["schema"] = sorted((str(kind), str(name), str(sql)) for kind, name, sql in entries)
    for kind, name, sql in entries:
        if kind != "table" or str(sql).startswith("CREATE VIRTUAL"):
            continue
        columns = [row[1] for row in connection.execute(f"PRAGMA table_xinfo({quoted(name)})")]
        cells = ", ".join(
            f"typeof({quoted(one)}), quote(CAST({quoted(one)} AS BLOB)), {quoted(one)}" for one in columns
        )
        rows = connection.execute(f"SELECT {cells} FROM {quoted(name)}")
        dump[name] = sorted(
            tuple((row[at], row[at + 1], _exact(row[at + 2])) for at in range(0, len(row), 3)) for row in _safe(rows)
        )
    return dump


def _safe(rows: Any) -> list[Any]:
    try:
        return list(rows)
    except UnicodeDecodeError:
        return []


def _exact(value: Any) -> str:
    return value.hex() if isinstance(value, float | bytes) else repr(value)
