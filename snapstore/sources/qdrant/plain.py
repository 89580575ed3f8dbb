"""Plain values as Qdrant's cells: the way back from `display`.

to_cell("qdrant.json")({"tags": ["a"]})

Sparse vectors and several vectors in one have no plain values. A payload's null is not the absence of its key, so it
has none either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from snapstore.sources.qdrant.points import ID, VALUE, id_cell, value_cell

__all__ = ["to_cell"]


def to_cell(column_type: str) -> Callable[[Any], bytes]:
    """What turns a value of this type into its cell. Raises `TypeError`, `ValueError` and the like for what is none."""
    return {ID: _id, VALUE: _value}.get(column_type, _unknown)


def _unknown(value: Any) -> bytes:
    raise TypeError("a type without plain values")


def _id(value: Any) -> bytes:
    if type(value) not in (int, str):
        raise TypeError(f"{value!r} is no id")
    return id_cell(value)


def _value(value: Any) -> bytes:
    if value is None:
        raise TypeError("null is not the absence of a key")
    return value_cell(value)
