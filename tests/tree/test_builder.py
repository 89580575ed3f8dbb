"""A root depends on rows and schema alone; what is constant or large costs what it should."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.digest import Kind
from snapstore.errors import Corrupt, Unsupported
from snapstore.rows import Batch, Cells, Column
from snapstore.tree import node, reference
from snapstore.tree.builder import TreeBuilder
from snapstore.tree.cuts import LIMIT, weigh
from snapstore.tree.reader import TableTree
from tests.tree import by_the_book
from tests.tree.sample import (
    CUT_KEY,
    NAMED,
    NUMBERED,
    Rows,
    Store,
    batch,
    build,
    number,
    numbered,
    read,
    rows_by_name,
    rows_by_number,
    tree,
)


@given(rows_by_name, st.lists(st.integers(0, 40), max_size=8))
def test_the_root_depends_on_rows_not_on_batches(rows: Rows, sizes: list[int]) -> None:
    assert build(NAMED, rows, Store(), sizes=sizes) == build(NAMED, rows, Store())


@given(rows_by_number)
def test_what_was_built_is_read_back(rows: Rows) -> None:
    assert read(tree(NUMBERED, rows, Store())) == rows


@given(rows_by_number, rows_by_number)
def test_different_rows_have_different_roots(one: Rows, other: Rows) -> None:
    assert (build(NUMBERED, one, Store()) == build(NUMBERED, other, Store())) == (one == other)


@given(rows_by_name.map(lambda rows: {k: tuple(c if c is None or len(c) <= 65536 else b"" for c in r)
                                      for k, r in rows.items()}))  # fmt: skip
def test_roots_are_those_of_the_format(rows: Rows) -> None:
    assert build(NAMED, rows, Store()) == by_the_book.root(NAMED, rows)


def test_roots_of_large_tables_are_those_of_the_format() -> None:
    for count in (1, 31, 700, 9000):
        rows = numbered(range(0, 3 * count, 3))
        assert build(NUMBERED, rows, Store()) == by_the_book.root(NUMBERED, rows)
    plain = {number(id_): (None, None, None, None) for id_ in range(9000) if by_the_book.weight(number(id_)) == 0}
    assert build(NUMBERED, plain, Store()) == by_the_book.root(NUMBERED, plain)


def test_the_root_of_a_known_table_never_changes() -> None:
    """Pinned: if this fails, the format has changed, and every repository with it."""
    rows = {
        number(id_): (
            None if id_ % 13 == 0 else b"memory %d " % id_ * (1 + id_ % 90),
            (id_ * 2654435761 % (1 << 32)).to_bytes(4, "big"),
            b"\1" if id_ % 2 else None,
            (id_ * 40503 % (1 << 32)).to_bytes(4, "little") * (4 if id_ % 3 else 384),
        )
        for id_ in range(-5000, 5000)
    }
    assert build(NUMBERED, rows, Store(), sizes=[1, 700, 3]).hex() == PINNED[0]
    assert build(NUMBERED, {}, Store()).hex() == PINNED[1]
    assert build(NUMBERED, {key: rows[key] for key in sorted(rows)[:9]}, Store()).hex() == PINNED[2]


PINNED = (
    "64be948e507774e045a0b95dc64580036215091a32a38b8cabf394c5efb63ff4",
    "e839d28e43c40f478d9b57ae1e79819142bb6810633c4d7594f2bdd9fe380ad0",
    "1453da4205e72178d26f7630b88e5b9566cf08727b203197e7d5bb1479b0c2ae",
)


def shape(rows: Rows, store: Store) -> list[list[bytes]]:
    """The separators of every level, from the chunks up."""
    own = tree(NUMBERED, rows, store)
    levels: list[list[bytes]] = []
    spans = own.spans([])
    while spans and spans[0].level:
        spans = [child for group in own.expand(spans) for child in group]
        levels.append([span.separator or b"" for span in spans])
    return levels[::-1]


def test_an_update_never_moves_a_cut() -> None:
    store = Store()
    rows = numbered(range(3000))
    before = shape(rows, store)
    for id_ in (0, 17, 1500, 2999):
        rows[number(id_)] = (b"longer than before " * 90, None, None, None)
    assert shape(rows, store) == before
    assert len(before[0]) > 60


def test_an_insert_moves_two_cuts_at_most_on_each_level() -> None:
    store = Store()
    rows = numbered(range(0, 6000, 2))
    before = shape(rows, store)
    for id_ in range(1, 6000, 331):
        after = shape(rows | numbered([id_]), store)
        for old, new in zip(before, after, strict=False):
            assert len(set(old) ^ set(new)) <= 2


def test_chunks_and_nodes_end_where_keys_say_and_never_after_more_than_the_limit() -> None:
    keys = [number(id_) for id_ in range(40_000)]
    weights = weigh(Cells.of(keys, width=4), CUT_KEY)
    # Keys without any hash cut, one with: the limit does the rest, counted from the last hash cut.
    plain = [key for key, weight in zip(keys, weights.tolist(), strict=True) if weight == 0]
    heavy = next(key for key, weight in zip(keys, weights.tolist(), strict=True) if weight >= 1 and key > plain[600])
    for chosen in (plain[:5000], sorted([*plain[:5000], heavy])):
        levels = shape(dict.fromkeys(chosen, (None, None, None, None)), Store())
        ends = [chosen.index(end) + 1 for end in levels[0]]
        hard = [chosen.index(heavy) + 1] if heavy in chosen else []
        expected, start = [], 0
        for stop in [*hard, len(chosen)]:
            expected += [*range(start + LIMIT, stop, LIMIT), stop]
            start = stop
        assert ends == expected


def test_nodes_have_at_most_as_many_children_as_the_limit() -> None:
    """Chunks cut by the limit never end a node, so nodes are cut by the limit as well."""
    keys = [number(id_) for id_ in range(140_000)]
    weights = weigh(Cells.of(keys, width=4), CUT_KEY)
    plain = [key for key, weight in zip(keys, weights.tolist(), strict=True) if weight == 0][: LIMIT * LIMIT + 5000]
    store = Store()
    heat = dataclasses.replace(NUMBERED, columns=())
    builder = TreeBuilder(heat, CUT_KEY, store)
    builder.add(Batch(Cells.of(plain, width=4), ()))
    root = node.decode_root(store.blobs[builder.finish()], "root")
    assert root.height == 2
    top = node.decode_node(store.blobs[reference.digest_of(root.refs[0])], "top", level=2, is_key=True)
    assert top.counts == [LIMIT * LIMIT, 5000]


def roots_of(rows: Rows, store: Store) -> node.Root:
    return node.decode_root(store.blobs[build(NUMBERED, rows, store)], "root")


def test_a_constant_column_is_one_word() -> None:
    store = Store()
    rows: Rows = {number(id_): (b"same", None, b"\1", b"w" * 600) for id_ in range(5000)}
    root = roots_of(rows, store)
    assert root.height >= 2
    assert root.refs[1:4] == (reference.constant(b"same"), reference.NULLS, reference.constant(b"\1"))
    assert reference.is_constant(root.refs[4])
    assert reference.spills(root.refs[4])
    kinds = Counter(kind for kinds in store.kinds.values() for kind in kinds)
    assert kinds[Kind.VALUE] == 1
    assert sum(len(data) for data in store.blobs.values()) < 5000 * 8
    # One other cell costs a chunk and its path, no more.
    before = set(store.blobs)
    rows[number(2500)] = (b"other", None, b"\1", b"w" * 600)
    roots_of(rows, store)
    assert len(set(store.blobs) - before) == 1 + root.height + 1


def test_a_long_constant_is_not_one() -> None:
    store = Store()
    root = roots_of({number(id_): (b"x" * 65, None, None, None) for id_ in range(100)}, store)
    assert reference.is_blob(root.refs[1])
    root = roots_of({number(id_): (b"x" * 64, None, None, None) for id_ in range(100)}, store)
    assert reference.is_constant(root.refs[1])


def test_small_tables_hold_their_chunks_themselves() -> None:
    store = Store()
    root = roots_of(numbered(range(3)), store)
    assert root.height == 0
    kinds = Counter(kind for kinds in store.kinds.values() for kind in kinds)
    assert kinds[Kind.CHUNK] == kinds[Kind.NODE] == 0
    assert reference.inline_chunk(root.refs[0]) is not None
    large: Rows = {number(0): (b"x" * 511, None, None, None), number(1): (b"y" * 512, None, None, None)}
    root = roots_of(large, store)
    assert reference.is_blob(root.refs[1]), "over 1,024 bytes with its head"
    assert root.refs[2] == reference.NULLS


def test_a_column_that_decays_costs_its_own_tree_alone() -> None:
    store = Store()
    rows = numbered(range(4000))
    one = roots_of(rows, store)
    before = set(store.blobs)
    rows = {
        key: (text, (number(at)[::-1]), flag, vector) for at, (key, (text, _, flag, vector)) in enumerate(rows.items())
    }
    other = roots_of(rows, store)
    assert [a == b for a, b in zip(one.refs, other.refs, strict=True)] == [True, True, False, True, True]
    fresh = sum(len(store.blobs[name]) for name in set(store.blobs) - before)
    assert fresh < 4000 * 4 + 4000 // 32 * 80 + 2000


def test_a_column_that_is_added_leaves_the_other_trees_as_they_are() -> None:
    store = Store()
    rows = numbered(range(1000))
    one = roots_of(rows, store)
    wider = dataclasses.replace(NUMBERED, columns=(*NUMBERED.columns, Column("more", "text")))
    other = node.decode_root(store.blobs[build(wider, {k: (*r, b"new") for k, r in rows.items()}, store)], "root")
    assert other.refs[:-1] == one.refs
    assert other.refs[-1] == reference.constant(b"new")


def test_keys_that_do_not_ascend_or_are_too_long_are_refused() -> None:
    for keys in ([b"b", b"a"], [b"a", b"a"]):
        builder = TreeBuilder(NAMED, CUT_KEY, Store())
        cells = tuple(Cells.of([None, None], width=column.width) for column in NAMED.columns)
        with pytest.raises(Corrupt, match="do not ascend"):
            builder.add(Batch(Cells.of(keys), cells))
    builder = TreeBuilder(NUMBERED, CUT_KEY, Store())
    builder.add(batch(NUMBERED, numbered([5])))
    with pytest.raises(Corrupt, match="do not ascend"):
        builder.add(batch(NUMBERED, numbered([4])))
    row: tuple[bytes | None, ...] = (None, None, None, None)
    store = Store()
    assert read(tree(NAMED, {b"k" * 65_533: row}, store)) == {b"k" * 65_533: row}
    with pytest.raises(Unsupported, match="65534 bytes"):
        build(NAMED, {b"k" * 65_534: row}, store)


def test_another_cut_key_gives_other_cuts_and_the_same_rows() -> None:
    store = Store()
    rows = numbered(range(500))
    builder = TreeBuilder(NUMBERED, bytes(32), store)
    builder.add(batch(NUMBERED, rows))
    other = builder.finish()
    assert other != build(NUMBERED, rows, store)
    assert read(TableTree.open(other, store)) == rows
