"""Which blobs a blob needs (format.md §2): what gc marks, what verify follows, what copy carries.

    for kind, digest in children(Kind.TABLE, data, "table 1f…"):
        ...

It reads one blob at a time and keeps nothing; who walks decides what was seen.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from snapstore.digest import Digest, Kind
from snapstore.errors import Corrupt
from snapstore.tree import chunk, node, reference, values

__all__ = ["Child", "children"]


@dataclass(frozen=True, slots=True)
class Child:
    """A blob that another needs. `level` is a node's; a `leaf` needs no further blob and need not be read."""

    kind: Kind
    digest: Digest
    level: int = 0
    is_key: bool = False
    leaf: bool = False


def children(child: Child, data: bytes) -> Iterator[Child]:
    """The blobs that this blob, whose bytes are `data`, names itself. Raises `Corrupt` where it cannot be read."""
    what = f"{child.kind.name.lower()} {child.digest.hex()}"
    if child.kind is Kind.TABLE:
        root = node.decode_root(data, what)
        yield Child(Kind.SCHEMA, root.schema, leaf=True)
        for tree, ref in enumerate(root.refs):
            yield from _named(ref, root.height, tree == 0, what)
    elif child.kind is Kind.NODE:
        for ref in node.decode_node(data, what, level=child.level, is_key=child.is_key).refs:
            yield from _named(ref, child.level - 1, child.is_key, what)
    elif child.kind is Kind.CHUNK:
        yield from _spilled(data, what)
    elif child.kind is Kind.PARTS:
        digests, _, _ = values.part_digests(data, what)
        for digest in digests:
            yield Child(Kind.VALUE, digest, leaf=True)


def _named(ref: reference.Ref, level: int, is_key: bool, what: str) -> Iterator[Child]:
    if reference.is_blob(ref):
        kind = Kind.NODE if level else Kind.CHUNK
        leaf = not level and not reference.spills(ref)
        yield Child(kind, reference.digest_of(ref), level=level, is_key=is_key, leaf=leaf)
    elif reference.is_constant(ref):
        if reference.spills(ref):
            digest, spilled = reference.value_digest(ref)
            yield _value(digest, spilled)
    else:
        yield from _spilled(reference.inline_chunk(ref) or b"", what)


def _spilled(data: bytes, what: str) -> Iterator[Child]:
    if len(data) < 6:
        raise Corrupt(f"{what}: a chunk of {len(data)} bytes")
    form, flags = struct.unpack_from("<4xBB", data)
    if form != chunk.VARIABLE or not flags & chunk.WIDE:
        return
    cells = chunk.decode([data], what, width=0)
    if cells.spilled is not None:
        for at in np.flatnonzero(cells.spilled).tolist():
            yield _value(Digest(cells[at] or b""), int(cells.spilled[at]))


def _value(digest: Digest, spilled: int) -> Child:
    return Child(Kind.VALUE, digest, leaf=True) if spilled == 1 else Child(Kind.PARTS, digest)
