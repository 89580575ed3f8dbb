"""Snapshots: what a manifest says, as frozen values, and as the bytes of format.md §10.

    snapshot = decode(backend.get("snapshots/1f…").data, "snapshots/1f…", seal)
    snapshot.sources[0].tables[0].root

It does not know where snapshots are kept or how one becomes committed (`snapstore.repository`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import zstandard

from snapstore.blobs.frame import content_size, decompress
from snapstore.digest import DIGEST_BYTES, Digest
from snapstore.errors import Corrupt
from snapstore.packed import MOST_BYTES, pack, unpack
from snapstore.repository.sealed import seal, unseal
from snapstore.seal import Seal

__all__ = [
    "COMMITTED",
    "ENDED",
    "PENDING",
    "Origin",
    "Snapshot",
    "SnapshotSource",
    "SnapshotTable",
    "decode",
    "encode",
    "utc_text",
]

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


def encode(snapshot: Snapshot, by: Seal) -> bytes:
    """The object's bytes, with a fresh nonce; they have been read back.

    Raises `Corrupt` where they would not say the same again: a snapshot must never be committed that nobody can read.
    """
    what = f"the snapshot {snapshot.id[:8]}"
    packed = pack(_fields(snapshot, os.urandom(16)), what)
    data = seal("S", snapshot.name, zstandard.ZstdCompressor(level=9).compress(packed), by)
    again = decode(data, snapshot.name, by)
    if pack(_fields(again, again.nonce), what) != packed:
        raise Corrupt(
            f"{what} does not read back as what was to be written, so it was not",
            hint="Try again; if that ends in the same way, check this machine's memory, and report it.",
        )
    return data


def _fields(snapshot: Snapshot, nonce: bytes) -> dict[str, Any]:
    return {
        "id": snapshot.id,
        "time": utc_text(snapshot.time),
        "state": snapshot.state,
        "nonce": nonce,
        "host": snapshot.host,
        "program": snapshot.program,
        "tags": list(snapshot.tags),
        "description": snapshot.description,
        "pinned": snapshot.pinned,
        "parent": snapshot.parent,
        "safety": snapshot.safety,
        "origin": snapshot.origin and {"repository": snapshot.origin.repository, "snapshot": snapshot.origin.snapshot},
        "roots": list(snapshot.roots),
        "sources": [_source_fields(source) for source in snapshot.sources],
        "touched": [_table_fields(table) for table in snapshot.touched],
        "statistics": dict(snapshot.statistics),
        "version": snapshot.version,
        "seen": dict(snapshot.seen),
    }


def decode(data: bytes, name: str, by: Seal) -> Snapshot:
    """The snapshot in the object of this name.

    Raises `Corrupt` or `Unsupported`, naming it: another snapshot's bytes are damage too. Fields it does not know are
    passed over.
    """
    snapshot = _decode(unseal("S", name, data, by), name)
    if snapshot.name != name:
        raise Corrupt(f"{name} holds the snapshot {snapshot.id}: one was put in another's place")
    return snapshot


def _decode(body: bytes, what: str) -> Snapshot:
    length = content_size(body, what)
    if length > MOST_BYTES:
        raise Corrupt(f"{what} claims to be {length:,} bytes, and at most {MOST_BYTES:,} are written")
    fields = unpack(decompress(body, length, what), what)
    try:
        return Snapshot(
            id=_text(fields["id"]),
            time=datetime.strptime(fields["time"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC),
            state=_text(fields["state"]),
            nonce=_bytes(fields["nonce"]),
            host=_text(fields["host"]),
            program=_text(fields["program"]),
            tags=tuple(map(_text, fields["tags"])),
            description=_text(fields["description"]),
            pinned=bool(fields["pinned"]),
            parent=_optional(fields["parent"]),
            safety=_optional(fields["safety"]),
            origin=_origin(fields.get("origin")),
            roots=tuple(map(_digest, fields["roots"])),
            sources=tuple(map(_source, fields["sources"])),
            touched=tuple(map(_table, _list(fields.get("touched", [])))),
            statistics=dict(fields["statistics"]),
            version=_count(fields.get("version")) or 0,
            seen={_text(id_): _count(version) or 0 for id_, version in fields.get("seen", {}).items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Corrupt(f"{what} is damaged: it is not a manifest ({error})") from error


def _source_fields(source: SnapshotSource) -> dict[str, Any]:
    return {
        "name": source.name,
        "kind": source.kind,
        "url": source.url,
        "objects": source.objects,
        "position": dict(source.position),
        "context": dict(source.context),
        "selection": dict(source.selection),
        "missing": list(source.missing),
        "tables": [_table_fields(table) for table in source.tables],
    }


def _table_fields(table: SnapshotTable) -> dict[str, Any]:
    return {
        "name": table.name,
        "rows": table.rows,
        "root": table.root,
        "schema": table.schema,
        "where": table.where,
        "left_out": list(table.left_out),
        "added": table.added,
        "changed": table.changed,
        "removed": table.removed,
        "reading": table.reading,
        "hints": table.hints,
    }


def _source(fields: Mapping[str, Any]) -> SnapshotSource:
    return SnapshotSource(
        name=_text(fields["name"]),
        kind=_text(fields["kind"]),
        url=_text(fields["url"]),
        objects=None if fields["objects"] is None else _digest(fields["objects"]),
        position=dict(fields["position"]),
        context=dict(fields["context"]),
        selection=dict(fields["selection"]),
        missing=tuple(map(_text, fields["missing"])),
        tables=tuple(map(_table, fields["tables"])),
    )


def _table(fields: Mapping[str, Any]) -> SnapshotTable:
    return SnapshotTable(
        name=_text(fields["name"]),
        rows=_count(fields["rows"]) or 0,
        root=None if fields["root"] is None else _digest(fields["root"]),
        schema=_digest(fields["schema"]),
        where=_optional(fields["where"]),
        left_out=tuple(map(_text, fields["left_out"])),
        added=_count(fields["added"]),
        changed=_count(fields["changed"]),
        removed=_count(fields["removed"]),
        reading=_text(fields["reading"]),
        hints=None if fields.get("hints") is None else _digest(fields["hints"]),
    )


def _origin(fields: Mapping[str, Any] | None) -> Origin | None:
    return None if fields is None else Origin(_text(fields["repository"]), _text(fields["snapshot"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _optional(value: object) -> str | None:
    return None if value is None else _text(value)


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return value


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"{value!r} is not bytes")
    return value


def _count(value: object) -> int | None:
    if value is not None and (not isinstance(value, int) or value < 0):
        raise TypeError(f"{value!r} is not a count")
    return value


def _digest(value: object) -> Digest:
    if not isinstance(value, bytes) or len(value) != DIGEST_BYTES:
        raise TypeError(f"{value!r} is not a digest")
    return Digest(value)
