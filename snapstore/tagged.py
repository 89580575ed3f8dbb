r"""Cells that say their own storage class: for engines where any cell of a column may hold any kind of value.

    cells = encode([1, 0.5, "text", b"\0\0\0\0", None])
    decode(cells)                         # the same list

The class stands in the last byte, so that the one kind that is worth sharing with other tables and engines, a blob of
32-bit elements, is held as it is (format.md §8, SQLite): every other cell gets a length that is no multiple of four.
It knows no engine and no column.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Corrupt
from snapstore.ragged import gather, offsets_of
from snapstore.rows import Cells

__all__ = [
    "BLOB",
    "INTEGER",
    "REAL",
    "TEXT",
    "RawText",
    "Value",
    "classes",
    "decode",
    "decode_one",
    "encode",
    "payload",
]

INTEGER, REAL, TEXT, BLOB, TEXT_LE, TEXT_BE = 1, 2, 3, 4, 5, 6
_FILLED = 0x10
_ENCODINGS = {TEXT: "utf-8", TEXT_LE: "utf-16-le", TEXT_BE: "utf-16-be"}
_TAGS = {name: tag for tag, name in _ENCODINGS.items()}
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class RawText:
    """Text that is none in its own encoding (`utf-8`, `utf-16-le`, `utf-16-be`), kept byte by byte."""

    data: bytes
    encoding: str = "utf-8"


Value: TypeAlias = int | float | str | bytes | RawText | None


def encode(values: Sequence[Value]) -> Cells:
    """One cell for each value; integers are of 64 bits. None is NULL."""
    try:
        return _alike(values)
    except (TypeError, struct.error):
        pass
    kinds = set(map(type, values))
    if kinds <= {type(None)}:
        return Cells.constant(None, len(values))
    if len(kinds) == 2 and type(None) in kinds and RawText not in kinds:
        valid = np.fromiter((value is not None for value in values), np.bool_, len(values))
        return spread(_alike([value for value in values if value is not None]), valid)
    return Cells.of([None if value is None else _encode_one(value) for value in values])


def _alike(values: Sequence[Any]) -> Cells:
    """The cells of values of one class, which the first one tells: what turns them all at once takes no others.

    Raises `TypeError` or `struct.error` where there are others. To ask each for its class costs as much as turning it.
    """
    kind = type(values[0]) if values else None
    if kind is str:
        return _tagged(*joined_text(values), TEXT)
    if kind is int:
        return _numbers(struct.pack(f">{len(values)}q", *values), INTEGER)
    if kind is float and set(map(type, values)) == {float}:  # an integer would pass for a real
        return _numbers(struct.pack(f">{len(values)}d", *values), REAL)
    if kind is bytes:
        return _blobs(values)
    raise TypeError("not of one class, or of one that cannot be turned at once")


def joined_text(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """UTF-8 of these texts end to end, and the length of each in bytes."""
    whole = "".join(texts)
    if whole.isascii():
        return np.frombuffer(whole.encode("ascii"), np.uint8), np.fromiter(map(len, texts), np.int64, len(texts))
    plain = [text.encode() for text in texts]
    return np.frombuffer(b"".join(plain), np.uint8), np.fromiter(map(len, plain), np.int64, len(plain))


def spread(cells: Cells, valid: NDArray[np.bool_]) -> Cells:
    """Variable cells with a NULL wherever `valid` is False."""
    lengths = np.zeros(len(valid), np.int64)
    lengths[valid] = cells.lengths
    return Cells(0, cells.data, offsets_of(lengths), valid)


def decode(cells: Cells) -> list[Value]:
    """The values of these cells. Raises `Corrupt` for a cell that is none."""
    return [None if cell is None else decode_one(cell) for cell in cells.to_list()]


def decode_one(cell: bytes) -> Value:
    """The value of a cell that is not NULL."""
    tag, body = _parted(cell)
    if tag == BLOB:
        return body
    if tag in (INTEGER, REAL):
        number: int | float = struct.unpack(">q" if tag == INTEGER else ">d", body)[0]
        return number
    try:
        text = body.decode(_ENCODINGS[tag])
    except UnicodeDecodeError:
        return RawText(body, _ENCODINGS[tag])
    return text


def classes(cells: Cells) -> NDArray[np.uint8]:
    """The class of each cell, 0 for NULL; text is `TEXT` only if it is UTF-8, as nearly all is."""
    lengths, ends = cells.lengths, cells.offsets[1:]
    tags = np.full(len(cells), BLOB, np.uint8)
    tagged = lengths % 4 != 0
    tags[tagged] = cells.data[ends[tagged] - 1] & ~np.uint8(_FILLED)
    if cells.valid is not None:
        tags[~cells.valid] = 0
    return tags


def payload(cells: Cells) -> Cells:
    """The bytes of each value without its class."""
    lengths, ends = cells.lengths, cells.offsets[1:]
    kept = lengths.copy()
    tagged = np.flatnonzero(lengths % 4)
    kept[tagged] -= 1 + (cells.data[ends[tagged] - 1] & _FILLED != 0)
    return Cells(0, gather(cells.data, cells.offsets[:-1], kept), offsets_of(kept), cells.valid)


def _encode_one(value: int | float | str | bytes | RawText) -> bytes:
    if isinstance(value, bytes):
        return value if len(value) % 4 == 0 else _closed(value, BLOB)
    if isinstance(value, str):
        return _closed(value.encode(), TEXT)
    if isinstance(value, RawText):
        return _closed(value.data, _TAGS[value.encoding])
    if isinstance(value, int):
        return _closed(struct.pack(">q", value), INTEGER)
    return _closed(struct.pack(">d", value), REAL)


def _closed(body: bytes, tag: int) -> bytes:
    if len(body) % 4 == 3:
        return body + bytes((0, tag | _FILLED))
    return body + bytes((tag,))


def _parted(cell: bytes) -> tuple[int, bytes]:
    if len(cell) % 4 == 0:
        return BLOB, cell
    tag, body = cell[-1] & ~_FILLED, cell[:-1]
    if cell[-1] & _FILLED:
        if body[-1:] != b"\0":
            raise Corrupt(f"a cell of {len(cell)} bytes has a wrong filler")
        body = body[:-1]
    is_right = len(body) == 8 if tag in (INTEGER, REAL) else tag in _ENCODINGS or (tag == BLOB and len(body) % 4)
    if not is_right or _closed(body, tag) != cell:
        raise Corrupt(f"a cell of {len(cell)} bytes is of no storage class (its last byte is {cell[-1]})")
    return tag, body


def _numbers(numbers: bytes, tag: int) -> Cells:
    count = len(numbers) // 8
    rows = np.empty((count, 9), np.uint8)
    rows[:, :8] = np.frombuffer(numbers, np.uint8).reshape(-1, 8)
    rows[:, 8] = tag
    return Cells(0, rows.reshape(-1), np.arange(count + 1, dtype=np.int64) * 9)


def _blobs(blobs: Sequence[bytes]) -> Cells:
    lengths = np.fromiter(map(len, blobs), np.int64, len(blobs))
    if (lengths % 4).any():
        return Cells.of([_encode_one(blob) for blob in blobs])
    return Cells(0, np.frombuffer(b"".join(blobs), np.uint8), offsets_of(lengths))


def _tagged(data: NDArray[np.uint8], lengths: NDArray[np.int64], tag: int) -> Cells:
    filled = lengths % 4 == 3
    offsets = offsets_of(lengths + 1 + filled)
    last = offsets[1:] - 1
    # The texts lie in `data` as they will in `out`, but for the gaps: a flag a byte is moved by faster than an index.
    is_text = np.ones(int(offsets[-1]), np.bool_)
    is_text[last] = False
    is_text[last[filled] - 1] = False
    out = np.zeros(len(is_text), np.uint8)
    out[is_text] = data
    out[last] = np.where(filled, tag | _FILLED, tag)
    return Cells(0, out, offsets)
