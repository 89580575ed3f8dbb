"""A snapshot as the bytes of its object (format.md §10), sealed, and back.

    snapshot = decode(backend.get("snapshots/1f…").data, "snapshots/1f…", seal)

Anybody may have written an object: every field is looked at before it is believed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import zstandard

from snapstore.blobs.frame import content_size, decompress
from snapstore.digest import DIGEST_BYTES, Digest
from snapstore.errors import Corrupt
from snapstore.packed import MOST_BYTES, pack, unpack
from snapstore.repository.sealed import seal, unseal
from snapstore.repository.snapshot import Origin, Snapshot, SnapshotSource, SnapshotTable, utc_text
from snapstore.seal import Seal

__all__ = ["decode", "encode"]


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
