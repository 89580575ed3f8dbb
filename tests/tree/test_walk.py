"""Walking from a root by `children` meets every blob of the table, and none else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.digest import Digest, Kind, digest
from snapstore.errors import Corrupt
from snapstore.tree.walk import Child, children
from tests.tree.sample import NAMED, NUMBERED, Rows, Store, build, number, numbered, rows_by_name


def met(root: Digest, store: Store) -> dict[Digest, set[Kind]]:
    """Every blob beneath a root, without reading leaves."""
    found: dict[Digest, set[Kind]] = {}
    stack = [Child(Kind.TABLE, root)]
    while stack:
        child = stack.pop()
        found.setdefault(child.digest, set()).add(child.kind)
        if not child.leaf:
            stack += children(child, store.blobs[child.digest])
    return found


@given(rows_by_name)
def test_a_walk_meets_every_blob(rows: Rows) -> None:
    store = Store()
    root = build(NAMED, rows, store)
    found = met(root, store)
    assert found.keys() <= store.blobs.keys()
    # What is put before it is known to be constant or small enough to inline is garbage, and of no other kind.
    assert all(kinds <= store.kinds[name] for name, kinds in found.items())
    missed = [store.kinds[name] for name in store.blobs.keys() - found.keys()]
    assert not missed


def test_a_walk_of_a_large_table_meets_every_blob() -> None:
    store = Store()
    rows = numbered(range(6000))
    rows[number(5)] = (b"t" * 300_000, None, None, None)
    for id_ in range(1000, 2000):
        rows[number(id_)] = (None, None, b"\1", b"w" * 600)
    root = build(NUMBERED, rows, store)
    found = met(root, store)
    assert found == store.kinds
    leaves = sum(len(store.blobs[name]) for name, kinds in found.items() if kinds <= {Kind.VALUE})
    assert leaves > sum(map(len, store.blobs.values())) / 2


@given(st.sampled_from([Kind.TABLE, Kind.NODE, Kind.CHUNK, Kind.PARTS]), st.binary(max_size=150), st.booleans())
def test_random_bytes_are_children_or_corrupt(kind: Kind, data: bytes, is_key: bool) -> None:
    try:
        for child in children(Child(kind, digest(data), level=1, is_key=is_key), data):
            assert len(child.digest) == 32
    except Corrupt:
        return


def test_a_value_and_a_schema_name_nothing() -> None:
    for kind in (Kind.VALUE, Kind.SCHEMA):
        assert list(children(Child(kind, digest(b"any")), b"any")) == []
    with pytest.raises(Corrupt, match="chunk"):
        list(children(Child(Kind.CHUNK, digest(b"any")), b"any"))
