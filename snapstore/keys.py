"""Order-preserving keys: the columns of a primary key as one byte string whose plain byte order is the server's order.

    parts = (KeyPart("tenant", "pg_catalog.text", "bytes"), KeyPart("id", "pg_catalog.int8", "int8"))
    keys = encode(parts, (tenants, ids))
    tenants, ids = decode(parts, keys)

Cells are PostgreSQL's big-endian binary forms, or tagged values (`snapstore.valuekeys`). The encodings are
format.md §8; a whole batch is turned at once, column by column. This module does not know tables, and never sees a
collation: text is ordered by its bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Corrupt, Invalid
from snapstore.ragged import gather, offsets_of, positions
from snapstore.rows import Cells, KeyPart, interleave
from snapstore.valuekeys import ENCODINGS, decode_values, encode_values

__all__ = ["decode", "decode_equal", "encode", "is_ascending"]

_INTEGERS = {"int2", "int4", "int8"}
_FLOATS = {"float4", "float8"}


def encode(parts: Sequence[KeyPart], cells: Sequence[Cells]) -> Cells:
    """Keys from the cells of each part, none NULL. At least one part. Raises `Invalid` for a NULL or a wrong width."""
    pieces = []
    for at, (part, column) in enumerate(zip(parts, cells, strict=True)):
        if column.valid is not None and not column.valid.all():
            raise Invalid(f"the key column {part.name} is NULL in some row", hint="a key must identify every row")
        pieces.append(_encode(part, column, last=at == len(parts) - 1))
    return interleave(pieces)


def decode(parts: Sequence[KeyPart], keys: Cells) -> tuple[Cells | None, ...]:
    """The cells of each part, None for parts whose encoding loses something. Raises `Corrupt` naming the part."""
    equal = decode_equal(parts, keys)
    return tuple(cells if part.lossless else None for part, cells in zip(parts, equal, strict=True))


def decode_equal(parts: Sequence[KeyPart], keys: Cells) -> tuple[Cells, ...]:
    """Cells of each part that the server holds equal to the row's own, which is enough to find the row: where the
    encoding loses something, 0 for -0, one NaN for all, 1.5 for 1.500. Raises `Corrupt` naming the part.
    """
    starts, ends = keys.offsets[:-1], keys.offsets[1:]
    cells: list[Cells] = []
    for at, part in enumerate(parts):
        column, starts = _decode(part, keys.data, starts, ends, last=at == len(parts) - 1)
        cells.append(column)
    if not np.array_equal(starts, ends):
        raise Corrupt("a key has bytes after its last part")
    return tuple(cells)


def is_ascending(keys: Cells) -> bool:
    """Whether every key is greater than the one before it, in plain byte order."""
    if keys.width in (1, 2, 4, 8):
        numbers = keys.data.view(f">u{keys.width}").astype(f"u{keys.width}")
        return bool((numbers[1:] > numbers[:-1]).all())
    if keys.width == 16:
        halves = keys.data.view(">u8").astype("u8").reshape(-1, 2)
        high, low = halves[:, 0], halves[:, 1]
        return bool(((high[1:] > high[:-1]) | ((high[1:] == high[:-1]) & (low[1:] > low[:-1]))).all())
    plain = keys.to_list()
    return all(before < after for before, after in pairwise(plain))  # type: ignore[operator]  # none is None


def _encode(part: KeyPart, cells: Cells, *, last: bool) -> Cells:
    size = part.width
    if size:
        if not (cells.lengths == size).all():
            raise Invalid(f"a cell of the key column {part.name} is not {size} bytes long")
        rows = cells.data.reshape(-1, size)
        if part.encoding in _INTEGERS:
            rows = rows.copy()
            rows[:, 0] ^= 0x80
        elif part.encoding in _FLOATS:
            rows = _encode_floats(cells.data, size)
        return Cells.fixed(rows)
    if part.encoding == "numeric":
        return _encode_numerics(part, cells)
    if part.encoding in ENCODINGS:
        return encode_values(part.encoding, cells, last=last)
    if part.encoding != "bytes":
        raise Invalid(f"the key column {part.name} has the unknown encoding {part.encoding!r}")
    return Cells(0, cells.data, cells.offsets) if last else _escape(cells)


def _decode(
    part: KeyPart, data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64], *, last: bool
) -> tuple[Cells, NDArray[np.int64]]:
    """The cells of one part and where the next part begins."""
    size = part.width
    if size:
        if (starts + size > ends).any():
            raise Corrupt(f"a key ends within its part {part.name}")
        after = starts + size
        rows = gather(data, starts, np.full(len(starts), size, np.int64)).reshape(-1, size)
        if part.encoding in _INTEGERS:
            rows = rows.copy()
            rows[:, 0] ^= 0x80
        elif part.encoding in _FLOATS:
            rows = _decode_floats(rows, size)
        return Cells.fixed(rows), after
    if part.encoding == "numeric":
        after = _skip_numerics(part, data, starts, ends)
        return _decode_numerics(data, starts, after), after
    if part.encoding in ENCODINGS:
        return decode_values(data, starts, ends, last=last)
    if part.encoding != "bytes":
        raise Corrupt(f"the key part {part.name} has the unknown encoding {part.encoding!r}")
    if last:
        lengths = ends - starts
        return Cells(0, gather(data, starts, lengths), offsets_of(lengths)), ends
    return _unescape(part, data, starts, ends)


def _encode_floats(data: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    bits: NDArray[Any] = data.view(f">u{size}").astype(f"u{size}")
    values = bits.view(f"f{size}")
    sign = bits.dtype.type(1 << (8 * size - 1))
    turned = np.where(bits >= sign, ~bits, bits ^ sign)
    turned[values == 0] = sign  # -0 stands where 0 stands
    turned[np.isnan(values)] = ~bits.dtype.type(0)  # PostgreSQL: all NaN are equal, above everything
    return turned.astype(f">u{size}").view(np.uint8).reshape(-1, size)


def _decode_floats(rows: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    bits: NDArray[Any] = rows.reshape(-1).view(f">u{size}").astype(f"u{size}")
    sign = bits.dtype.type(1 << (8 * size - 1))
    turned = np.where(bits >= sign, bits ^ sign, ~bits)
    turned[bits == ~bits.dtype.type(0)] = np.array(np.nan, f"f{size}").view(f"u{size}")
    return turned.astype(f">u{size}").view(np.uint8).reshape(-1, size)


def _escape(cells: Cells) -> Cells:
    """Every 00 as 00 FF, then 00 00."""
    zeros = np.flatnonzero(cells.data == 0)
    offsets = cells.offsets + np.searchsorted(zeros, cells.offsets)
    data = np.insert(cells.data, zeros + 1, 0xFF) if len(zeros) else cells.data
    end = Cells.constant(b"\0\0", len(cells), width=2)
    return interleave([Cells(0, data, offsets), end])


def _unescape(
    part: KeyPart, data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[Cells, NDArray[np.int64]]:
    # Within the escaped bytes 00 is always followed by FF, so the first 00 00 from the start is the end.
    pairs = np.flatnonzero((data[:-1] == 0) & (data[1:] == 0))
    place = np.searchsorted(pairs, starts)
    if (place == len(pairs)).any():
        raise Corrupt(f"a key ends within its part {part.name}")
    stops = pairs[place]
    if (stops + 2 > ends).any():
        raise Corrupt(f"a key ends within its part {part.name}")
    escaped = gather(data, starts, stops - starts)
    zeros = np.flatnonzero(escaped == 0)
    offsets = offsets_of(stops - starts)
    if len(zeros):
        if not (escaped[zeros + 1] == 0xFF).all():
            raise Corrupt(f"a key has a bare zero in its part {part.name}")
        offsets = offsets - np.searchsorted(zeros, offsets)
        escaped = np.delete(escaped, zeros + 1)
    return Cells(0, escaped, offsets), stops + 2


# Numeric: the first byte says which kind of number.
_MINUS_INFINITY, _NEGATIVE, _ZERO, _POSITIVE, _INFINITY, _NAN = range(6)
_SIGNS = {0x0000: _POSITIVE, 0x4000: _NEGATIVE, 0xC000: _NAN, 0xD000: _INFINITY, 0xF000: _MINUS_INFINITY}
_SIGN_OF = np.array([0xF000, 0x4000, 0x0000, 0x0000, 0xD000, 0xC000], np.uint16)


def _encode_numerics(part: KeyPart, cells: Cells) -> Cells:
    """From PostgreSQL's binary numeric: u16 digits, i16 weight, u16 sign, u16 scale, then base-10,000 digits."""
    if (cells.lengths < 8).any() or (cells.lengths % 2).any():
        raise Invalid(f"a cell of the key column {part.name} is not a binary numeric")
    words = cells.data.view(">u2").astype(np.int64)
    head = cells.offsets[:-1] // 2
    if not np.array_equal(words[head] * 2 + 8, cells.lengths):
        raise Invalid(f"a cell of the key column {part.name} is not a binary numeric")
    kinds = np.full(len(cells), -1, np.int64)
    for sign, kind in _SIGNS.items():
        kinds[words[head + 2] == sign] = kind
    if (kinds < 0).any():
        raise Invalid(f"a cell of the key column {part.name} has an unknown numeric sign")

    # The digits that count: from the first that is not zero to the last.
    is_digit = np.ones(len(words), np.bool_)
    is_digit[positions(head, np.full(len(cells), 4, np.int64))] = False
    nonzero = np.flatnonzero(is_digit & (words != 0))
    first, last = np.searchsorted(nonzero, head), np.searchsorted(nonzero, cells.offsets[1:] // 2)
    finite = (kinds == _POSITIVE) | (kinds == _NEGATIVE)
    kinds[finite & (first == last)] = _ZERO
    digits = finite & (first < last)
    begin, end = nonzero[first[digits]], nonzero[last[digits] - 1] + 1
    weights = words[head + 1][digits]
    weights = np.where(weights >= 32768, weights - 65536, weights) - (begin - head[digits] - 4)

    # Weight, digits each plus one, 0; all inverted where negative.
    counts = np.zeros(len(cells), np.int64)
    counts[digits] = end - begin + 2
    body = np.zeros(int(counts.sum()), np.uint16)
    place = offsets_of(counts[digits])[:-1]
    body[place] = weights + 32768
    body[positions(place + 1, end - begin)] = words[positions(begin, end - begin)] + 1
    negative = np.repeat(kinds[digits] == _NEGATIVE, counts[digits])
    body[negative] = ~body[negative]
    return interleave(
        [
            Cells.fixed(kinds.astype(np.uint8).reshape(-1, 1)),
            Cells(0, body.astype(">u2").view(np.uint8), offsets_of(counts * 2)),
        ]
    )


def _decode_numerics(data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Cells:
    """PostgreSQL's binary numerics, with the smallest scale that holds all digits."""
    kinds = data[starts]
    body = gather(data, starts + 1, ends - starts - 1).copy().view(">u2").astype(np.uint16)
    counts = (ends - starts - 1) // 2
    negative = np.repeat(kinds == _NEGATIVE, counts)
    body[negative] = ~body[negative]
    digits = np.maximum(counts - 2, 0)  # besides the weight and the end
    words = np.zeros(int((4 + digits).sum()), np.uint16)
    head = offsets_of(4 + digits)[:-1]
    place = offsets_of(counts)[:-1]
    some = counts > 0
    weights = body[place[some]].astype(np.int64) - 32768
    words[head] = digits
    words[head[some] + 1] = weights.astype(np.int16).view(np.uint16)
    words[head + 2] = _SIGN_OF[kinds]
    words[head[some] + 3] = np.maximum(digits[some] - 1 - weights, 0) * 4
    words[positions(head + 4, digits)] = body[positions(place + 1, digits)] - 1
    return Cells(0, words.astype(">u2").view(np.uint8), offsets_of((4 + digits) * 2))


def _skip_numerics(
    part: KeyPart, data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Where the encoded numerics end."""
    if (starts >= ends).any():
        raise Corrupt(f"a key ends within its part {part.name}")
    kinds = data[starts]
    if (kinds > _NAN).any():
        raise Corrupt(f"a key has an unknown kind of number in its part {part.name}")
    after = starts + 1
    moving = np.flatnonzero((kinds == _POSITIVE) | (kinds == _NEGATIVE))
    stop = np.where(kinds == _NEGATIVE, 0xFF, 0)
    after[moving] += 2
    while len(moving):  # one round a digit: a numeric has few
        at = after[moving]
        if (at + 2 > ends[moving]).any():
            raise Corrupt(f"a key ends within its part {part.name}")
        after[moving] += 2
        moving = moving[(data[at] != stop[moving]) | (data[at + 1] != stop[moving])]
    return after
