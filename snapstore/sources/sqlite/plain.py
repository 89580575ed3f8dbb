"""Plain values as SQLite's cells: the way back from `display`.

to_cell("sqlite.value")("text")

A whole number is an integer and any other a real; a blob that is not a vector has no plain value.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from snapstore import tagged

__all__ = ["scalar", "to_cell"]


def to_cell(column_type: str) -> Callable[[Any], bytes]:
    """What turns a value of this type into its cell. It raises `TypeError` or `struct.error` for what is none."""
    return _TYPES.get(column_type.removeprefix("sqlite."), _unknown)


def scalar(column_type: str) -> str:
    """What all plain values of this type are: int, float or str; nothing where they may be anything."""
    return {"sqlite.integer": "int", "sqlite.real": "float", "sqlite.text": "str"}.get(column_type, "")


def _unknown(value: Any) -> bytes:
    raise TypeError("a type without plain values")


def _value(value: Any) -> bytes:
    if type(value) not in (int, float, str):
        raise TypeError(f"{value!r} is neither a number nor a text")
    cell = tagged.encode([value]).to_list()[0]
    assert cell is not None
    return cell


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


_TYPES: dict[str, Callable[[Any], bytes]] = {
    "integer": lambda value: struct.pack(">q", _of(int, value)),
    "real": lambda value: struct.pack(">d", _of(float, value)),
    "text": lambda value: bytes(_of(str, value).encode()),
    "value": _value,
}
