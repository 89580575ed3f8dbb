r"""Plain values as PostgreSQL's binary cells: the way back from `display`, for the types people keep memories in.

    to_cell("pg_catalog.int4")(17)                                # b"\0\0\0\x11"
    to_cell("pg_catalog.timestamptz")("2026-01-31T12:00:00+00:00")

Raises `ValueError`, `TypeError` and the like for what is no value of the type; whoever asks tries whether the cell is
the one it wants. Types that are not known here have no plain values.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

__all__ = ["is_held", "is_json", "nested", "scalar", "to_cell"]

ToCell = Callable[[Any], bytes]

_JSON = {"pg_catalog.json", "pg_catalog.jsonb"}
_DEEPEST = 100  # writers and readers stop at 128 (serde) or 254 (orjson)
_EPOCH = date(2000, 1, 1)
_START = datetime(2000, 1, 1, tzinfo=UTC)


def is_json(column_type: str) -> bool:
    """Whether cells are JSON documents."""
    return column_type in _JSON


def nested(text: str) -> Any:
    """The document in this text, if it says nothing that a reader of JSON would lose; else None."""
    try:
        value = json.loads(text)
        return value if _dumped(value) == text and is_held(value) else None
    except (ValueError, RecursionError):
        return None


def to_cell(column_type: str) -> ToCell:
    """What turns a value of this type into its cell."""
    schema, _, name = column_type.rpartition(".")
    if name.endswith("[]"):
        return _array(column_type.removesuffix("[]"))
    if schema != "pg_catalog":
        return _text  # enums, domains over text, citext; what is not text is not equal to its text
    if name.startswith("_") and name[1:] in _OIDS:
        return _array(f"pg_catalog.{name[1:]}")
    return _TYPES.get(name, _unknown)


def scalar(column_type: str) -> str:
    """What all plain values of this type are: int, float, bool or str; nothing where they may be anything."""
    schema, _, name = column_type.rpartition(".")
    if name.endswith("[]"):
        return ""
    return _SCALARS.get(name, "") if schema == "pg_catalog" else "str"


def _unknown(value: Any) -> bytes:
    raise ValueError("a type without plain values")


def _text(value: Any) -> bytes:
    return bytes(_of(str, value).encode())


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _packed(form: str, kind: type) -> ToCell:
    shape = struct.Struct(form)
    return lambda value: shape.pack(_of(kind, value))


def _number(form: str) -> ToCell:
    shape = struct.Struct(form)

    def turned(value: Any) -> bytes:
        if type(value) not in (int, float):
            raise TypeError(f"{value!r} is no number")
        return shape.pack(value)

    return turned


def _bool(value: Any) -> bytes:
    return b"\1" if _of(bool, value) else b"\0"


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def is_held(value: Any, depth: int = _DEEPEST) -> bool:
    """Whether every reader of JSON holds it as it is: whole numbers of 64 bits, nothing too deep."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(is_held(one, depth - 1) for one in inner)
    return type(value) is not int or -(1 << 63) <= value < 1 << 63


def _numeric(value: Any) -> bytes:
    """Digits of base 10,000 with their number, the weight of the first, sign and scale (PostgreSQL's numeric.c)."""
    found = re.fullmatch(r"(-?)(\d+)(?:\.(\d+))?", _of(str, value))
    if found is None:
        return struct.pack(">HhHH", 0, 0, {"NaN": 0xC000, "Infinity": 0xD000, "-Infinity": 0xF000}[value], 0)
    sign, whole, fraction = found[1], found[2], found[3] or ""
    digits = whole.rjust(-(-len(whole) // 4) * 4, "0") + fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    groups = [int(digits[at : at + 4]) for at in range(0, len(digits), 4)]
    weight = -(-len(whole) // 4) - 1
    while groups and not groups[0]:
        groups, weight = groups[1:], weight - 1
    while groups and not groups[-1]:
        groups.pop()
    head = struct.pack(">HhHH", len(groups), weight if groups else 0, 0x4000 if sign and groups else 0, len(fraction))
    return head + struct.pack(f">{len(groups)}H", *groups)


def _bytea(value: Any) -> bytes:
    if _of(str, value)[:2] != "\\x":
        raise ValueError("not a bytea")
    return bytes.fromhex(value[2:])


def _date(value: Any) -> bytes:
    return struct.pack(">i", (date.fromisoformat(_of(str, value)) - _EPOCH).days)


def _timestamp(value: Any) -> bytes:
    return _moment(datetime.fromisoformat(_of(str, value)), has_zone=False)


def _timestamptz(value: Any) -> bytes:
    return _moment(datetime.fromisoformat(_of(str, value)), has_zone=True)


def _moment(moment: datetime, *, has_zone: bool) -> bytes:
    if (moment.tzinfo is not None) != has_zone:
        raise ValueError("a time with a zone where none belongs, or without one")
    passed = (moment if has_zone else moment.replace(tzinfo=UTC)) - _START
    return struct.pack(">q", (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds)


def _array(element_type: str) -> ToCell:
    """Of one dimension that begins with 1; elements of types that every server numbers alike go by that number."""
    name = element_type.removeprefix("pg_catalog.")
    oid = _OIDS.get(name) if name != element_type else None
    element = to_cell(element_type)
    own = element_type.encode()
    kind = struct.pack(">I", oid) if oid else struct.pack(f">IH{len(own)}s", 0, len(own), own)

    def turned(values: Any) -> bytes:
        cells = [None if value is None else element(value) for value in _of(list, values)]
        if not cells:
            return struct.pack(">ii", 0, 0) + kind
        head = struct.pack(">ii", 1, None in cells) + kind + struct.pack(">ii", len(cells), 1)
        return head + b"".join(
            b"\xff\xff\xff\xff" if cell is None else struct.pack(">i", len(cell)) + cell for cell in cells
        )

    return turned


# Object ids of types that are the same in every PostgreSQL (pg_type.dat).
_OIDS = {
    "bool": 16, "bytea": 17, "name": 19, "int8": 20, "int2": 21, "int4": 23, "text": 25, "json": 114, "float4": 700,
    "float8": 701, "bpchar": 1042, "varchar": 1043, "date": 1082, "timestamp": 1114, "timestamptz": 1184,
    "numeric": 1700, "uuid": 2950, "jsonb": 3802,
}  # fmt: skip

_TYPES: dict[str, ToCell] = {
    "bool": _bool,
    "int2": _packed(">h", int),
    "int4": _packed(">i", int),
    "int8": _packed(">q", int),
    "oid": _packed(">I", int),
    "xid": _packed(">I", int),
    "xid8": _packed(">Q", int),
    "float4": _number(">f"),
    "float8": _number(">d"),
    "numeric": _numeric,
    "char": _text,
    "name": _text,
    "text": _text,
    "varchar": _text,
    "bpchar": _text,
    "xml": _text,
    "json": lambda value: _dumped(value).encode(),
    "jsonb": lambda value: b"\1" + _dumped(value).encode(),
    "jsonpath": _unknown,
    "bytea": _bytea,
    "uuid": lambda value: UUID(_of(str, value)).bytes,
    "date": _date,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
}

_SCALARS: dict[str, str] = {
    **dict.fromkeys(("int2", "int4", "int8", "oid", "xid"), "int"),
    **dict.fromkeys(("float4", "float8"), "float"),
    "bool": "bool",
    **dict.fromkeys(("numeric", "char", "name", "text", "varchar", "bpchar", "xml", "bytea", "uuid"), "str"),
    **dict.fromkeys(("date", "timestamp", "timestamptz"), "str"),
}
