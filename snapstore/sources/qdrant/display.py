"""Ids, payload values and vectors for people and for JSON, and ids as people write them; no server is asked.

display("qdrant.json", cell)                  # {'tags': ['a']}
cell_of(table, part, "17")
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from snapstore.rows import Column, KeyPart, Table
from snapstore.sources.qdrant.points import ID, SPARSE, VALUE, id_cell, id_of, value_of, vector_of

__all__ = ["cell_of", "display", "is_ours"]


def is_ours(column_type: str) -> bool:
    """Whether a column or a part of a key is of this engine."""
    return column_type.startswith("qdrant.")


def display(column_type: str, cell: bytes) -> Any:
    """A value JSON can hold. Raises `ValueError` or `Corrupt` for a cell that is not of its type."""
    if column_type == ID:
        return id_of(cell)
    if column_type == VALUE:
        return value_of(cell)
    found = vector_of(Column("", column_type), cell)
    if column_type == SPARSE:
        return {"indices": found[0], "values": _floats(found[1])}
    return [_floats(one) if isinstance(one, list) else _float(one) for one in found]


def _floats(numbers: list[float]) -> list[Any]:
    return [_float(one) for one in numbers]


def _float(number: float) -> Any:
    """The shortest decimal that is this float32."""
    if math.isfinite(number):
        return float(str(np.float32(number)))
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def cell_of(table: Table, part: KeyPart, word: str) -> bytes:
    """The cell that a person means: a number, or a UUID. Raises `ValueError` for what is neither."""
    return id_cell(int(word) if word.isdecimal() and len(word) <= 20 and int(word) < 1 << 64 else word)
