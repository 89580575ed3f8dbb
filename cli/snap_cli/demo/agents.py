"""The life of an agents' memory in PostgreSQL, for `snap demo`: tables, a day's work, and a clean-up that goes wrong.

    memory = Memory(connection, load(2400))
    memory.create()
    memory.day()
    memory.bad_cleanup()

Texts and embeddings are real (snap_cli.sample); who owns a memory, how warm it is and when it was used follow from its
id, so every run tells the same story. This module knows nothing of snapshots.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format
from psycopg.types import TypeInfo
from psycopg.types.json import Jsonb

from snap_cli.sample import Memory as Text
from snap_cli.sample import Relationship, Sample

__all__ = ["MINIMUM_ROWS", "Cleanup", "Day", "Memory"]

MINIMUM_ROWS = 400
"""With fewer the story would have nothing to tell."""

_TABLES = """
CREATE EXTENSION vector;
CREATE TABLE memories (
    id text PRIMARY KEY,
    client text NOT NULL,
    project text NOT NULL,
    content text NOT NULL,
    embedding vector(384) NOT NULL,
    heat real NOT NULL,
    access_count integer NOT NULL DEFAULT 0,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    last_used timestamptz
);
CREATE TABLE relationships (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL REFERENCES memories ON DELETE CASCADE,
    target text NOT NULL REFERENCES memories ON DELETE CASCADE,
    kind text NOT NULL,
    weight real NOT NULL,
    UNIQUE (source, target, kind)
);
"""
_INDEXES = """
CREATE INDEX memories_by_owner ON memories (client, project);
CREATE INDEX memories_by_metadata ON memories USING gin (metadata);
CREATE INDEX memories_by_meaning ON memories USING hnsw (embedding vector_cosine_ops)
  WITH (m = 8, ef_construction = 24);
"""
_COLUMNS = {
    "id": "text",
    "client": "text",
    "project": "text",
    "content": "text",
    "embedding": "vector",
    "heat": "float4",
    "access_count": "int4",
    "metadata": "jsonb",
    "created_at": "timestamptz",
    "last_used": "timestamptz",
}
_CLIENTS = ("acme", "globex", "initech")
_KINDS = ("fact", "note", "decision", "preference")
_MONDAY = datetime(2026, 1, 5, 9, tzinfo=UTC)
_TUESDAY = _MONDAY + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Day:
    """What a day of work did, in rows."""

    cooled: int
    used: int
    rewritten: int
    added: int
    linked: int


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What the clean-up did, in rows; `examples` are the ids of a memory cut short and of one misplaced."""

    deleted: int
    unlinked: int
    garbled: int
    misplaced: int
    examples: tuple[str, str]


class Memory:
    """Agents' memory behind one connection (in autocommit), filled from a sample."""

    def __init__(self, connection: psycopg.Connection[Any], sample: Sample) -> None:
        self._connection = connection
        self._sample = sample
        count = len(sample.memories)
        # The last ones wait for the second day: some are new then, others are what old ones are rewritten to.
        self._first = count - count // 100 - count // 200
        self._new = range(self._first, self._first + count // 100)
        self._better = range(self._new.stop, count)

    def create(self) -> tuple[int, int]:
        """Make the tables and fill them; returns how many memories and relationships there are."""
        self._connection.execute(_TABLES)
        found = TypeInfo.fetch(self._connection, "vector")
        assert found is not None
        found.register(self._connection)
        _VectorDumper.oid = found.oid
        self._connection.adapters.register_dumper(_Vector, _VectorDumper)
        self._write(range(self._first), _MONDAY)
        linked = self._link(self._edges(range(self._first)))
        self._connection.execute(_INDEXES)
        self._connection.execute("ANALYZE")
        return self._first, linked

    def day(self) -> Day:
        """A day passes: every memory cools, some are used, some rewritten, new ones are written."""
        with self._connection.transaction():
            cooled = self._run("UPDATE memories SET heat = heat * 0.97")
            used = self._run(
                "UPDATE memories SET heat = least(1, heat + 0.2), access_count = access_count + 1, last_used = %s "
                "WHERE id = ANY(%s)",
                _TUESDAY,
                [text.id for text in self._sample.memories[: self._first] if _drawn(text.id, "used") < 0.025],
            )
            old = [at for at in range(self._first) if _drawn(self._sample.memories[at].id, "used") >= 0.025]
            for at, other in zip(old, self._better, strict=False):
                self._connection.execute(
                    "UPDATE memories SET content = %b, embedding = %b, metadata = metadata || %b WHERE id = %b",
                    [
                        self._sample.memories[other].content,
                        self._vector(other),
                        Jsonb({"rewritten": True}),
                        self._sample.memories[at].id,
                    ],
                )
            self._write(self._new, _TUESDAY)
            linked = self._link(self._edges(range(self._new.stop), beyond=self._first))
        return Day(cooled, used, len(self._better), len(self._new), linked)

    def bad_cleanup(self) -> Cleanup:
        """Forget far too much, cut texts short, and overwrite embeddings with those of other memories."""
        with self._connection.transaction():
            links = self._count("relationships")
            deleted = self._run("DELETE FROM memories WHERE client = 'acme' AND heat < 0.3")
            unlinked = links - self._count("relationships")
            long = "client = 'globex' AND length(content) > 120"
            wrong = "client = 'initech' AND heat > 0.9 AND id <> (SELECT min(id) FROM memories)"
            examples = (self._first_id(f"{long} ORDER BY length(content), id"), self._first_id(f"{wrong} ORDER BY id"))
            garbled = self._run(f"UPDATE memories SET content = left(content, 20), metadata = '{{}}' WHERE {long}")  # noqa: S608  # our words
            misplaced = self._run(
                "UPDATE memories SET embedding = (SELECT embedding FROM memories ORDER BY id LIMIT 1) "  # noqa: S608  # our words
                f"WHERE {wrong}"
            )
        return Cleanup(deleted, unlinked, garbled, misplaced, examples)

    def _first_id(self, condition: str) -> str:
        found = self._connection.execute(f"SELECT id FROM memories WHERE {condition} LIMIT 1".encode()).fetchone()  # noqa: S608  # our words
        assert found is not None
        return str(found[0])

    def _run(self, statement: str, *arguments: object) -> int:
        return self._connection.execute(statement.encode(), arguments or None).rowcount

    def _count(self, table: str) -> int:
        found = self._connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()  # noqa: S608  # our words
        assert found is not None
        return int(found[0])

    def _write(self, places: Iterable[int], day: datetime) -> None:
        into = f"COPY memories ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
        with self._connection.cursor() as cursor, cursor.copy(into.encode()) as copy:
            copy.set_types(list(_COLUMNS.values()))
            for at in places:
                copy.write_row(self._row(at, self._sample.memories[at], day))

    def _row(self, at: int, text: Text, day: datetime) -> Sequence[Any]:
        age = timedelta(minutes=round(_drawn(text.id, "age") * 60 * 24 * 90))
        uses = int(_drawn(text.id, "uses") ** 3 * 40)
        metadata = {"kind": _KINDS[int(_drawn(text.id, "kind") * 4)], "about": text.name, "agent": "reader-1"}
        return (
            text.id,
            _CLIENTS[int(_drawn(text.id, "client") * 3)],
            text.module.partition(".")[0],
            text.content,
            self._vector(at),
            round(0.05 + 0.95 * _drawn(text.id, "heat"), 3),
            uses,
            Jsonb(metadata),
            day if day != _MONDAY else day - age,
            day - age / 2 if uses else None,
        )

    def _vector(self, at: int) -> _Vector:
        return _Vector(self._sample.embeddings[at].astype(">f4").tobytes())

    def _edges(self, places: range, *, beyond: int = 0) -> Iterator[Relationship]:
        """The relationships within these places that reach one at `beyond` or later."""
        known = {self._sample.memories[at].id: at for at in places}
        for edge in self._sample.relationships:
            source, target = known.get(edge.source), known.get(edge.target)
            if source is not None and target is not None and max(source, target) >= beyond:
                yield edge

    def _link(self, edges: Iterable[Relationship]) -> int:
        linked = 0
        into = b"COPY relationships (source, target, kind, weight) FROM STDIN (FORMAT BINARY)"
        with self._connection.cursor() as cursor, cursor.copy(into) as copy:
            copy.set_types(["text", "text", "text", "float4"])
            for edge in edges:
                copy.write_row((edge.source, edge.target, edge.kind, edge.weight))
                linked += 1
        return linked


@dataclass(frozen=True, slots=True)
class _Vector:
    """Big-endian float32, as pgvector sends and takes them after a header."""

    elements: bytes


class _VectorDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _Vector) -> Buffer:
        return (len(obj.elements) // 4).to_bytes(2, "big") + b"\0\0" + obj.elements


def _drawn(identity: str, what: str) -> float:
    """A number in [0, 1) that follows from the words."""
    return int.from_bytes(hashlib.sha256(f"{identity}/{what}".encode()).digest()[:4], "big") / 2**32
