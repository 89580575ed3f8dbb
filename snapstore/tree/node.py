"""Nodes and table blobs as bytes and back (format.md §4).

    data = encode_node(1, counts, refs, separators=None)
    node = decode_node(data, "node 1f…", level=1, is_key=False)

It knows how children are written down, not what is in them or why a node ends where it does.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import ge
from typing import Any

import numpy as np

from snapstore.digest import Digest
from snapstore.errors import Corrupt
from snapstore.packed import pack, unpack
from snapstore.rows import Column, KeyPart, Table
from snapstore.tree import reference
from snapstore.tree.cuts import LIMIT
from snapstore.tree.reference import Ref

__all__ = [
    "Node",
    "Root",
    "decode_node",
    "decode_objects",
    "decode_root",
    "decode_schema",
    "encode_node",
    "encode_objects",
    "encode_root",
    "encode_schema",
    "pack_canonical",
]

_NODE_HEAD = struct.Struct("<BI")
_ROOT_HEAD = struct.Struct("<QB32sI")


@dataclass(frozen=True, slots=True)
class Node:
    """The children of one node: rows beneath each, how each is named, and in a key tree the last key beneath each."""

    counts: list[int]
    refs: list[Ref]
    separators: list[bytes]


@dataclass(frozen=True, slots=True)
class Root:
    """A table blob: its trees all have this height; `refs` are the key tree's root, then each column's."""

    rows: int
    height: int
    schema: Digest
    refs: tuple[Ref, ...]


def encode_node(level: int, counts: Sequence[int], refs: Sequence[Ref], separators: Sequence[bytes] | None) -> bytes:
    """A node of this level; `separators` only in a key tree."""
    pieces = [_NODE_HEAD.pack(level, len(refs)), np.asarray(counts, "<u8").tobytes(), *refs]
    if separators is not None:
        pieces.append(np.fromiter(map(len, separators), "<u4", len(separators)).tobytes())
        pieces.extend(separators)
    return b"".join(pieces)


def decode_node(data: bytes, what: str, *, level: int, is_key: bool) -> Node:
    """The node, checked; raises `Corrupt` naming `what` for anything a writer would not have written."""
    if len(data) < _NODE_HEAD.size:
        raise Corrupt(f"{what}: a node of {len(data)} bytes")
    own_level, count = _NODE_HEAD.unpack_from(data)
    at = _NODE_HEAD.size
    if own_level != level or count == 0 or len(data) < at + 9 * count:
        raise Corrupt(f"{what}: a node of level {own_level} with {count} children where level {level} was expected")
    counts = np.frombuffer(data, "<u8", count, at).tolist()
    if count > LIMIT or not all(counts) or max(counts) > LIMIT**level:
        raise Corrupt(f"{what}: {count} children of up to {max(counts)} rows, which no writer makes")
    refs, at = reference.split(data, at + 8 * count, count, what)
    if any(ref[0] == reference.INLINE for ref in refs):
        raise Corrupt(f"{what}: an inline chunk inside a node")
    separators: list[bytes] = []
    if is_key:
        if len(data) < at + 4 * count or any(ref[0] != reference.BLOB for ref in refs):
            raise Corrupt(f"{what}: a node of keys without separators or with constants")
        lengths = np.frombuffer(data, "<u4", count, at).tolist()
        at += 4 * count
        for length in lengths:
            separators.append(data[at : at + length])
            at += length
        # One blob cannot be two of the children then: a few cannot claim more rows than anybody could ever read.
        if any(map(ge, separators, separators[1:])):
            raise Corrupt(f"{what}: separators that do not ascend")
    if at != len(data):
        raise Corrupt(f"{what}: a node whose size does not fit its {count} children")
    return Node(counts, refs, separators)


def encode_root(root: Root) -> bytes:
    """The table blob."""
    head = _ROOT_HEAD.pack(root.rows, root.height, root.schema, len(root.refs) - 1)
    return head + b"".join(root.refs)


def decode_root(data: bytes, what: str) -> Root:
    """The table blob, checked; raises `Corrupt`."""
    if len(data) < _ROOT_HEAD.size:
        raise Corrupt(f"{what}: a table blob of {len(data)} bytes")
    rows, height, schema, columns = _ROOT_HEAD.unpack_from(data)
    if columns > len(data):
        raise Corrupt(f"{what}: a table blob that claims {columns} columns")
    refs, end = reference.split(data, _ROOT_HEAD.size, columns + 1, what)
    if end != len(data) or (height and any(reference.inline_chunk(ref) is not None for ref in refs)):
        raise Corrupt(f"{what}: a table blob whose references do not fit")
    if rows > LIMIT ** (height + 1):
        raise Corrupt(f"{what}: {rows} rows in trees of height {height}")
    key = refs[0]
    if (key == reference.NULLS) != (rows == 0) or key[0] not in (reference.BLOB, reference.NULL, reference.INLINE):
        raise Corrupt(f"{what}: a table blob of {rows} rows whose keys are missing or constant")
    return Root(rows, height, Digest(schema), tuple(refs))


def encode_schema(table: Table) -> bytes:
    """A table's schema blob (format.md §8). The table's name is in `definition`, if anywhere."""
    return pack_canonical(
        {
            "name": table.name,
            "key": [[part.name, part.type, part.encoding, part.lossless] for part in table.key],
            "columns": [[column.name, column.type, column.width, column.stride] for column in table.columns],
            "definition": table.definition,
        }
    )


def decode_schema(data: bytes, what: str) -> Table:
    """The table of a schema blob; raises `Corrupt`."""
    fields = unpack(data, what)
    try:
        table = Table(
            str(fields["name"]),
            tuple(KeyPart(str(n), str(t), str(e), bool(lossless)) for n, t, e, lossless in fields["key"]),
            tuple(Column(str(n), str(t), int(width), int(stride)) for n, t, width, stride in fields["columns"]),
            dict(fields["definition"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise Corrupt(f"{what}: not a schema ({error})") from error
    if any(not 0 <= column.width < 65536 or column.stride not in (1, 2, 4, 8) for column in table.columns):
        raise Corrupt(f"{what}: a column of impossible width or stride")
    return table


def encode_objects(definition: Mapping[str, Any]) -> bytes:
    """What lies beyond a source's tables, as its schema blob (format.md §8)."""
    return pack_canonical(definition)


def decode_objects(data: bytes, what: str) -> dict[str, Any]:
    """The map of a source's schema blob; raises `Corrupt`."""
    definition = unpack(data, what)
    if not isinstance(definition, dict):
        raise Corrupt(f"{what}: it is not a map")
    return definition


def pack_canonical(value: Any) -> bytes:
    """msgpack with every map's keys in ascending byte order, so equal values are equal bytes."""
    return pack(_sorted(value), "a schema")


def _sorted(value: Any) -> Any:
    if isinstance(value, dict) or hasattr(value, "items"):
        return {key: _sorted(value[key]) for key in sorted(value, key=lambda key: key.encode())}
    if isinstance(value, (list, tuple)):
        return [_sorted(item) for item in value]
    return value
