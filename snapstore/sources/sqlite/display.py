r"""Values of SQLite for people and for JSON, and keys as people write them; no database is asked.

    display("sqlite.value", cell)                 # 17, 0.5, 'text', {'hex': '00ff'}
    parse_key(table, "17")

A blob is hexadecimal unless its column holds vectors.
"""

from __future__ import annotations

import math
import re
import struct
from typing import Any

import numpy as np

from snapstore import tagged
from snapstore.rows import KeyPart, Table

__all__ = ["cell_of", "display", "is_ours"]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_BLOB = re.compile(r"[xX]'((?:[0-9a-fA-F]{2})*)'")


def is_ours(column_type: str) -> bool:
    """Whether a column or a part of a key is of this engine."""
    return column_type.startswith("sqlite.")


def display(column_type: str, cell: bytes, *, stride: int = 1) -> Any:
    """A value JSON can hold. Raises `ValueError` for a cell that is not of its type."""
    kind = column_type.removeprefix("sqlite.")
    if kind == "integer":
        return struct.unpack(">q", cell)[0]
    if kind == "real":
        return _real(struct.unpack(">d", cell)[0])
    value: tagged.Value = cell
    if kind == "text":
        value = cell.decode()
    elif kind == "value":
        value = tagged.decode_one(cell)
    if isinstance(value, float):
        return _real(value)
    if isinstance(value, tagged.RawText):
        return {"hex": value.data.hex()}
    if isinstance(value, bytes):
        return _floats(value) if stride == 4 and value and len(value) % 4 == 0 else {"hex": value.hex()}
    return value


def _real(number: float) -> Any:
    if math.isfinite(number):
        return number
    return "Infinity" if number > 0 else "-Infinity"


def _floats(data: bytes) -> list[Any]:
    # The shortest decimal that is this float32, not the long one of the float64 it would become.
    found = [float(text) for text in np.frombuffer(data, "<f4").astype(str).tolist()]
    return [one if math.isfinite(one) else "NaN" if math.isnan(one) else _real(one) for one in found]


def _affinity(declared: str) -> str:
    """What a column would make of a value: the rules of https://sqlite.org/datatype3.html §3.1."""
    upper = declared.upper()
    for words, found in (
        (("INT",), "integer"),
        (("CHAR", "CLOB", "TEXT"), "text"),
        (("BLOB",), "blob"),
        (("REAL", "FLOA", "DOUB"), "real"),
    ):
        if any(word in upper for word in words):
            return found
    return "numeric" if upper else "blob"


def cell_of(table: Table, part: KeyPart, word: str) -> bytes:
    """The cell that a person means: `17`, `text`, `'17'` for a text of digits, `x'00ff'` for a blob.

    Raises `ValueError` for what cannot be one.
    """
    if part.type == "sqlite.integer":
        return struct.pack(">q", int(word))
    declared = next((one["type"] for one in table.definition.get("columns", ()) if one["name"] == part.name), "")
    return tagged.encode([_value(word, _affinity(declared))])[0] or b""


def _value(word: str, kind: str) -> tagged.Value:
    blob = _BLOB.fullmatch(word)
    if blob:
        return bytes.fromhex(blob[1])
    if len(word) > 1 and word[0] == word[-1] == "'":
        return word[1:-1].replace("''", "'")
    if kind == "text" or not _NUMBER.fullmatch(word):
        return word
    if kind != "real" and re.fullmatch(r"[+-]?\d+", word) and -(1 << 63) <= int(word) < 1 << 63:
        return int(word)
    number = float(word)
    return int(number) if kind in ("integer", "numeric") and number.is_integer() and abs(number) < 1 << 63 else number
