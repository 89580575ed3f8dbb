"""Trees made from their parent are the trees of a full build, whatever moved."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from snapstore.digest import Buffer, Digest, Kind, Naming
from snapstore.errors import Corrupt
from snapstore.rows import Batch, Cells, Column, KeyPart, Table
from snapstore.tree.builder import TreeBuilder
from snapstore.tree.incremental import Rebuilt, rebuild
from snapstore.tree.reader import TableTree

CUT_KEY = bytes(32)
TABLE = Table(
    "public.t",
    (KeyPart("id", "bigint", "int8"),),
    (Column("heat", "real", width=4), Column("content", "text"), Column("kind", "text")),
)
Row = tuple[bytes | None, ...]
Rows = dict[int, Row]


class Store:
    """Blobs in a dictionary, and how many were read."""

    def __init__(self) -> None:
        self.naming = Naming()
        self.blobs: dict[Digest, bytes] = {}
        self.reads = 0

    def put(
        self, kind: Kind, digests: Sequence[Digest], data: Sequence[Buffer], *, stride: int = 1, group: int = 0
    ) -> None:
        self.blobs.update(zip(digests, map(bytes, data), strict=True))

    def get_many(self, digests: Sequence[Digest]) -> list[bytes]:
        self.reads += len(digests)
        return [self.blobs[name] for name in digests]


def batch_of(rows: Rows) -> Batch:
    keys = sorted(rows)
    columns = [Cells.of([rows[key][at] for key in keys], width=column.width) for at, column in enumerate(TABLE.columns)]
    return Batch(Cells.of([key.to_bytes(8, "big") for key in keys], width=8), tuple(columns))


def built(rows: Rows, store: Store) -> Digest:
    builder = TreeBuilder(TABLE, CUT_KEY, store)
    builder.add(batch_of(rows))
    return builder.finish()


def row(seed: int) -> Row:
    heat = None if seed % 11 == 0 else (seed * 2654435761 % (1 << 32)).to_bytes(4, "big")
    return heat, b"memory %d " % seed * (1 + seed % 70), b"note"


def rebuilt(
    parent: TableTree, rows: Rows, moved: set[int], store: Store, *, given: Rows | None = None
) -> Rebuilt | None:
    batch, flags = batch_of(rows), np.array([key in moved for key in sorted(rows)], np.bool_)

    def stamps() -> Generator[tuple[Cells, NDArray[np.bool_]], None, None]:
        for start in range(0, len(batch), 700):
            yield batch.keys.slice(start, min(start + 700, len(batch))), flags[start : start + 700]

    def read_moved(*, is_much: bool) -> Generator[Batch, None, None]:
        some = batch_of(given if given is not None else {key: rows[key] for key in rows if key in moved})
        for start in range(0, len(some), 90):
            yield some.slice(start, min(start + 90, len(some)))

    return rebuild(parent, CUT_KEY, store, stamps(), read_moved)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Rows, Rows, set[int]]:
    """Rows before and after, and the keys of rows that moved, with some that did not among them."""
    count = draw(st.sampled_from([600, 1500, 4000]))
    stride = draw(st.sampled_from([1, 977]))
    before = {number * stride: row(number) for number in range(count)}
    after, moved = dict(before), set()
    for at in draw(st.lists(st.integers(0, count - 1), max_size=30)):
        what = draw(st.sampled_from(["update", "delete", "insert", "append", "nothing"]))
        key = at * stride
        if what == "update" and key in after:
            after[key] = row(key + 7)
            moved.add(key)
        elif what == "delete":
            after.pop(key, None)
        elif what == "insert":
            after[key + stride // 2 + count * stride * (stride == 1)] = row(at)
            moved.add(key + stride // 2 + count * stride * (stride == 1))
        elif what == "append":
            after[(count + at) * stride * 3] = row(at)
            moved.add((count + at) * stride * 3)
        elif key in after:
            moved.add(key)
    first = draw(st.integers(0, count - 1))
    for at in range(first, min(count, first + draw(st.sampled_from([0, 0, 1, 300])))):
        after.pop(at * stride, None)
    return before, after, moved & set(after)


@given(histories())
def test_the_root_is_that_of_a_full_build(history: tuple[Rows, Rows, set[int]]) -> None:
    before, after, moved = history
    store = Store()
    parent = TableTree.open(built(before, store), store)
    result = rebuilt(parent, after, moved, store)
    assert result is not None
    assert result.root == built(after, store)
    assert (result.rows, result.fetched) == (len(after), len(moved))


def test_an_unchanged_table_is_its_parent_and_only_its_keys_are_looked_at() -> None:
    store = Store()
    rows = {number: row(number) for number in range(20_000)}
    parent = TableTree.open(built(rows, store), store)
    store.reads, held = 0, len(store.blobs)
    result = rebuilt(parent, rows, set(), store)
    assert result is not None
    assert result.root == parent.root
    assert len(store.blobs) == held
    assert store.reads < 20_000 / 32 / 8


def test_a_row_that_has_not_moved_and_is_new_means_a_full_read() -> None:
    store = Store()
    rows = {number * 2: row(number) for number in range(2000)}
    parent = TableTree.open(built(rows, store), store)
    assert rebuilt(parent, {**rows, 1001: row(1)}, set(), store) is None


def test_a_table_that_moved_for_the_most_part_means_a_full_read() -> None:
    store = Store()
    rows = {number: row(number) for number in range(30_000)}
    parent = TableTree.open(built(rows, store), store)
    assert rebuilt(parent, rows, set(rows), store) is None


def test_more_keys_than_may_be_held_mean_a_full_read(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    rows = {number: row(number) for number in range(3000)}
    parent = TableTree.open(built(rows, store), store)
    some = set(range(0, 3000, 10))
    assert rebuilt(parent, rows, some, store) is not None
    monkeypatch.setattr("snapstore.tree.incremental._HELD_BYTES", 20_000)
    assert rebuilt(parent, rows, {7}, store) is not None
    assert rebuilt(parent, rows, some, store) is None


@pytest.mark.parametrize("count", [0, 1, 20])
def test_a_small_parent_means_a_full_read(count: int) -> None:
    store = Store()
    rows = {number: row(number) for number in range(count)}
    parent = TableTree.open(built(rows, store), store)
    assert rebuilt(parent, rows, set(), store) is None


@pytest.mark.parametrize("wrong", ["fewer", "more", "others"])
def test_a_source_that_gives_other_rows_than_it_named_is_found(wrong: str) -> None:
    store = Store()
    rows = {number: row(number) for number in range(3000)}
    parent = TableTree.open(built(rows, store), store)
    moved = {5, 700, 2500}
    given = {key: rows[key] for key in moved}
    if wrong == "fewer":
        del given[2500]
    elif wrong == "more":
        given[2600] = rows[2600]
    else:
        given[701] = given.pop(700)
    with pytest.raises(Corrupt, match=r"public\.t: the source gave"):
        rebuilt(parent, rows, moved, store, given=given)
