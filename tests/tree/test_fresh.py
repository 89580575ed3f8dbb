"""What is fresh in a tree is at least what the one before it has not, and what stands above it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from snapstore.tree import reference
from snapstore.tree.fresh import fresh
from snapstore.tree.reader import TableTree
from snapstore.tree.reference import Ref
from snapstore.tree.series import one_shape, open_all
from tests.tree.sample import NUMBERED, Rows, Store, build, number, numbered, rows_by_number


def leaves(tree: TableTree, at: int) -> dict[Ref, int]:
    """Every chunk and constant of one tree at the lowest level."""
    found: dict[Ref, int] = {}
    for spans in tree.leaves():
        for span in spans:
            ref = span.refs[at]
            assert ref is not None
            found[ref] = span.count
    return found


@given(st.lists(rows_by_number, min_size=1, max_size=4), st.booleans())
def test_every_chunk_that_the_tree_before_has_not_is_fresh(history: list[Rows], has_one_before: bool) -> None:
    store = Store()
    trees = one_shape(open_all([build(NUMBERED, rows, store) for rows in history], store))
    before, after = (trees[0], trees[1:]) if has_one_before else (None, trees)
    for at in range(1 + len(NUMBERED.columns)):
        found = fresh(before, after, at) if after else None
        known = {} if before is None else leaves(before, at)
        for tree in after:
            own = leaves(tree, at)
            assert found is not None
            blobs = {ref: rows for ref, rows in own.items() if ref not in known and reference.is_blob(ref)}
            assert blobs.items() <= found.leaves.items()
            known = own
        if found is not None:
            assert not found.leaves.keys() & found.nodes.keys()


def test_one_changed_cell_is_one_fresh_chunk_and_the_nodes_above_it() -> None:
    store = Store()
    rows = numbered(range(3000))
    changed = {**rows, number(1700): (b"another", *rows[number(1700)][1:])}
    before, after = one_shape(open_all([build(NUMBERED, one, store) for one in (rows, changed)], store))
    found = fresh(before, [after, after, before], 1)
    assert len(found.leaves) == 2, "and the one that comes back"
    assert len(found.nodes) == 2 * before.height
    done = set(found.leaves)
    for node, below in found.nodes.items():
        assert done & set(below), "children stand before what is above them"
        done.add(node)
    assert not fresh(before, [after], 2).leaves
