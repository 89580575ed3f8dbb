"""Names stand for the OIDs of types in arrays and composites, and turn back into the OIDs of another database."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.errors import Corrupt
from snapstore.rows import Cells
from snapstore.sources.postgres.oids import LEAF, Part, Shape, to_names, to_oids

MOOD = Part(70_000, "public.mood", LEAF)
MOODS = Shape("array", (MOOD,))
PAIR = Shape("record", (Part(23, "pg_catalog.int4", LEAF), Part(70_003, "public.mood[]", MOODS)))
PAIRS = Shape("array", (Part(70_010, 'public."o.k"', PAIR),))
SPAN = Shape("range", (Part(70_010, "public.pair", PAIR),))
SPANS = Shape("multirange", (Part(70_020, "public.span", SPAN),))


def sized(cell: bytes | None) -> bytes:
    return struct.pack(">i", -1) if cell is None else struct.pack(">i", len(cell)) + cell


def array(oid: bytes, *elements: bytes | None) -> bytes:
    dims = struct.pack(">ii", len(elements), 1) if elements else b""
    return struct.pack(">ii", 1 if elements else 0, None in elements) + oid + dims + b"".join(map(sized, elements))


def oid(number: int) -> bytes:
    return struct.pack(">I", number)


def name(words: str) -> bytes:
    return bytes(4) + struct.pack(">H", len(words)) + words.encode()


def moved(shape: Shape) -> Shape:
    """The same type in another database."""
    parts = (dataclasses.replace(p, oid=p.oid + (5 if p.oid > 9_999 else 0), shape=moved(p.shape)) for p in shape.parts)
    return Shape(shape.kind, tuple(parts))


def test_the_bytes_are_those_of_the_format() -> None:
    assert to_names(MOODS, Cells.of([array(oid(70_000), b"ok", None)]))[0] == array(name("public.mood"), b"ok", None)
    pair = struct.pack(">i", 2) + oid(23) + sized(b"\0\0\0\1") + oid(70_003) + sized(array(oid(70_000), b"ok"))
    told = struct.pack(">i", 2) + oid(23) + sized(b"\0\0\0\1")
    told += name("public.mood[]") + sized(array(name("public.mood"), b"ok"))
    assert to_names(PAIR, Cells.of([pair]))[0] == told
    assert to_names(PAIRS, Cells.of([array(oid(70_010), pair, None)]))[0] == array(name('public."o.k"'), told, None)
    assert to_names(SPAN, Cells.of([b"\x08" + sized(pair)]))[0] == b"\x08" + sized(told)


def cells(shape: Shape) -> st.SearchStrategy[bytes]:
    if shape.kind == "leaf":
        return st.binary(max_size=6)
    inner = [st.none() | cells(part.shape) for part in shape.parts]
    if shape.kind == "array":
        return st.lists(inner[0], max_size=3).map(lambda own: array(oid(shape.parts[0].oid), *own))
    if shape.kind == "record":
        head = struct.pack(">i", len(shape.parts))
        return st.tuples(*inner).map(
            lambda own: head + b"".join(oid(part.oid) + sized(c) for part, c in zip(shape.parts, own, strict=True))
        )
    whole = cells(shape.parts[0].shape)
    if shape.kind == "multirange":
        return st.lists(whole, max_size=3).map(lambda own: struct.pack(">i", len(own)) + b"".join(map(sized, own)))
    both = st.tuples(whole, whole).map(lambda own: b"\x02" + sized(own[0]) + sized(own[1]))
    return both | whole.map(lambda own: b"\x08" + sized(own)) | st.sampled_from([b"\x01", b"\x18"])


@given(st.data(), st.sampled_from([MOODS, PAIR, PAIRS, SPAN, SPANS, Shape("array", (Part(70_030, "s.a", MOODS),))]))
def test_what_is_named_comes_back_in_any_database(data: st.DataObject, shape: Shape) -> None:
    given_: list[Any] = data.draw(st.lists(st.none() | cells(shape), max_size=5))
    held = to_names(shape, Cells.of(given_))
    assert to_oids(shape, held).to_list() == given_
    elsewhere = to_oids(moved(shape), held)
    assert to_names(moved(shape), elsewhere).to_list() == held.to_list()


@given(st.binary(max_size=40), st.sampled_from([MOODS, PAIR, PAIRS, SPAN, SPANS]))
def test_bytes_of_no_shape_are_corrupt(cell: bytes, shape: Shape) -> None:
    for turn in (to_names, to_oids):
        try:
            turn(shape, Cells.of([cell]))
        except Corrupt:
            continue


def test_an_array_of_another_type_is_corrupt() -> None:
    with pytest.raises(Corrupt, match=r"public\.mood"):
        to_oids(MOODS, Cells.of([array(name("public.mode"), b"ok")]))
