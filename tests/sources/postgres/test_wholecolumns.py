"""Whole columns as plain values are the values of their cells, one by one."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.rows import Cells, Column
from snapstore.sources.plain import Form
from snapstore.sources.postgres import wholecolumns

INTEGERS = {"int2": ">h", "int4": ">i", "int8": ">q", "oid": ">I", "xid": ">I"}
WIDTHS = {**{name: struct.calcsize(form) for name, form in INTEGERS.items()}, "float4": 4, "float8": 8,
          "timestamp": 8, "timestamptz": 8}  # fmt: skip

moments = st.integers(-(63_082_281_600 + 10**6) * 10**6, (252_455_616_000 + 10**6) * 10**6) | st.integers(
    -(10**6), 10**6
).map(lambda seconds: seconds * 500_000)


def cells_of(name: str) -> st.SearchStrategy[bytes | None]:
    width = WIDTHS.get(name, 0)
    if not width:
        return st.none() | st.text(max_size=5).map(str.encode) | st.binary(max_size=3)
    likely = st.binary(min_size=width, max_size=width)
    if name == "float4":
        likely |= st.floats(width=32).map(lambda one: struct.pack(">f", one))
    if name == "float8":
        likely |= st.floats().map(lambda one: struct.pack(">d", one))
    if name.startswith("timestamp"):
        likely = likely | moments.map(lambda one: struct.pack(">q", one))
    return st.none() | likely


def one_by_one(form: Form, cells: Cells) -> list[object]:
    """What is made of each cell alone, without a look at whole columns."""
    to_value, to_cell = form._turns()
    return [None if cell is None else form._value(cell, to_value, to_cell) for cell in cells.to_list()]


@pytest.mark.parametrize("name", [*WIDTHS, "text", "varchar", "bpchar", "name", "char", "xml"])
@given(st.data(), st.booleans())
def test_values_of_a_whole_column_are_those_of_its_cells(name: str, data: st.DataObject, is_usual: bool) -> None:
    one = cells_of(name)
    held = data.draw(st.lists(one.filter(lambda cell: cell is not None) if is_usual else one, max_size=6))
    form = Form("x", f"pg_catalog.{name}", WIDTHS.get(name, 0))
    for cells in (Cells.of(held, width=form.width), Cells.of(held)):
        found = wholecolumns.values(form.type, cells)
        assert found is None or repr(found) == repr(one_by_one(form, cells))
        assert form.cells(form.values(cells)).to_list() == held


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("int8", struct.pack(">q", -5)),
        ("float4", struct.pack(">f", 0.3)),
        ("float8", struct.pack(">d", -0.0)),
        ("text", b"tea"),
        ("timestamptz", struct.pack(">q", 500_000)),
    ],
)
def test_usual_cells_are_not_looked_at_one_by_one(name: str, cell: bytes) -> None:
    for width in (0, WIDTHS.get(name, 0)):
        assert wholecolumns.values(f"pg_catalog.{name}", Cells.of([cell, cell], width=width)) is not None
    assert wholecolumns.values(f"public.{name}", Cells.of([cell])) is None


@given(st.lists(st.lists(st.floats(width=32), min_size=3, max_size=3), min_size=1, max_size=4), st.booleans())
def test_vectors_of_a_whole_column_are_those_of_its_cells(held: list[list[float]], has_null: bool) -> None:
    plain: list[bytes | None] = [np.array(one, "<f4").tobytes() for one in held]
    cells = Cells.of([*plain, None] if has_null else plain)
    form = Form.of(Column("e", "public.vector", 0, 4))
    for value, cell in zip(form.values(cells), cells.to_list(), strict=True):
        [alone] = form.values(Cells.of([cell]))
        assert type(value) is type(alone)
        assert np.array_equal(value, alone) if isinstance(value, np.ndarray) else repr(value) == repr(alone)
    assert form.cells(form.values(cells)).to_list() == cells.to_list()
