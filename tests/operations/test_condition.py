"""Conditions tried without a database mean what they say, or are refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Invalid
from snapstore.operations.condition import Condition, matching
from snapstore.operations.state import of_snapshot
from snapstore.repository import Repository
from snapstore.rows import Column, KeyPart, Table
from tests.operations.sample import Rows, Take

TABLE = Table(
    "public.facts",
    (KeyPart("id", "pg_catalog.int4", "int4"),),
    (
        Column("note", "pg_catalog.text"),
        Column("heat", "pg_catalog.float4", 4),
        Column("Kept", "pg_catalog.bool", 1),
        Column("tags", "pg_catalog.jsonb"),
    ),
)


def chosen(held: Rows, condition: str) -> set[int]:
    repository = Repository.init(MemoryBackend())
    running = Take(repository)
    running.write(held, table=TABLE)
    (table,) = of_snapshot(repository, running.commit()).tables
    return {
        int.from_bytes(key or b"", "big") - (1 << 31)
        for batch in matching(table, Condition(TABLE, condition))
        for key in batch.keys.to_list()
    }


def heat(value: float) -> bytes:
    return struct.pack(">f", value)


SIGNS = {
    "=": float.__eq__, "<>": float.__ne__, "!=": float.__ne__,
    "<": float.__lt__, "<=": float.__le__, ">": float.__gt__, ">=": float.__ge__,
}  # fmt: skip
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(st.none() | numbers, max_size=40), numbers, st.sampled_from(sorted(SIGNS)), st.integers(-5, 45))
def test_numbers_compare_as_numbers_and_null_meets_nothing(
    values: list[float | None], limit: float, sign: str, least: int
) -> None:
    held: Rows = {at: (None, None if one is None else heat(one), None, None) for at, one in enumerate(values)}
    wanted = {at for at, one in enumerate(values) if one is not None and SIGNS[sign](one, limit) and at >= least}
    assert chosen(held, f"heat {sign} {limit!r} AND id >= {least}") == wanted


HELD: Rows = {
    1: (b"tea", heat(0.3), b"\1", b"\1[]"),
    2: (b"it's", heat(-1), b"\0", None),
    3: (b"x" * 600, None, None, None),
    4: (None, heat(7), b"\1", b"\1{}"),
}


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("note = 'tea'", {1}),
        ("note <> 'tea'", {2, 3}),
        ("note = 'it''s' and HEAT<0", {2}),
        (f"note = '{'x' * 600}'", {3}),
        ("heat = 0.3", {1}),
        ("heat > '1e0'", {4}),
        ('"Kept" = true AND note IS NULL', {4}),
        ('"Kept" = false', {2}),
        ("tags is not null AND id != 4", {1}),
        ("id > 1 AND id <= 3 AND heat IS NULL", {3}),
    ],
)
def test_a_condition_chooses_rows(condition: str, wanted: set[int]) -> None:
    assert chosen(HELD, condition) == wanted


@pytest.mark.parametrize(
    "condition",
    [
        "", "heat", "heat >", "heat > > 1", "heat > 1 OR id = 1", "(heat > 1)", "heat > 1 AND", "heat > 1; DROP x",
        "nothing = 1", "kept = true", "note > 'a'", "note = 1", "tags = '[]'", "id = 1.5", "id = 'one'", "1 = id",
        "heat = NULL", "heat IS 1", "NOT heat > 1", "heat > id", "note LIKE 'a%'", "heat = 1e99", "note = 'open",
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused(condition: str) -> None:
    with pytest.raises(Invalid):
        Condition(TABLE, condition)
