"""Makes the golden repository of format version 1: `python tests/golden/make_v1.py FOLDER`.

The one that is committed was made once and is never made again: a program that reads and writes format 1 must read it,
bit for bit, for ever. This says what is in it.
"""

from __future__ import annotations

import random
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from snapstore.backends.directory import DirectoryBackend
from snapstore.digest import Digest
from snapstore.repository import Repository, Snapshot, SnapshotSource, SnapshotTable
from snapstore.rows import Batch, Cells, Column, KeyPart, Table
from snapstore.tree.builder import TreeBuilder
from snapstore.tree.node import encode_schema

Row = tuple[bytes | None, ...]
Rows = dict[bytes, Row]

MEMORIES = Table(
    "public.memories",
    (KeyPart("id", "bigint", "int8"),),
    (
        Column("heat", "real", width=4),
        Column("content", "text"),
        Column("nothing", "text"),
        Column("kind", "text"),
        Column("vector", "vector(192)", stride=4),
        Column("file", "bytea"),
    ),
    {"schema": "public", "name": "memories"},
)
EDGES = Table(
    "public.edges",
    (KeyPart("a", "text", "bytes"), KeyPart("b", "integer", "int4")),
    (Column("weight", "double precision", width=8),),
    {"schema": "public", "name": "edges"},
)
EMPTY = Table("public.empty", (KeyPart("id", "uuid", "fixed16"),), (Column("x", "text"),), {})
MOMENTS = (datetime(2026, 1, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, 2, tzinfo=UTC))


def memories() -> Rows:
    """2,500 rows: NULLs, a constant column, large cells, one of several parts."""
    chance = random.Random(20260101)
    vectors = np.random.Generator(np.random.PCG64(7)).integers(0, 256, (40, 768), np.uint8)
    rows: Rows = {}
    for number in range(2500):
        heat = None if number % 97 == 0 else chance.randbytes(4)
        content = f"memory {number} {'of a longer story ' * (number % 40)}".encode()
        vector = vectors[number % 40].tobytes()
        file = chance.randbytes(150_000) if number == 7 else None
        rows[(number * 7919 + (1 << 63)).to_bytes(8, "big")] = (heat, content, None, b"note", vector, file)
    return rows


def changed(rows: Rows) -> Rows:
    """The next day: some deleted, some edited, one added."""
    after = dict(rows)
    keys = sorted(rows)
    for key in keys[100:120]:
        del after[key]
    for key in keys[::250]:
        after[key] = (b"\0\0\0\0", b"edited", *rows[key][2:]) if key in after else rows[key]
    after[b"\xff" * 8] = (None, b"the last", None, b"note", None, b"")
    return after


def edges() -> Rows:
    """A composite key: text, ended by two zero bytes, then an integer."""
    return {
        b"mem_%d" % (number // 3) + b"\0\0" + (number + (1 << 31)).to_bytes(4, "big"): (number.to_bytes(8, "big"),)
        for number in range(20)
    }


def batch_of(table: Table, rows: Rows) -> Batch:
    """The rows in order of key."""
    keys = sorted(rows)
    columns = tuple(
        Cells.of([rows[key][at] for key in keys], width=column.width) for at, column in enumerate(table.columns)
    )
    return Batch(Cells.of(keys, width=table.key_width), columns)


def take(repository: Repository, tables: list[tuple[Table, Rows]], moment: datetime, tag: str) -> Snapshot:
    """A committed snapshot of these rows."""
    pending = repository.begin()
    entries = []
    with repository.blobs.writer(bytes.fromhex(pending.id)) as writer:
        for table, rows in tables:
            builder = TreeBuilder(table, repository.cut_key, writer)
            builder.add(batch_of(table, rows))
            root: Digest = builder.finish()
            entries.append(SnapshotTable(table.name, len(rows), root, repository.blobs.naming.digest(encode_schema(table))))
        writer.close()
    source = SnapshotSource("golden", "postgresql", "postgresql://golden@/golden", tuple(entries))
    snapshot = Snapshot(pending.id, moment, tags=(tag,), description="golden", pinned=tag == "one", sources=(source,))
    return repository.commit(pending, snapshot)


def states() -> list[list[tuple[Table, Rows]]]:
    """What the two snapshots hold."""
    first = memories()
    return [
        [(MEMORIES, first), (EDGES, edges()), (EMPTY, {})],
        [(MEMORIES, changed(first)), (EDGES, edges()), (EMPTY, {})],
    ]


if __name__ == "__main__":
    made = Repository.init(DirectoryBackend(Path(sys.argv[1]), create=True))
    for tables, moment, tag in zip(states(), MOMENTS, ("one", "two"), strict=True):
        print(tag, [table.root.hex() for table in take(made, tables, moment, tag).sources[0].tables if table.root])
