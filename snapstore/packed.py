"""msgpack out of a store, that anybody may have written: plain values, or `Corrupt` (format.md §8).

    fields = unpack(body, "snapshots/1f…")

A list of nothing is one byte there and some seventy here, so a document is at most `MOST_BYTES`, which its writers are
held to as well (`pack`). It does not know what a document says.
"""

from __future__ import annotations

from typing import Any

import msgpack

from snapstore.errors import Corrupt, Unsupported

__all__ = ["MOST_BYTES", "pack", "unpack"]

MOST_BYTES = 16 << 20


def pack(value: Any, what: str) -> bytes:
    """The value as a document. Raises `Unsupported`, naming `what`, for one that nobody would read again."""
    packed: bytes = msgpack.packb(value)
    if len(packed) > MOST_BYTES:
        raise Unsupported(
            f"{what} would take {len(packed):,} bytes to describe, and at most {MOST_BYTES:,} are read",
            hint="Put fewer tables and objects into one of them.",
        )
    return packed


def unpack(data: bytes, what: str) -> Any:
    """The value of a document. Raises `Corrupt`, naming `what`, for one that is none or too large."""
    if len(data) > MOST_BYTES:
        raise Corrupt(f"{what} is damaged: a document of {len(data):,} bytes, and at most {MOST_BYTES:,} are written")
    if _claimed(data) > len(data):
        raise Corrupt(f"{what} is damaged: it claims more elements than it has bytes")
    try:
        return msgpack.unpackb(data, strict_map_key=True)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise Corrupt(f"{what} is damaged: it cannot be read ({error})") from error


def _claimed(data: bytes) -> int:
    """How many elements all lists say they have, each of at least one byte.

    The library makes room for them when it reads the number: lists in lists that each claim the rest of the document
    would take its square. Short ones (up to 15) are not worth a look, nor are maps, which grow as they are filled.
    """
    if b"\xdc" not in data and b"\xdd" not in data:
        return 0
    at, end, claimed = 0, len(data), 0
    while at < end:
        first = data[at]
        size = _SIZES[first]
        if size < 0:  # so many bytes of a length follow, then what it counts
            width = -size
            length = int.from_bytes(data[at + 1 : at + 1 + width], "big")
            size = 1 + width + length + (1 if 0xC7 <= first <= 0xC9 else 0)
        elif first in (0xDC, 0xDD):
            claimed += int.from_bytes(data[at + 1 : at + size], "big")
        at += size
    return claimed


def _size(first: int) -> int:
    """The bytes of what begins with this one, of a list or map its head; negative where a length of so many says."""
    if 0xA0 <= first <= 0xBF:
        return 1 + (first & 31)
    return _OF_SIZE.get(first, 1)


_OF_SIZE = {0xC4: -1, 0xC5: -2, 0xC6: -4, 0xC7: -1, 0xC8: -2, 0xC9: -4, 0xD9: -1, 0xDA: -2, 0xDB: -4}
_OF_SIZE |= {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}
_OF_SIZE |= {0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18, 0xDC: 3, 0xDD: 5, 0xDE: 3, 0xDF: 5}
_SIZES = [_size(first) for first in range(256)]
