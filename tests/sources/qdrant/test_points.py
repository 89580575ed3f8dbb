"""Ids, payload values and vectors as cells: to the bit and back, in the order of the engine."""

from __future__ import annotations

import json
import uuid
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.errors import Corrupt, Unsupported
from snapstore.rows import Cells, Column
from snapstore.sources.qdrant.points import (
    DENSE,
    SPARSE,
    column_of,
    id_cell,
    id_of,
    key_of,
    multiple,
    settled,
    value_cell,
    value_of,
    vector_cell,
    vector_of,
)

IDS = st.one_of(st.integers(0, (1 << 64) - 1), st.uuids().map(str))
SINGLES = st.floats(width=32, allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(1 << 63), (1 << 64) - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"])),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(IDS, IDS)
def test_ids_come_back_and_stand_in_the_order_of_the_engine(one: int | str, other: int | str) -> None:
    assert id_of(id_cell(one)) == one
    orders = [(isinstance(own, str), uuid.UUID(own).int if isinstance(own, str) else own) for own in (one, other)]
    assert (id_cell(one) < id_cell(other)) == (orders[0] < orders[1])


@pytest.mark.parametrize("cell", [b"", b"\0" * 16, b"\2" + bytes(16), b"\0\1" + bytes(15)])
def test_what_is_no_id_is_damage(cell: bytes) -> None:
    with pytest.raises(Corrupt):
        id_of(cell)


@given(JSON)
def test_values_of_payloads_come_back_with_their_types(value: Any) -> None:
    assert json.dumps(value_of(value_cell(value)), sort_keys=True) == json.dumps(value, sort_keys=True)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (1, b"1"),
        (1.0, b"1.0"),
        (True, b"true"),
        (None, b"null"),
        (-0.0, b"-0.0"),
        ((1 << 64) - 1, b"18446744073709551615"),
        ({"b": [1, 1.0, None], "a": {}}, b'{"a":{},"b":[1,1.0,null]}'),
        ("é\0\n", '"é\\u0000\\n"'.encode()),
    ],
)
def test_a_value_has_one_way_to_be_written(value: Any, cell: bytes) -> None:
    assert value_cell(value) == cell


@pytest.mark.parametrize("value", [float("nan"), "half a character: \ud83d", {1: object()}])
def test_what_no_json_can_hold_is_refused(value: Any) -> None:
    with pytest.raises(Unsupported):
        value_cell(value)


@given(st.text())
def test_every_key_of_a_payload_has_a_column_of_its_own(key: str) -> None:
    column = column_of(key)
    assert key_of(column) == key
    assert column not in ("", "id", "vector")
    assert not column.startswith("vector:")
    assert column_of(column) != column or column == key


@given(st.lists(SINGLES, min_size=1, max_size=8))
def test_vectors_come_back_to_the_bit(numbers: list[float]) -> None:
    dense, many = Column("vector", DENSE), Column("vector", multiple(len(numbers)))
    assert list(map(str, vector_of(dense, vector_cell(dense, numbers)))) == list(map(str, numbers))
    assert vector_of(many, vector_cell(many, [numbers, numbers])) == [numbers, numbers]


def test_a_sparse_vector_has_one_order() -> None:
    column = Column("vector:bm25", SPARSE)
    cell = vector_cell(column, SimpleNamespace(indices=[7, (1 << 32) - 1, 2], values=[0.5, 1.5, -0.25]))
    assert vector_of(column, cell) == ([2, 7, (1 << 32) - 1], [-0.25, 0.5, 1.5])
    assert vector_of(column, vector_cell(column, SimpleNamespace(indices=[], values=[]))) == ([], [])


@pytest.mark.parametrize(
    ("kind", "vector"), [(DENSE, [[1.0]]), (multiple(2), [1.0, 2.0]), (SPARSE, [1.0]), (DENSE, ["x"]), (DENSE, 1.0)]
)
def test_a_vector_of_another_kind_is_refused(kind: str, vector: Any) -> None:
    with pytest.raises(Unsupported):
        vector_cell(Column("vector", kind), vector)


@pytest.mark.parametrize(("kind", "size"), [(DENSE, 5), (multiple(2), 12), (SPARSE, 12)])
def test_a_damaged_vector_is_told(kind: str, size: int) -> None:
    with pytest.raises(Corrupt):
        vector_of(Column("vector", kind), bytes(size))


@pytest.mark.parametrize("width", [0, 8])
def test_a_settled_vector_stays_however_often_it_is_normalised(width: int) -> None:
    column = Column("vector", multiple(width) if width else DENSE)
    rows = np.random.default_rng(5).standard_normal((150, 16)).astype("<f4")
    once = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    first = settled(column, Cells.of([row.tobytes() for row in once]))
    again = first
    for _ in range(3):
        turned = [_again(np.frombuffer(cell or b"", "<f4"), width) for cell in again.to_list()]
        again = settled(column, Cells.of(turned))
        assert again.to_list() == first.to_list()
    if not width:
        moved = np.abs(np.frombuffer(first.data, "<i4").astype(int) - np.frombuffer(once.tobytes(), "<i4").astype(int))
        assert moved.max() <= 4


def _again(vector: Any, width: int) -> bytes:
    """As the client's local mode does it."""
    rows = vector.reshape(-1, width) if width else vector
    length = np.linalg.norm(rows, axis=-1)[:, np.newaxis] if width else np.linalg.norm(rows)
    return bytes((rows / length).astype("<f4").tobytes())
