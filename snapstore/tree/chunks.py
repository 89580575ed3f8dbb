"""Many chunks of one column back to cells at once: what a restore and a wide diff read by (format.md §4, Chunk blob).

    cells = decode_run(blobs, "public.events: heat", width=4, counts=[31, 40, 9, …])

As strict as `snapstore.tree.chunk.decode`, which says what a chunk is and takes a few of them; here numpy walks the
heads, bitmaps, lengths and byte planes of all chunks together, so that a chunk costs no Python of its own (measured: a
tenth). A test holds the two against each other, byte for byte of damage.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from snapstore.digest import DIGEST_BYTES
from snapstore.errors import Corrupt
from snapstore.ragged import gather, offsets_of, positions
from snapstore.rows import Cells
from snapstore.tree.chunk import FIXED, HAS_NULLS, PARTS_MARK, VALUE_MARK, VARIABLE, WIDE, decode

__all__ = ["decode_run"]

_FEW = 8
"""Chunks that are decoded sooner one by one."""

_FIXED_HEAD_BYTES, _VARIABLE_HEAD_BYTES = 8, 6

Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]


def decode_run(chunks: Sequence[bytes], what: str, *, width: int, counts: Sequence[int]) -> Cells:
    """The cells of these chunks, one after the other; `width` and `counts` are what the schema and the parents say.

    Raises `Corrupt`, naming `what`, for anything that `encode` would not have written.
    """
    if len(chunks) < _FEW:
        return decode(chunks, what, width=width, counts=counts)
    if max(counts) >= 1 << 32:
        raise Corrupt(f"{what}: a chunk of {max(counts)} rows")
    rows = np.asarray(counts, np.int64)
    sizes = np.fromiter(map(len, chunks), np.int64, len(chunks))
    head = _FIXED_HEAD_BYTES if width else _VARIABLE_HEAD_BYTES
    if (sizes < head).any():
        raise Corrupt(f"{what}: a chunk of {int(sizes.min())} bytes")
    data = np.frombuffer(b"".join(chunks), np.uint8)
    starts = offsets_of(sizes)[:-1]
    heads = data[starts[:, None] + np.arange(head)]
    said = np.ascontiguousarray(heads[:, :4]).view("<u4").reshape(-1).astype(np.int64)
    if (heads[:, 4] != (FIXED if width else VARIABLE)).any() or (said != rows).any() or (rows < 1).any():
        raise Corrupt(f"{what}: a chunk of other rows or of another form than was expected")
    flags = heads[:, 5]
    has_nulls = (flags & HAS_NULLS) > 0
    bitmaps = np.where(has_nulls, -(-rows // 8), 0)
    if width:
        own_width = np.ascontiguousarray(heads[:, 6:8]).view("<u2").reshape(-1)
        if (own_width != width).any() or (flags > HAS_NULLS).any() or (sizes != head + bitmaps + rows * width).any():
            raise Corrupt(f"{what}: a fixed chunk whose size, width or flags do not fit")
        valid = _valid(data, starts + head, rows, bitmaps, what)
        cells = Cells.fixed(_fixed(data, starts + head + bitmaps, rows, width), valid)
        if valid is not None and cells.rows[~valid].any():
            raise Corrupt(f"{what}: a NULL with bytes")
        return cells
    elements = np.where(flags & WIDE, 2, 1)
    if (flags > (HAS_NULLS | WIDE)).any() or (sizes < head + bitmaps + elements * rows).any():
        raise Corrupt(f"{what}: a variable chunk whose flags or lengths do not fit")
    valid = _valid(data, starts + head, rows, bitmaps, what)
    return _variable(data, starts + head + bitmaps, starts + sizes, rows, elements, valid, what)


def _valid(data: Bytes, places: Integers, rows: Integers, bitmaps: Integers, what: str) -> NDArray[np.bool_] | None:
    """Which rows are not NULL, from the bitmaps at these places; None if no chunk has one."""
    having = np.flatnonzero(bitmaps)
    if not len(having):
        return None
    bits = np.unpackbits(data[positions(places[having], bitmaps[having])], bitorder="little")
    first = offsets_of(bitmaps[having] * 8)[:-1]
    own = bits[positions(first, rows[having])]
    is_full = np.add.reduceat(own, offsets_of(rows[having])[:-1], dtype=np.int64) == rows[having]
    if int(bits.sum(dtype=np.int64)) != int(own.sum(dtype=np.int64)) or is_full.any():
        raise Corrupt(f"{what}: a bitmap with bits that should not be")
    valid = np.ones(int(rows.sum()), np.bool_)
    valid[positions(offsets_of(rows)[:-1][having], rows[having])] = own
    return valid


def _fixed(data: Bytes, places: Integers, rows: Integers, width: int) -> Bytes:
    """The cells whose byte planes begin at these places, chunk by chunk: shape (n, width)."""
    at = positions(places, rows)
    step = np.repeat(rows, rows)
    planes = np.empty((width, len(at)), np.uint8)
    for plane in planes:
        np.take(data, at, out=plane, mode="clip")  # in bounds: the sizes were checked
        at += step
    return planes.T


def _variable(
    data: Bytes,
    places: Integers,
    ends: Integers,
    rows: Integers,
    elements: Integers,
    valid: NDArray[np.bool_] | None,
    what: str,
) -> Cells:
    """Cells whose lengths, of `elements` bytes each, begin at these places, and whose bytes follow them."""
    firsts = offsets_of(rows)[:-1]
    if (elements == 1).all():
        lengths = data[positions(places, rows)].astype(np.int64)
    else:
        # Each row's place among the lengths of its chunk, times the bytes of a length there.
        element = np.repeat(elements, rows)
        at = np.repeat(places, rows) + (np.arange(len(element)) - np.repeat(firsts, rows)) * element
        lengths = data[at].astype(np.int64)
        is_wide = element == 2
        lengths[is_wide] |= data[at[is_wide] + 1].astype(np.int64) << 8
        if (np.maximum.reduceat(lengths, firsts)[elements == 2] <= 255).any():
            raise Corrupt(f"{what}: lengths wider than they need be")
    spilled = None
    if (lengths >= PARTS_MARK).any():
        spilled = (lengths == VALUE_MARK).astype(np.uint8) + 2 * (lengths == PARTS_MARK).astype(np.uint8)
        lengths = np.where(spilled > 0, DIGEST_BYTES, lengths)
    bodies = places + elements * rows
    sizes = np.add.reduceat(lengths, firsts)
    if (bodies + sizes != ends).any():
        raise Corrupt(f"{what}: a variable chunk whose cells do not fill it")
    offsets = offsets_of(lengths)
    if valid is not None and (np.diff(offsets)[~valid]).any():
        raise Corrupt(f"{what}: a NULL with bytes")
    return Cells(0, gather(data, bodies, sizes), offsets, valid, spilled)
