"""Trees give back rows, whole or by key, and say which column is damaged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.digest import Digest, Kind
from snapstore.errors import Corrupt, NotFound
from snapstore.tree import node, reference
from snapstore.tree.reader import TableTree
from tests.tree.sample import NAMED, NUMBERED, Rows, Store, build, listed, number, numbered, read, rows_by_name, tree


@given(rows_by_name, st.lists(st.binary(max_size=9), max_size=20), st.data())
def test_a_look_up_gives_the_rows_that_are_there(rows: Rows, others: list[bytes], data: st.DataObject) -> None:
    store = Store()
    own = tree(NAMED, rows, store)
    some = data.draw(st.lists(st.sampled_from(sorted(rows)))) if rows else []
    wanted = sorted({*some, *others})
    assert listed(own.lookup(wanted), own) == {key: rows[key] for key in wanted if key in rows}


def test_a_look_up_in_a_large_table_reads_a_path() -> None:
    store = Store()
    rows = numbered(range(0, 20_000, 2))
    own = tree(NUMBERED, rows, store)
    store.read.clear()
    found = own.lookup([number(id_) for id_ in (-1, 0, 1, 4000, 4001, 19_998, 20_000)])
    assert found.keys.to_list() == [number(id_) for id_ in (0, 4000, 19_998)]
    assert len(store.read) <= 4 * (1 + len(NUMBERED.columns)) * 4
    assert listed(found, own) == {number(id_): rows[number(id_)] for id_ in (0, 4000, 19_998)}


def test_only_the_columns_that_are_wanted_are_read() -> None:
    store = Store()
    own = tree(NUMBERED, numbered(range(2000)), store)
    store.read.clear()
    cells = [part for spans in own.leaves([1]) for part in own.cells(2, spans).to_list()]
    assert cells == [row[1] for _, row in sorted(numbered(range(2000)).items())]
    one = len(store.read)
    store.read.clear()
    for spans in own.leaves():
        own.batch(spans)
    assert one < len(store.read) / 1.5


def test_an_empty_table_is_one() -> None:
    own = tree(NUMBERED, {}, Store())
    assert own.count == 0
    assert own.spans() == []
    assert list(own.rows()) == []
    assert len(own.lookup([number(1)])) == len(own.empty()) == 0


def test_a_tree_of_another_shape_is_corrupt() -> None:
    store = Store()
    one, other = numbered(range(500)), numbered(range(700))
    ours = node.decode_root(store.blobs[build(NUMBERED, one, store)], "ours")
    theirs = node.decode_root(store.blobs[build(NUMBERED, other, store)], "theirs")
    for refs, words in (
        ((ours.refs[0], theirs.refs[1], *ours.refs[2:]), "shape"),
        ((theirs.refs[0], *ours.refs[1:]), "shape"),
        (theirs.refs, "rows where its parent says"),
    ):
        crossed = TableTree(Digest(bytes(32)), NUMBERED, node.Root(500, ours.height, ours.schema, refs), store)
        with pytest.raises(Corrupt, match=words):
            list(crossed.rows())


def test_a_lost_blob_is_not_found_and_a_wrong_one_corrupt() -> None:
    store = Store()
    rows = numbered(range(300))
    root = build(NUMBERED, rows, store)
    for name in [one for one in store.blobs if one != root]:
        data = store.blobs.pop(name)
        with pytest.raises(NotFound):
            read(TableTree.open(root, store))
        for wrong in (b"", data[:-1], data + b"\0", b"\xff" * len(data)):
            if store.kinds[name] == {Kind.VALUE}:
                continue  # any bytes are one; the store checks digests
            store.blobs[name] = wrong
            with pytest.raises(Corrupt):
                read(TableTree.open(root, store))
        store.blobs[name] = data
    assert read(TableTree.open(root, store)) == rows


@given(st.binary(max_size=200), st.integers(0, 4))
def test_random_bytes_in_place_of_any_blob_are_rows_or_corrupt(junk: bytes, which: int) -> None:
    store = Store()
    root = build(NUMBERED, SMALL, store)
    refs = node.decode_root(store.blobs[root], "root").refs
    ref = refs[which]
    if reference.is_blob(ref):
        store.blobs[reference.digest_of(ref)] = junk
        with pytest.raises(Corrupt):
            read(TableTree.open(root, store))
    store.blobs[root] = junk
    with pytest.raises((Corrupt, NotFound)):
        read(TableTree.open(root, store))


SMALL = numbered(range(120))
