"""A small repository without a database: tables of generated rows, taken with the real trees, writer and commit."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import numpy as np

from snapstore.backends import Backend
from snapstore.digest import Digest
from snapstore.repository import Pending, Repository, Snapshot, SnapshotSource, SnapshotTable
from snapstore.rows import Batch, Cells, Column, KeyPart, Table
from snapstore.seal import Cost
from snapstore.tree.builder import TreeBuilder
from snapstore.tree.incremental import rebuild
from snapstore.tree.node import encode_schema
from snapstore.tree.reader import TableTree
from snapstore.tree.values import resolve

START = datetime(2026, 1, 1, tzinfo=UTC)
PASSPHRASE = b"correct horse battery staple"
CHEAP = Cost(memory_kib=8, passes=1, lanes=1)

MEMORIES = Table(
    "public.memories",
    (KeyPart("id", "integer", "int4"),),
    (
        Column("content", "text"),
        Column("heat", "real", 4),
        Column("embedding", "vector", 0, 4),
        Column("gone", "text"),
    ),
)

Item = TypeVar("Item")
Rows = dict[int, tuple[bytes | None, ...]]


def rows(ids: Sequence[int], *, seed: int = 0, elements: int = 150) -> Rows:
    """Memories by id: a text, a heat, an embedding (a value for most, shared by some, NULL for one in seven)."""
    made: Rows = {}
    for id_ in ids:
        random = np.random.default_rng([seed, id_])
        vector = np.random.default_rng(id_ // 3).standard_normal(elements).astype("<f4").tobytes()
        made[id_] = (
            f"memory {id_} {seed} ".encode() * int(random.integers(1, 6)),
            random.standard_normal(1).astype(">f4").tobytes(),
            None if id_ % 7 == 0 else vector,
            None,
        )
    return made


def batch(table: Table, held: Rows) -> Batch:
    """The rows as a source gives them."""
    ids = sorted(held)
    keys = Cells.of([key(id_) for id_ in ids], width=table.key_width)
    columns = (Cells.of([held[id_][at] for id_ in ids], width=column.width) for at, column in enumerate(table.columns))
    return Batch(keys, tuple(columns))


def key(id_: int) -> bytes:
    return (id_ + (1 << 31)).to_bytes(4, "big")


def init(backend: Backend, *, encrypted: bool) -> Repository:
    """A new repository, its passphrase stretched as little as can be."""
    return Repository.init(backend, passphrase=PASSPHRASE, cost=CHEAP) if encrypted else Repository.init(backend)


def reopen(backend: Backend) -> Repository:
    """The repository, whether it is encrypted or not."""
    return Repository.open(backend, lambda: PASSPHRASE)


class Take:
    """A take in steps, so that a test can put something between any two of them."""

    def __init__(self, repository: Repository, *, parent: Snapshot | None = None) -> None:
        self.repository = repository
        self.pending: Pending = repository.begin(roots=parent.digests() if parent else ())
        self.tables: list[SnapshotTable] = []

    def write(self, held: Rows, *, table: Table = MEMORIES) -> None:
        with self.repository.blobs.writer(bytes.fromhex(self.pending.id)) as writer:
            builder = TreeBuilder(table, self.repository.cut_key, writer)
            builder.add(batch(table, held))
            root = builder.finish()
        schema = self.repository.blobs.naming.digest(encode_schema(table))
        self.tables.append(SnapshotTable(table.name, len(held), root, schema))

    def write_from(self, parent: Rows, root: Digest, held: Rows) -> bool:
        """As `write`, but what is as in `parent` is taken over from its tree, and neither read nor put again.

        False, and nothing is written, where that is not worth it.
        """
        tree = TableTree.open(root, self.repository.blobs)
        whole = batch(tree.table, held)
        moved = np.array([held[id_] != parent.get(id_) for id_ in sorted(held)], np.bool_)
        with self.repository.blobs.writer(bytes.fromhex(self.pending.id)) as writer:
            rebuilt = rebuild(
                tree,
                self.repository.cut_key,
                writer,
                _generated([(whole.keys, moved)]),
                lambda is_much: _generated([whole.take(np.flatnonzero(moved))]),
            )
        if rebuilt is None:
            return False
        schema = self.repository.blobs.naming.digest(encode_schema(tree.table))
        self.tables.append(SnapshotTable(tree.table.name, len(held), rebuilt.root, schema))
        return True

    def commit(self, *, at: int = 0, name: str = "agents", **fields: Any) -> Snapshot:
        source = SnapshotSource(name, "postgresql", "postgresql://localhost/agents", tuple(self.tables))
        snapshot = Snapshot(self.pending.id, START + timedelta(hours=at), sources=(source,))
        return self.repository.commit(self.pending, dataclasses.replace(snapshot, **fields))


def take(repository: Repository, held: Rows, *, at: int = 0, parent: Snapshot | None = None, **fields: Any) -> Snapshot:
    """A whole take of one table."""
    running = Take(repository, parent=parent)
    running.write(held)
    return running.commit(at=at, **fields)


def _generated(items: Iterable[Item]) -> Generator[Item, None, None]:
    yield from items


def read(repository: Repository, snapshot: Snapshot) -> dict[str, Rows]:
    """Every table of a snapshot, to the bit."""
    return {
        table.name: read_table(repository, table.root)
        for source in snapshot.sources
        for table in source.tables
        if table.root is not None
    }


def read_table(repository: Repository, root: Digest) -> Rows:
    tree = TableTree.open(root, repository.blobs)
    held: Rows = {}
    for part in tree.rows():
        columns = [resolve(cells, repository.blobs).to_list() for cells in part.columns]
        for at, name in enumerate(part.keys.to_list()):
            assert name is not None
            held[int.from_bytes(name, "big") - (1 << 31)] = tuple(cells[at] for cells in columns)
    return held


def objects(backend: Backend, prefix: str = "") -> Mapping[str, int]:
    """What the store holds, and how large it is."""
    return {entry.name: entry.size_bytes for entry in backend.list(prefix)}
