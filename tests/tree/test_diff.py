"""Diff says what turns one table into another, all of it and no more, and reads little to find it."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.rows import Column, Table
from snapstore.tree.diff import common_columns, diff
from snapstore.tree.reader import TableTree
from snapstore.tree.values import resolve
from tests.tree.sample import (
    NAMED,
    NUMBERED,
    Row,
    Rows,
    Store,
    cells,
    listed,
    number,
    numbered,
    rows_by_name,
    rows_by_number,
    tree,
)


def apply(before: TableTree, after: TableTree, rows: Rows) -> tuple[Rows, int]:
    """The rows changed as the diff says, checking what it says of the state before; and how many cells it named."""
    rows, named = dict(rows), 0
    columns = common_columns(before, after)
    seen: list[bytes] = []
    for changes in diff(before, after):
        removed, added = listed(changes.removed, before), listed(changes.added, after)
        for key, row in removed.items():
            assert rows.pop(key) == row
        for key, row in added.items():
            assert key not in rows
            rows[key] = row
        changed = changes.changed
        assert changed.differs.any(axis=1).all(), "a row that did not change is not named"
        keys = [key or b"" for key in changed.keys.to_list()]
        for number_, (_, at) in enumerate(columns):
            own = [key for key, differs in zip(keys, changed.differs[:, number_].tolist(), strict=True) if differs]
            if not own:
                assert number_ not in changed.after
                continue
            old = resolve(changed.before[number_], before.fetch).to_list()
            new = resolve(changed.after[number_], after.fetch).to_list()
            named += len(own)
            for key, a, b in zip(own, old, new, strict=True):
                assert rows[key][at] == a != b
                rows[key] = (*rows[key][:at], b, *rows[key][at + 1 :])
        own_keys = sorted({*removed, *added, *keys})
        assert len(own_keys) == len(removed) + len(added) + len(keys), "a row is named once"
        assert not seen or not own_keys or seen[-1] < own_keys[0], "in order of key"
        seen += own_keys
    return rows, named


def turns(table: Table, one: Rows, other: Rows) -> None:
    store = Store()
    before, after = tree(table, one, store), tree(table, other, store)
    result, named = apply(before, after, one)
    assert result == other
    assert named == sum(a != b for key in one.keys() & other for a, b in zip(one[key], other[key], strict=True))


@given(rows_by_name, rows_by_name)
def test_applying_a_diff_gives_the_other_table(one: Rows, other: Rows) -> None:
    turns(NAMED, one, other)


edits = st.lists(
    st.tuples(st.integers(0, 1250), st.sampled_from(["cell", "row", "delete", "insert"]), st.tuples(*cells))
)


@given(edits, st.integers(0, 1200))
def test_applying_a_diff_of_large_tables_gives_the_other(changes: list[tuple[int, str, Row]], cut: int) -> None:
    other = dict(LARGE)
    for id_, what, row in changes:
        key = number(2 * id_ + (what == "insert"))
        if what == "delete":
            other.pop(key, None)
        elif what == "cell" and key in other:
            other[key] = (*other[key][:1], row[1], *other[key][2:])
        else:
            other[key] = row
    turns(NUMBERED, LARGE, other)
    if cut < 40:  # a long stretch goes
        turns(
            NUMBERED, LARGE, {key: row for at, (key, row) in enumerate(other.items()) if not 100 < at < 100 + 60 * cut}
        )


LARGE = numbered(range(0, 2500, 2), small=True)


@given(rows_by_number)
def test_equal_tables_differ_in_nothing_and_nothing_is_read(rows: Rows) -> None:
    store = Store()
    before, after = tree(NUMBERED, rows, store), tree(NUMBERED, rows, store)
    store.read.clear()
    assert list(diff(before, after)) == []
    assert store.read == []


@pytest.mark.parametrize("count", [1, 3, 10, 40])
@pytest.mark.parametrize("what", ["update", "insert", "delete"])
def test_a_diff_reads_blobs_by_the_change_not_by_the_table(what: str, count: int) -> None:
    store = Store()
    rows = numbered(range(0, 16_000, 2), small=True)
    other = dict(rows)
    for at in range(count):
        id_ = (at * 2_654_435_761) % 8_000 * 2
        if what == "update":
            other[number(id_)] = (b"edited", *rows[number(id_)][1:])
        elif what == "insert":
            other |= numbered([id_ + 1], small=True)
        else:
            other.pop(number(id_), None)
    before, after = tree(NUMBERED, rows, store), tree(NUMBERED, other, store)
    store.read.clear()
    changes = list(diff(before, after))
    found = sum(len(one.added) + len(one.removed) + len(one.changed) for one in changes)
    assert found == count
    trees = 1 if what == "update" else 1 + len(NUMBERED.columns)
    levels = math.ceil(math.log(8_000, 32)) + 1
    # Both sides, a path in each tree that differs, keys of the chunk, a neighbour where cuts moved.
    assert len(store.read) <= 2 * count * (trees + 1) * (levels + 2)
    assert len(store.read) < 2 * len(store.blobs) / 3


def test_a_column_that_decays_is_read_and_no_other() -> None:
    store = Store()
    rows = numbered(range(3000))
    other = {key: (a, bytes(reversed(b or b"heat")), c, d) for key, (a, b, c, d) in rows.items()}
    before, after = tree(NUMBERED, rows, store), tree(NUMBERED, other, store)
    store.read.clear()
    for changes in diff(before, after):
        assert not len(changes.added)
        assert not len(changes.removed)
        assert set(changes.changed.after) == {1}
    chunks = 3000 / 20
    assert len(store.read) < 3 * chunks * 1.3, "twice the column, once the keys"


def test_columns_are_matched_by_name_and_type() -> None:
    store = Store()
    rows = numbered(range(400))
    turned = dataclasses.replace(
        NUMBERED, columns=(Column("new", "text"), *reversed(NUMBERED.columns[1:]), Column("text", "varchar"))
    )
    other = {key: (b"n", *reversed(row[1:]), row[0]) for key, row in rows.items()}
    key = number(7)
    other[key] = (b"n", b"another vector", *other[key][2:])
    before, after = tree(NUMBERED, rows, store), tree(turned, other, store)
    assert common_columns(before, after) == [(3, 1), (2, 2), (1, 3)]
    (changes,) = diff(before, after)
    assert changes.changed.keys.to_list() == [key]
    assert changes.changed.differs.tolist() == [[True, False, False]]
