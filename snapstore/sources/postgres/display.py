r"""Cells for people and for JSON, read without a server.

    display("pg_catalog.float4", b"\x3e\x99\x99\x9a")             # 0.3
    display("public.vector", elements, stride=4)                # [0.1, 0.2, …]
    shorten(display("public.vector", elements, stride=4))       # '[0.1, 0.2, 0.3, … 384 dimensions]'

Types are base types as in `Column.type`. What is not known here is shown in hexadecimal and never guessed at, but for
types outside `pg_catalog` whose bytes are plain text (enums, citext). Nothing is read back from this: restoring uses
the cells.
"""

from __future__ import annotations

import ipaddress
import json
import math
import struct
from collections.abc import Callable
from typing import Any
from uuid import UUID

import numpy as np

from snapstore.sources.postgres.times import date, interval, time, timestamp, timestamptz, timetz
from snapstore.sources.postgres.types import is_worded

__all__ = ["display", "shorten"]

_SHOWN_ELEMENTS = 3


def display(column_type: str, cell: bytes | None, *, stride: int = 1) -> Any:
    """A value JSON can hold: None for NULL; numbers, truth and text as such; vectors and arrays as lists.

    Numerics are text, exact; floats that JSON lacks are `"NaN"`, `"Infinity"`, `"-Infinity"`; times are ISO 8601 as far
    as that goes. `stride` is the column's: with 1 a vector is read with its header, as it stands in a key. A cell that
    is not of its type, or of a type not known here, is `{"hex": …}`.
    """
    if cell is None:
        return None
    try:
        return _display(column_type, cell, stride)
    except (ValueError, struct.error, IndexError, OverflowError):
        return {"hex": cell.hex()}


def shorten(value: Any, *, width: int = 60) -> str:
    """One line of at most `width` characters (16 or more) for a terminal; a list of numbers is shown by its beginning
    and its dimension. Control characters are escaped.
    """
    if value is None:
        return "NULL"
    is_numbers = isinstance(value, list) and all(isinstance(one, int | float) for one in value)
    if is_numbers and len(value) > _SHOWN_ELEMENTS:
        shown = ", ".join(f"{one:.4g}" for one in value[:_SHOWN_ELEMENTS])
        text = f"[{shown}, … {len(value):,} dimensions]"
    elif isinstance(value, str):
        text = value
    elif isinstance(value, dict) and value.keys() == {"hex"}:
        text = "\\x" + value["hex"]
    else:
        text = json.dumps(value, ensure_ascii=False)
    # Only what one line can show matters, so a megabyte is not escaped for it.
    text = "".join(one if one.isprintable() else repr(one)[1:-1] for one in text[: width + 1])
    return text if len(text) <= width else text[: width - 1] + "…"


def _display(column_type: str, cell: bytes, stride: int) -> Any:
    if stride in _ELEMENTS:
        return _floats(np.frombuffer(cell, _ELEMENTS[stride]))
    if column_type.endswith("[]") and cell[:1] == b"\0":  # else it is held as text
        element_type = column_type.removesuffix("[]")
        return _array(lambda element: display(element_type, element), cell)
    schema, _, name = column_type.rpartition(".")
    if schema == "pg_catalog":
        if name in _TYPES:
            return _TYPES[name](cell)
        if is_worded(column_type):
            return _text(cell)
        element = name.removeprefix("_")
        if element != name and (element in _TYPES):
            return _array(_TYPES[element], cell)
        return {"hex": cell.hex()}
    if name in _HEADED:
        dimensions, zero = struct.unpack_from(">HH", cell)
        elements = np.frombuffer(cell, _HEADED[name], offset=4)
        if zero or dimensions != len(elements):
            raise ValueError("not a vector")
        return _floats(elements)
    return _plain(cell)


def _plain(cell: bytes) -> Any:
    """What outside `pg_catalog` is plain text (enums, citext), as that."""
    text = cell.decode("utf-8")
    return text if text.isprintable() else {"hex": cell.hex()}


_ELEMENTS: dict[int, np.dtype[Any]] = {4: np.dtype("<f4"), 2: np.dtype("<f2")}
_HEADED: dict[str, np.dtype[Any]] = {"vector": np.dtype(">f4"), "halfvec": np.dtype(">f2")}


def _floats(elements: Any) -> list[Any]:
    # The shortest decimal that is this float32 or float16, not the long one of the float64 it would become.
    return [_float(float(text)) for text in elements.astype(elements.dtype.newbyteorder("=")).astype(str).tolist()]


def _float(number: float) -> Any:
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _unpacked(form: str) -> Callable[[bytes], Any]:
    shape = struct.Struct(form)
    return lambda cell: shape.unpack(cell)[0]


def _float4(cell: bytes) -> Any:
    return _floats(np.frombuffer(cell, ">f4"))[0] if len(cell) == 4 else _wrong()


def _float8(cell: bytes) -> Any:
    return _float(struct.unpack(">d", cell)[0])


def _bool(cell: bytes) -> bool:
    return {b"\0": False, b"\1": True}.get(cell, False) if cell in (b"\0", b"\1") else _wrong()


def _text(cell: bytes) -> str:
    return cell.decode("utf-8")


def _jsonb(cell: bytes) -> Any:
    return _text(cell[1:]) if cell[:1] == b"\1" else _wrong()


def _numeric(cell: bytes) -> str:
    count, weight, sign, scale = struct.unpack_from(">HhHH", cell)
    if sign in _SPECIAL_NUMERICS:
        return _SPECIAL_NUMERICS[sign]
    digits = struct.unpack_from(f">{count}H", cell, 8)
    if len(cell) != 8 + 2 * count or sign not in (0, 0x4000) or any(digit > 9_999 for digit in digits):
        _wrong()
    whole = "".join(f"{digits[at] if at < count else 0:04}" for at in range(weight + 1)).lstrip("0") or "0"
    after = ("0000" * max(-weight - 1, 0)) + "".join(f"{digit:04}" for digit in digits[max(weight + 1, 0) :])
    fraction = after.ljust(scale, "0")[:scale]
    return ("-" if sign else "") + whole + (f".{fraction}" if scale else "")


_SPECIAL_NUMERICS = {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}


def _money(cell: bytes) -> dict[str, str]:
    return {"hex": cell.hex()}  # how many of its digits are cents is the server's setting


def _bytea(cell: bytes) -> str:
    return "\\x" + cell.hex()


def _uuid(cell: bytes) -> str:
    return str(UUID(bytes=cell))


def _mac(cell: bytes) -> str:
    return cell.hex(":")


def _inet(cell: bytes) -> str:
    """Family (2 IPv4, 3 IPv6), prefix length, whether it is a cidr, length of the address, the address."""
    family, bits, is_cidr, length = cell[:4]
    if (family, length) not in ((2, 4), (3, 16)) or len(cell) != 4 + length:
        _wrong()
    address = str(ipaddress.ip_address(cell[4:]))
    return f"{address}/{bits}" if is_cidr or bits < length * 8 else address


def _bits(cell: bytes) -> str:
    (count,) = struct.unpack_from(">i", cell)
    if len(cell) != 4 + (count + 7) // 8 or count < 0:
        _wrong()
    return "".join(f"{byte:08b}" for byte in cell[4:])[:count]


def _array(element: Callable[[bytes], Any], cell: bytes) -> Any:
    """Dimensions, has NULLs, element's OID, or 0 and its name; by dimension its length and lower bound; the elements
    with lengths.
    """
    dimensions, _, oid = struct.unpack_from(">iiI", cell)
    if not 0 <= dimensions <= 6:
        _wrong()
    start = 12 if oid else 14 + struct.unpack_from(">H", cell, 12)[0]
    shape = [struct.unpack_from(">ii", cell, start + 8 * at)[0] for at in range(dimensions)]
    place = start + 8 * dimensions
    values: list[Any] = []
    if math.prod(shape) * 4 > len(cell):
        _wrong()
    for _ in range(math.prod(shape) if shape else 0):
        (length,) = struct.unpack_from(">i", cell, place)
        place += 4
        values.append(None if length == -1 else element(cell[place : place + length]))
        place += max(length, 0)
    if place != len(cell):
        _wrong()
    for size in reversed(shape[1:]):
        values = [values[at : at + size] for at in range(0, len(values), size)]
    return values


def _wrong() -> Any:
    raise ValueError("the cell is not of its type")


_TYPES: dict[str, Callable[[bytes], Any]] = {
    "bool": _bool,
    "int2": _unpacked(">h"),
    "int4": _unpacked(">i"),
    "int8": _unpacked(">q"),
    "oid": _unpacked(">I"),
    "xid": _unpacked(">I"),
    "xid8": _unpacked(">Q"),
    "float4": _float4,
    "float8": _float8,
    "numeric": _numeric,
    "money": _money,
    "char": _text,
    "name": _text,
    "text": _text,
    "varchar": _text,
    "bpchar": _text,
    "xml": _text,
    "json": _text,
    "jsonb": _jsonb,
    "jsonpath": _jsonb,
    "bytea": _bytea,
    "uuid": _uuid,
    "macaddr": _mac,
    "macaddr8": _mac,
    "inet": _inet,
    "cidr": _inet,
    "bit": _bits,
    "varbit": _bits,
    "date": date,
    "time": time,
    "timetz": timetz,
    "timestamp": timestamp,
    "timestamptz": timestamptz,
    "interval": interval,
}
