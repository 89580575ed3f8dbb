"""Nodes, roots and schemas: what is written is read, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.digest import Digest, digest
from snapstore.errors import Corrupt
from snapstore.rows import Column, KeyPart, Table
from snapstore.tree import reference
from snapstore.tree.node import (
    Root,
    decode_node,
    decode_root,
    decode_schema,
    encode_node,
    encode_root,
    encode_schema,
    pack_canonical,
)
from snapstore.tree.reference import Ref

digests = st.binary(min_size=32, max_size=32).map(Digest)
blobs = st.builds(lambda name, spills: reference.blob(name, spills=spills), digests, st.booleans())
constants = (
    st.just(reference.NULLS)
    | st.binary(max_size=64).map(reference.constant)
    | st.builds(reference.constant, digests, st.sampled_from([1, 2]))
)
children = st.lists(st.tuples(st.integers(1, 256), blobs | constants), min_size=1, max_size=20)
key_children = st.lists(
    st.tuples(st.integers(1, 256), digests.map(lambda name: reference.blob(name, spills=False)), st.binary()),
    min_size=1,
    max_size=20,
    unique_by=lambda child: child[2],
).map(lambda found: sorted(found, key=lambda child: child[2]))


@given(children, st.integers(1, 9))
def test_nodes_come_back(given_: list[tuple[int, Ref]], level: int) -> None:
    counts, refs = [count for count, _ in given_], [ref for _, ref in given_]
    data = encode_node(level, counts, refs, None)
    back = decode_node(data, "here", level=level, is_key=False)
    assert (back.counts, back.refs, back.separators) == (counts, refs, [])
    with pytest.raises(Corrupt, match="here"):
        decode_node(data, "here", level=level + 1, is_key=False)
    for wrong in (data[:-1], data + b"\0", data[:4]):
        with pytest.raises(Corrupt):
            decode_node(wrong, "here", level=level, is_key=False)


@given(key_children)
def test_nodes_of_keys_come_back_with_their_separators(given_: list[tuple[int, Ref, bytes]]) -> None:
    counts, refs, ends = (list(part) for part in zip(*given_, strict=True))
    back = decode_node(encode_node(1, counts, refs, ends), "here", level=1, is_key=True)
    assert (back.counts, back.refs, back.separators) == (counts, refs, ends)


@given(st.integers(1, 256), st.integers(0, 9), digests, st.lists(blobs | constants, max_size=9), digests)
def test_roots_come_back(rows: int, height: int, schema: Digest, columns: list[Ref], keys: Digest) -> None:
    root = Root(rows, height, schema, (reference.blob(keys, spills=False), *columns))
    assert decode_root(encode_root(root), "here") == root
    with pytest.raises(Corrupt):
        decode_root(encode_root(root)[:-1], "here")


@pytest.mark.parametrize(
    ("rows", "height", "refs"),
    [
        (1, 0, [reference.NULLS]),
        (0, 0, [reference.blob(digest(b"k"), spills=False)]),
        (3, 1, [reference.inline(b"chunk")]),
        (3, 0, [reference.constant(b"k")]),
        (3, 0, [reference.blob(digest(b"k"), spills=True)]),
        (257, 0, [reference.blob(digest(b"k"), spills=False)]),
        (256**3 + 1, 2, [reference.blob(digest(b"k"), spills=False)]),
    ],
)
def test_roots_that_no_writer_writes_are_corrupt(rows: int, height: int, refs: list[Ref]) -> None:
    with pytest.raises(Corrupt):
        decode_root(encode_root(Root(rows, height, digest(b"s"), tuple(refs))), "here")


def test_nodes_that_no_writer_writes_are_corrupt() -> None:
    child = reference.blob(digest(b"k"), spills=False)
    for counts, ends in (
        ([257], [b"a"]),
        ([1] * 257, [bytes([1, n % 256]) for n in range(257)]),
        ([1, 1], [b"a", b"a"]),
    ):
        with pytest.raises(Corrupt):
            decode_node(encode_node(1, counts, [child] * len(counts), ends), "here", level=1, is_key=True)


@pytest.mark.parametrize(
    "ref", [b"\3" + bytes([65]) + b"x" * 65, b"\6" + (1025).to_bytes(4, "little") + b"x" * 1025, b"\7", b"\3", b"\4abc"]
)
def test_references_that_no_writer_writes_are_corrupt(ref: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_node(encode_node(1, [1], [Ref(ref)], None), "here", level=1, is_key=False)
    with pytest.raises(Corrupt):
        decode_node(encode_node(1, [1], [reference.inline(b"chunk")], None), "here", level=1, is_key=False)


@given(st.binary(max_size=200), st.booleans(), st.integers(0, 3))
def test_random_bytes_are_a_node_or_corrupt(data: bytes, is_key: bool, level: int) -> None:
    try:
        node = decode_node(data, "here", level=level, is_key=is_key)
    except Corrupt:
        return
    assert encode_node(level, node.counts, node.refs, node.separators if is_key else None) == data


@given(st.binary(max_size=200))
def test_random_bytes_are_a_root_or_corrupt(data: bytes) -> None:
    try:
        root = decode_root(data, "here")
    except Corrupt:
        return
    assert encode_root(root) == data


@given(st.binary(max_size=200))
def test_random_bytes_are_a_schema_or_corrupt(data: bytes) -> None:
    try:
        decode_schema(data, "here")
    except Corrupt:
        return


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 40), 1 << 40) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
words = st.text(max_size=5)
parts = st.builds(KeyPart, words, words, st.sampled_from(["int4", "bytes"]), st.booleans())
columns = st.builds(Column, words, words, st.integers(0, 65535), st.sampled_from([1, 2, 4, 8]))
tables = st.builds(
    Table,
    words,
    st.lists(parts, max_size=3).map(tuple),
    st.lists(columns, max_size=4).map(tuple),
    st.dictionaries(words, plain, max_size=4),
)


@given(tables)
def test_schemas_come_back(table: Table) -> None:
    assert decode_schema(encode_schema(table), "here") == table


@given(st.dictionaries(st.text(max_size=5), plain, max_size=6))
def test_equal_maps_are_equal_bytes_whatever_their_order(value: dict[str, object]) -> None:
    assert pack_canonical(dict(reversed(value.items()))) == pack_canonical(value)


def test_columns_of_impossible_width_are_corrupt() -> None:
    for column in (Column("c", "t", 65536), Column("c", "t", -1), Column("c", "t", 0, 3)):
        with pytest.raises(Corrupt, match="impossible"):
            decode_schema(encode_schema(Table("t", (), (column,))), "here")
