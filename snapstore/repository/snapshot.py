"""Snapshots: what was taken, as frozen values.

    snapshot.sources[0].tables[0].root

As bytes they are manifests (`snapstore.repository.manifest`). It does not know where these are kept or how one becomes
committed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from snapstore.digest import Digest

__all__ = [
    "COMMITTED", "ENDED", "PENDING", "Origin", "Snapshot", "SnapshotSource", "SnapshotTable", "new_id", "utc_text",
]  # fmt: skip

PENDING, COMMITTED, ENDED = "pending", "committed", "ended"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a copy comes from: the id of the repository it was first taken into, and its id there, 32 hex digits each.

    A copy of a copy has the origin of the first.
    """

    repository: str
    snapshot: str


@dataclass(frozen=True, slots=True)
class SnapshotTable:
    """One table: `root` is None if only its schema was taken. `left_out` names columns that were not stored.

    `added`, `changed` and `removed` count rows against the parent snapshot; None where there is none. `reading` says in
    words how the rows were read, and why. `hints` is the root of what is kept beside the table for the next take, and
    may be missing.
    """

    name: str
    rows: int
    root: Digest | None
    schema: Digest
    where: str | None = None
    left_out: tuple[str, ...] = ()
    added: int | None = None
    changed: int | None = None
    removed: int | None = None
    reading: str = ""
    hints: Digest | None = None


@dataclass(frozen=True, slots=True)
class SnapshotSource:
    """One source: `objects` is the schema blob of what lies beyond its tables; `missing` what was left out, and why."""

    name: str
    kind: str
    url: str
    tables: tuple[SnapshotTable, ...]
    objects: Digest | None = None
    position: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    selection: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def hidden(self, table: str) -> str:
        """What is said of rows of a table that is held, which were there and are not; empty if all are held.

        A folder is one table, and what of it could not be read is named by its path.
        """
        if self.kind == "file":
            return "; ".join(self.missing)
        start = f"table {table}: "
        return next((text.removeprefix(start) for text in self.missing if text.startswith(start)), "")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A manifest. `id` is 32 hex digits; `time` is when the view was taken, in UTC.

    `safety` is the id of the snapshot whose restore this one preceded; `touched` are then the keys of the rows which
    that restore set out to change, as tables without columns. `roots` is of a pending one: what it depends on.
    `origin` says of a copy what it is a copy of. `version` counts the changes of its words; `seen` has the versions of
    the snapshots before it, by id, where the repository is encrypted (`snapstore.repository.sequence`).
    """

    id: str
    time: datetime
    state: str = PENDING
    host: str = ""
    program: str = ""
    tags: tuple[str, ...] = ()
    description: str = ""
    pinned: bool = False
    parent: str | None = None
    safety: str | None = None
    origin: Origin | None = None
    sources: tuple[SnapshotSource, ...] = ()
    touched: tuple[SnapshotTable, ...] = ()
    statistics: Mapping[str, Any] = field(default_factory=dict)
    roots: tuple[Digest, ...] = ()
    nonce: bytes = b""
    version: int = 0
    seen: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The object's name."""
        return f"snapshots/{self.id}"

    def digests(self) -> list[Digest]:
        """Every blob the snapshot names itself: roots, schemas, objects."""
        named = [*self.roots]
        for source in self.sources:
            named += [source.objects] if source.objects else []
        for table in self.every_table():
            named += [table.schema, *(root for root in (table.root, table.hints) if root)]
        return named

    def every_table(self) -> list[SnapshotTable]:
        """Every table whose blobs the snapshot needs."""
        return [*(table for source in self.sources for table in source.tables), *self.touched]

    def source(self, name: str | None) -> SnapshotSource | None:
        """The source of that name; the only one if no name is given."""
        if name is None:
            return self.sources[0] if len(self.sources) == 1 else None
        return next((source for source in self.sources if source.name == name), None)


def new_id() -> str:
    """A fresh id: 128 random bits."""
    return os.urandom(16).hex()


def utc_text(moment: datetime) -> str:
    """`2026-01-31T02:00:00.000000Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
