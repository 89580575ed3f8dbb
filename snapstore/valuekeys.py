"""Keys of values of any storage class, in the order SQLite gives them: numbers, then text, then blobs (format.md §8).

    encoded = encode_values("value", tagged_cells, last=True)
    cells, after = decode_values("value", data, starts, ends, last=True)

Text is ordered by its bytes; `nocase` and `rtrim` are the engine's two collations that are no more than a way to write
the bytes, so two texts that are equal to the engine are one key. Integers and reals share one order, exactly.
"""

from __future__ import annotations

import math
import struct

import numpy as np
from numpy.typing import NDArray

from snapstore import tagged
from snapstore.errors import Corrupt, Invalid
from snapstore.rows import Cells, interleave

__all__ = ["ENCODINGS", "decode_values", "encode_values"]

ENCODINGS = ("value", "nocase", "rtrim")

_NUMBER, _TEXT, _BLOB = 0x10, 0x20, 0x30
_NUMBER_BYTES = 11
_SIGN = 1 << 63
_ALL = (1 << 64) - 1
_FOLD = bytes.maketrans(bytes(range(65, 91)), bytes(range(97, 123)))


def encode_values(encoding: str, cells: Cells, *, last: bool) -> Cells:
    """Key bytes of tagged cells, none NULL; unless it is the last part of the key each ends where it says."""
    if last and encoding == "value" and (tagged.classes(cells) == tagged.TEXT).all():
        body = tagged.payload(cells)  # by far the most keys: text alone
        return interleave([Cells.constant(bytes((_TEXT,)), len(cells), width=1), body])
    return Cells.of([_encoded(encoding, value, last=last) for value in tagged.decode(cells)])


def decode_values(
    data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64], *, last: bool
) -> tuple[Cells, NDArray[np.int64]]:
    """Tagged cells, and where the next part begins. Raises `Corrupt` for bytes that are no key."""
    plain = data.tobytes()
    values: list[tagged.Value] = []
    after: list[int] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        value, stop = _decoded(plain, start, end, last=last)
        values.append(value)
        after.append(stop)
    return tagged.encode(values), np.asarray(after, np.int64)


def _encoded(encoding: str, value: tagged.Value, *, last: bool) -> bytes:
    if isinstance(value, int | float):
        return bytes((_NUMBER,)) + _number(value)
    if isinstance(value, bytes):
        return bytes((_BLOB,)) + _ended(value, last=last)
    if isinstance(value, tagged.RawText):
        if value.encoding != "utf-8":
            raise Invalid("a key holds text that is none, in UTF-16, which has no place among keys")
        value_bytes = value.data
    elif isinstance(value, str):
        value_bytes = value.encode()
    else:
        raise Invalid("a key holds NULL")
    if encoding == "nocase":
        value_bytes = value_bytes.translate(_FOLD)
    elif encoding == "rtrim":
        value_bytes = value_bytes.rstrip(b" ")
    return bytes((_TEXT,)) + _ended(value_bytes, last=last)


def _ended(body: bytes, *, last: bool) -> bytes:
    return body if last else body.replace(b"\0", b"\0\xff") + b"\0\0"


def _number(value: int | float) -> bytes:
    """The greatest double that is not greater, in order-preserving bytes, then 0 for a real, else 1 + what is left."""
    if isinstance(value, float):
        return _ordered(value) + b"\0\0"
    below = float(value)
    if int(below) > value:
        below = math.nextafter(below, -math.inf)
    return _ordered(below) + struct.pack(">H", value - int(below) + 1)


def _ordered(number: float) -> bytes:
    (bits,) = struct.unpack(">Q", struct.pack(">d", number))
    return struct.pack(">Q", bits ^ _ALL if bits & _SIGN else bits ^ _SIGN)


def _decoded(data: bytes, start: int, end: int, *, last: bool) -> tuple[tagged.Value, int]:
    tag = data[start] if start < end else 0
    start += 1
    if tag == _NUMBER:
        if start + _NUMBER_BYTES - 1 > end:
            raise Corrupt("a key ends within a number")
        turned, rest = struct.unpack_from(">QH", data, start)
        (below,) = struct.unpack(">d", struct.pack(">Q", turned ^ _SIGN if turned & _SIGN else turned ^ _ALL))
        return (int(below) + rest - 1 if rest else below), start + _NUMBER_BYTES - 1
    if tag not in (_TEXT, _BLOB):
        raise Corrupt(f"a key has a part of no storage class (its first byte is {tag})")
    body, after = (data[start:end], end) if last else _body(data, start, end)
    if tag == _BLOB:
        return body, after
    try:
        return body.decode(), after
    except UnicodeDecodeError:
        return tagged.RawText(body), after


def _body(data: bytes, start: int, end: int) -> tuple[bytes, int]:
    stop = data.find(b"\0\0", start, end)
    if stop < 0:
        raise Corrupt("a key ends within a text or blob")
    body = data[start:stop]
    if body.count(b"\0") != body.count(b"\0\xff"):
        raise Corrupt("a key has a bare zero in a text or blob")
    return body.replace(b"\0\xff", b"\0"), stop + 2
