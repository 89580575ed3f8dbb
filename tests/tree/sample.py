"""Tables of generated rows, and a store of blobs in a dictionary that counts what is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import strategies as st

from snapstore.digest import Buffer, Digest, Kind, Naming, digest
from snapstore.errors import NotFound
from snapstore.rows import Batch, Cells, Column, KeyPart, Table
from snapstore.tree.builder import TreeBuilder
from snapstore.tree.reader import TableTree
from snapstore.tree.values import resolve

CUT_KEY = digest(b"snapstore cut key v1")

# A column of each sort: variable, fixed, fixed of one byte, vector.
NUMBERED = Table(
    "public.numbered",
    (KeyPart("id", "integer", "int4"),),
    (Column("text", "text"), Column("heat", "real", 4), Column("flag", "boolean", 1), Column("vector", "vector", 0, 4)),
)
NAMED = Table("public.named", (KeyPart("name", "text", "bytes"),), NUMBERED.columns)

Row = tuple[bytes | None, ...]
Rows = dict[bytes, Row]


class Store:
    """Blobs by digest: a `Fetch` and a `Sink`."""

    def __init__(self) -> None:
        self.naming = Naming()
        self.blobs: dict[Digest, bytes] = {}
        self.kinds: dict[Digest, set[Kind]] = {}
        self.read: list[Digest] = []

    def put(
        self, kind: Kind, digests: Sequence[Digest], data: Sequence[Buffer], *, stride: int = 1, group: int = 0
    ) -> None:
        for name, blob in zip(digests, data, strict=True):
            assert digest(blob) == name
            self.blobs[name] = bytes(blob)
            self.kinds.setdefault(name, set()).add(kind)

    def get_many(self, digests: Sequence[Digest]) -> list[bytes]:
        self.read += digests
        missing = [name for name in digests if name not in self.blobs]
        if missing:
            raise NotFound(missing[0].hex())
        return [self.blobs[name] for name in digests]


def number(id_: int) -> bytes:
    """The key of an id."""
    return (id_ + (1 << 31)).to_bytes(4, "big")


def batch(table: Table, rows: Mapping[bytes, Row]) -> Batch:
    keys = sorted(rows)
    columns = (Cells.of([rows[key][at] for key in keys], width=one.width) for at, one in enumerate(table.columns))
    return Batch(Cells.of(keys, width=table.key_width), tuple(columns))


def build(table: Table, rows: Mapping[bytes, Row], store: Store, *, sizes: Sequence[int] = ()) -> Digest:
    """The root of these rows, given in batches of these sizes and a last one."""
    builder = TreeBuilder(table, CUT_KEY, store)
    whole, start = batch(table, rows), 0
    for size in (*sizes, len(rows)):
        builder.add(whole.slice(start, min(start + size, len(rows))))
        start = min(start + size, len(rows))
    assert builder.rows == len(rows)
    return builder.finish()


def tree(table: Table, rows: Mapping[bytes, Row], store: Store) -> TableTree:
    return TableTree.open(build(table, rows, store), store)


def read(of: TableTree) -> Rows:
    """Every row, to the bit."""
    rows: Rows = {}
    for part in of.rows():
        rows |= listed(part, of)
    return rows


def listed(part: Batch, of: TableTree) -> Rows:
    columns = [resolve(cells, of.fetch).to_list() for cells in part.columns]
    return {key or b"": tuple(cells[at] for cells in columns) for at, key in enumerate(part.keys.to_list())}


def row(seed: int) -> Row:
    """A row like a memory: one in five cells NULL, one in eight texts large."""
    random = np.random.default_rng(seed)
    kinds = random.integers(0, 40, 4)
    text = b"%d " % seed * int(random.integers(1, 300 if kinds[0] < 5 else 12))
    return (
        None if kinds[0] > 32 else text,
        None if kinds[1] > 32 else random.bytes(4),
        None if kinds[2] > 32 else bytes([kinds[2] % 2]),
        None if kinds[3] > 32 else random.bytes(600),
    )


def numbered(ids: Sequence[int], *, small: bool = False) -> Rows:
    """A row for each id; `small` ones are made quickly and have no value."""
    if not small:
        return {number(id_): row(id_ + 5000) for id_ in ids}
    return {number(id_): (b"%d" % id_, number(id_)[::-1], None, number(id_ * 7) * 4) for id_ in ids}


cells = (
    st.none() | st.binary(max_size=20) | st.sampled_from([b"", b"same", b"x" * 64, b"y" * 512, b"z" * 513]),
    st.none() | st.sampled_from([bytes(4), b"heat"]) | st.binary(min_size=4, max_size=4),
    st.none() | st.sampled_from([b"\0", b"\1"]),
    st.none() | st.sampled_from([b"v" * 16, b"w" * 600, b"u" * 70_000]),
)
rows_by_name = st.dictionaries(st.binary(max_size=9), st.tuples(*cells), max_size=90)
rows_by_number = st.dictionaries(st.integers(-200, 200).map(number), st.tuples(*cells), max_size=200)
