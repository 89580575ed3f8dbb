r"""Keys written by people, as the bytes of the table's key.

    parse_key(memories, "17")                   # one column: the whole text is its value
    parse_key(visits, 'alice,"Paris, France"')   # several: a line of CSV, in the order of the primary key

What PostgreSQL would read as a value of the type, in its plain forms: no `now()`, no local formats; a `timestamptz`
without a zone is in UTC. Types without a plain form here are given as the hexadecimal digits of their binary form:
`\x00000011`. Pure: no server is asked.
"""

from __future__ import annotations

import csv
import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from uuid import UUID

from snapstore.errors import Invalid
from snapstore.keys import encode
from snapstore.rows import Cells, KeyPart, Table
from snapstore.sources.postgres.types import is_worded

__all__ = ["parse_key", "postgres_cell"]

CellOf = Callable[[Table, KeyPart, str], bytes]


def parse_key(table: Table, text: str, *, cell_of: CellOf | None = None) -> bytes:
    """The key of the row that the text names. Raises `Invalid` saying what the key looks like.

    `cell_of` gives the cell that a word stands for, and `ValueError` for one that stands for none; by default it reads
    PostgreSQL's types.
    """
    if table.by_content:
        raise Invalid(f"{table.name} has no key, so none of its rows can be named", hint="choose rows with --where")
    words = [text] if len(table.key) == 1 else _csv(table, text)
    if len(words) != len(table.key):
        raise _wrong(table, text, f"it has {len(words)} {'part' if len(words) == 1 else 'parts'}")
    cells = [_cell(table, part, word, cell_of or postgres_cell) for part, word in zip(table.key, words, strict=True)]
    key = encode(table.key, [Cells.of([cell]) for cell in cells])[0]
    assert key is not None
    return key


def _csv(table: Table, text: str) -> list[str]:
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise _wrong(table, text, str(error)) from error
    return rows[0] if len(rows) == 1 else []


def _cell(table: Table, part: KeyPart, word: str, cell_of: CellOf) -> bytes:
    try:
        return cell_of(table, part, word)
    except (ValueError, OverflowError, InvalidOperation, struct.error) as error:
        name = part.type.rpartition(".")[2]
        raise _wrong(table, word, f"{part.name} is {name}") from error


def postgres_cell(table: Table, part: KeyPart, word: str) -> bytes:
    """The cell that the word stands for. Raises one of the errors of numbers and times where it stands for none."""
    schema, _, name = part.type.rpartition(".")
    parse = _TYPES.get(name) if schema == "pg_catalog" and not is_worded(part.type) else _text
    if parse is None:
        if not word.startswith("\\x"):
            raise ValueError("this type is given by its binary form, as \\x…")
        return bytes.fromhex(word[2:])
    if parse is _text:
        return _text(word.ljust(_padded(table, part)) if name == "bpchar" else word)
    return parse(word.strip())


def _padded(table: Table, part: KeyPart) -> int:
    """The length to which a `character(n)` is filled with blanks."""
    declared = next((one["type"] for one in table.definition.get("columns", ()) if one["name"] == part.name), "")
    found = re.search(r"\((\d+)\)", declared)
    return int(found[1]) if found else 0


def _wrong(table: Table, text: str, why: str) -> Invalid:
    parts = ",".join(f"<{part.name} {part.type.rpartition('.')[2]}>" for part in table.key)
    return Invalid(f"{text!r} is not a key of {table.name}: {why}", hint=f"A key of it is written {parts}.")


def _integer(form: str) -> Callable[[str], bytes]:
    return lambda word: struct.pack(form, int(word))


def _float(form: str) -> Callable[[str], bytes]:
    return lambda word: struct.pack(form, float(word))


def _text(word: str) -> bytes:
    return word.encode("utf-8")


def _bool(word: str) -> bytes:
    found = {"true": b"\1", "t": b"\1", "1": b"\1", "false": b"\0", "f": b"\0", "0": b"\0"}.get(word.lower())
    if found is None:
        raise ValueError("neither true nor false")
    return found


def _bytea(word: str) -> bytes:
    return bytes.fromhex(word.removeprefix("\\x"))


def _sized(size: int) -> Callable[[str], bytes]:
    def parse(word: str) -> bytes:
        found = bytes.fromhex(word.replace(":", "").replace("-", ""))
        if len(found) != size:
            raise ValueError(f"not {size} bytes")
        return found

    return parse


_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_INFINITE = {"infinity": 1, "-infinity": -1}


def _date(word: str) -> bytes:
    if word in _INFINITE:
        return struct.pack(">i", 2**31 - 1 if _INFINITE[word] > 0 else -(2**31))
    return struct.pack(">i", (date.fromisoformat(word) - _EPOCH.date()).days)


def _time(word: str) -> bytes:
    if word in ("24:00", "24:00:00"):
        return struct.pack(">q", 86_400_000_000)
    found = time.fromisoformat(word)
    if found.tzinfo is not None:
        raise ValueError("a time without a zone is wanted")
    on = datetime.combine(_EPOCH.date(), found, UTC)
    return struct.pack(">q", (on - _EPOCH) // _MICROSECOND)


def _moment(word: str, *, zone: bool) -> bytes:
    if word in _INFINITE:
        return struct.pack(">q", 2**63 - 1 if _INFINITE[word] > 0 else -(2**63))
    found = datetime.fromisoformat(word)
    if found.tzinfo is not None and not zone:
        raise ValueError("a time without a zone is wanted")
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return struct.pack(">q", (found - _EPOCH) // _MICROSECOND)


def _numeric(word: str) -> bytes:
    """Digits, weight, sign, scale, then base-10,000 digits (src/backend/utils/adt/numeric.c, numeric_send)."""
    number = Decimal(word)
    if number.is_nan():
        return struct.pack(">HhHH", 0, 0, 0xC000, 0)
    if number.is_infinite():
        return struct.pack(">HhHH", 0, 0, 0xD000 if number > 0 else 0xF000, 0)
    if abs(number.adjusted()) > 130_000:
        raise ValueError("too large or too small for numeric")
    whole, _, fraction = f"{number.copy_abs():f}".partition(".")  # abs() would round to 28 digits
    left = whole.rjust(-(-len(whole) // 4) * 4, "0")
    right = fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    digits = [int((left + right)[at : at + 4]) for at in range(0, len(left) + len(right), 4)]
    weight, sign = len(left) // 4 - 1, 0x4000 if number < 0 else 0
    return struct.pack(f">HhHH{len(digits)}H", len(digits), weight, sign, len(fraction), *digits)


_TYPES: dict[str, Callable[[str], bytes]] = {
    "int2": _integer(">h"),
    "int4": _integer(">i"),
    "int8": _integer(">q"),
    "oid": _integer(">I"),
    "float4": _float(">f"),
    "float8": _float(">d"),
    "numeric": _numeric,
    "bool": _bool,
    "text": _text,
    "varchar": _text,
    "bpchar": _text,
    "name": _text,
    "char": _text,
    "bytea": _bytea,
    "uuid": lambda word: UUID(word).bytes,
    "macaddr": _sized(6),
    "macaddr8": _sized(8),
    "date": _date,
    "time": _time,
    "timestamp": lambda word: _moment(word, zone=False),
    "timestamptz": lambda word: _moment(word, zone=True),
}
