"""Chunks: the cells of one column between two cuts, as bytes and back (format.md §4, Chunk blob).

    [(ref, data)] = encode(cells, [0], [len(cells)])
    decode([data], "chunk 1f…")

Encoding is vectorised over a batch, with two slices and a digest left a chunk; there is one encoding of given cells.
Decoding is for a few chunks; `snapstore.tree.chunks` does many. It does not know where chunks end
(`snapstore.tree.cuts`) or that large cells have become values (`snapstore.tree.values`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from snapstore.digest import DIGEST_BYTES, digest
from snapstore.errors import Corrupt
from snapstore.ragged import offsets_of, positions
from snapstore.rows import Cells
from snapstore.tree import reference
from snapstore.tree.reference import Ref

__all__ = ["VALUE_MARK", "decode", "decode_constant", "differing", "encode"]

FIXED, VARIABLE = 1, 2
HAS_NULLS, WIDE = 1, 2
VALUE_MARK, PARTS_MARK = 65535, 65534
_FIXED_HEAD = struct.Struct("<IBBH")
_VARIABLE_HEAD = struct.Struct("<IBB")
_VARIABLE_ARRAY = np.dtype([("rows", "<u4"), ("form", "u1"), ("flags", "u1")])
_FIXED_ARRAY = np.dtype([("rows", "<u4"), ("form", "u1"), ("flags", "u1"), ("width", "<u2")])


def encode(
    cells: Cells, starts: Sequence[int], stops: Sequence[int], *, is_key: bool = False
) -> list[tuple[Ref, bytes]]:
    """For each chunk `starts[i] ≤ row < stops[i]` its reference and its bytes; no bytes where it is a constant.

    The chunks lie end to end. Keys are never constants (format.md §4).
    """
    if not starts:
        return []
    firsts, rows = np.asarray(starts, np.int64), np.asarray(stops, np.int64) - np.asarray(starts, np.int64)
    nullable = np.zeros(len(starts), np.bool_)
    if cells.valid is not None:
        nullable = np.logical_or.reduceat(~cells.valid[: stops[-1]], firsts)
    bodies = (_fixed if cells.width else _variable)(cells, firsts, rows, nullable)
    names = [digest(body) for body in bodies]
    if cells.spilled is None:
        encoded = [(reference.blob(name, spills=False), body) for name, body in zip(names, bodies, strict=True)]
    else:
        spilling = (np.maximum.reduceat(cells.spilled[: stops[-1]], firsts) > 0).tolist()
        encoded = [
            (reference.blob(name, spills=spills), body)
            for name, body, spills in zip(names, bodies, spilling, strict=True)
        ]
    if not is_key:
        for at in np.flatnonzero(_constant(cells, starts, stops)).tolist():
            spilled = 0 if cells.spilled is None else int(cells.spilled[starts[at]])
            encoded[at] = reference.constant(cells[starts[at]], spilled), b""
    return encoded


def _constant(cells: Cells, starts: Sequence[int], stops: Sequence[int]) -> NDArray[np.bool_]:
    """Which chunks have one cell only, small enough to stand in a reference."""
    count = len(cells)
    breaks = np.zeros(count + 1, np.int64)
    differs = np.zeros(count, np.bool_)
    if cells.width:
        differs[1:] = differing(cells.rows[1:], cells.rows[:-1])
    else:
        lengths = cells.lengths
        differs[1:] = lengths[1:] != lengths[:-1]
        differs |= lengths > reference.CONSTANT_BYTES
    for flags in (cells.valid, cells.spilled):
        if flags is not None:
            differs[1:] |= flags[1:] != flags[:-1]
    np.cumsum(differs, out=breaks[1:])
    first = np.asarray(starts, np.int64)
    alike: NDArray[np.bool_] = breaks[np.asarray(stops, np.int64)] == breaks[first + 1]
    if cells.width:
        return alike & (cells.width <= reference.CONSTANT_BYTES)
    alike &= cells.lengths[first] <= reference.CONSTANT_BYTES
    # Most chunks are told apart by their first and last cell; the others are looked at whole.
    likely = np.flatnonzero(alike & (cells.lengths[first] > 0))
    if len(likely):
        lengths = cells.lengths[first[likely]]
        last = np.asarray(stops, np.int64)[likely] - 1
        differing_bytes = (
            cells.data[positions(cells.offsets[first[likely]], lengths)]
            != cells.data[positions(cells.offsets[last], lengths)]
        )
        alike[likely] = ~np.logical_or.reduceat(differing_bytes, offsets_of(lengths)[:-1])
    for at in np.flatnonzero(alike).tolist():
        start, stop = starts[at], stops[at]
        low, high = cells.offsets[start], cells.offsets[stop]
        body = cells.data[low:high].tobytes()
        alike[at] = body == body[: len(body) // (stop - start)] * (stop - start)
    return alike


def differing(mine: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which rows of two arrays of shape (n, width) differ, shape (n,); compared as numbers where the width allows."""
    width = mine.shape[1]
    if width in (1, 2, 4, 8):
        numbers: NDArray[np.bool_] = (mine.view(f"u{width}") != theirs.view(f"u{width}")).reshape(-1)
        return numbers
    differs: NDArray[np.bool_] = (mine != theirs).any(axis=1)
    return differs


def _fixed(
    cells: Cells, firsts: NDArray[np.int64], rows: NDArray[np.int64], nullable: NDArray[np.bool_]
) -> list[bytes]:
    """All chunks in one buffer, byte plane by byte plane; a chunk is a slice of it."""
    heads = np.zeros(len(rows), _FIXED_ARRAY)
    heads["rows"], heads["form"], heads["flags"], heads["width"] = rows, FIXED, nullable * HAS_NULLS, cells.width
    out, ends, at = _headed(heads, cells, firsts, rows, nullable, rows * cells.width)
    place, step = positions(at, rows), np.repeat(rows, rows)
    for plane in cells.rows[: len(place)].T:
        out[place] = plane
        place += step
    return _cut(out, ends)


def _variable(
    cells: Cells, firsts: NDArray[np.int64], rows: NDArray[np.int64], nullable: NDArray[np.bool_]
) -> list[bytes]:
    """What stands before the bytes of the cells in one buffer; these need not be moved twice."""
    count = int(rows.sum())
    lengths = cells.lengths[:count]
    if cells.spilled is not None:
        marks = np.where(cells.spilled[:count] == 1, VALUE_MARK, PARTS_MARK)
        lengths = np.where(cells.spilled[:count] > 0, marks, lengths)
    is_wide = np.maximum.reduceat(lengths, firsts) > 255
    heads = np.zeros(len(rows), _VARIABLE_ARRAY)
    heads["rows"], heads["form"], heads["flags"] = rows, VARIABLE, nullable * HAS_NULLS | is_wide * WIDE
    element = np.where(is_wide, 2, 1)
    out, ends, at = _headed(heads, cells, firsts, rows, nullable, rows * element)
    if is_wide.any():
        # The place of each row's length: so many bytes after its chunk's first one.
        every = np.repeat(element, rows)
        place = np.repeat(at, rows) + (np.arange(count) - np.repeat(firsts, rows)) * every
        out[place] = lengths & 255
        out[place[every == 2] + 1] = lengths[every == 2] >> 8
    else:
        out[positions(at, rows)] = lengths
    whole, bounds = cells.data.tobytes(), cells.offsets[[0, *(firsts + rows).tolist()]].tolist()
    return [head + whole[a:b] for head, a, b in zip(_cut(out, ends), bounds, bounds[1:], strict=False)]


def _headed(
    heads: NDArray[np.void],
    cells: Cells,
    firsts: NDArray[np.int64],
    rows: NDArray[np.int64],
    nullable: NDArray[np.bool_],
    sizes: NDArray[np.int64],
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """A buffer for chunks with `sizes` bytes each after head and bitmap, both filled in; where each chunk begins and
    the last ends; and where its own bytes go.
    """
    bitmaps = np.where(nullable, -(-rows // 8), 0)
    ends = offsets_of(heads.itemsize + bitmaps + sizes)
    out = np.empty(int(ends[-1]), np.uint8)
    out[ends[:-1, None] + np.arange(heads.itemsize)] = heads.view(np.uint8).reshape(len(heads), -1)
    having = np.flatnonzero(nullable)
    if len(having):
        assert cells.valid is not None
        bits = np.zeros(8 * int(bitmaps.sum()), np.uint8)
        own = positions(offsets_of(bitmaps[having] * 8)[:-1], rows[having])
        bits[own] = cells.valid[positions(firsts[having], rows[having])]
        place = positions(ends[:-1][having] + heads.itemsize, bitmaps[having])
        out[place] = np.packbits(bits, bitorder="little")
    return out, ends, ends[:-1] + heads.itemsize + bitmaps


def _cut(out: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[bytes]:
    whole, bounds = out.tobytes(), ends.tolist()
    return [whole[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]


def decode(chunks: Sequence[bytes], what: str, *, width: int, counts: Sequence[int] | None = None) -> Cells:
    """The cells of these chunks of one column, one after the other.

    `width` and `counts` are what the schema and the parents say. Raises `Corrupt`, naming `what`, for anything that
    `encode` would not have written; `what` names the column and where it is.
    """
    expected = counts if counts is not None else [0] * len(chunks)
    for chunk, count in zip(chunks, expected, strict=True):
        if len(chunk) < _VARIABLE_HEAD.size:
            raise Corrupt(f"{what}: a chunk of {len(chunk)} bytes")
        rows, form = struct.unpack_from("<IB", chunk)
        if form != (FIXED if width else VARIABLE) or rows == 0 or (counts is not None and rows != count):
            raise Corrupt(f"{what}: a chunk of {rows} rows and form {form} where another was expected")
    return _decode_fixed(chunks, what, width) if width else _decode_variable(chunks, what)


def _decode_fixed(chunks: Sequence[bytes], what: str, width: int) -> Cells:
    pieces, valids, any_null = [], [], False
    for chunk in chunks:
        count, _, flags, own_width = _FIXED_HEAD.unpack_from(chunk) if len(chunk) >= 8 else (0, 0, 0, 0)
        start = _FIXED_HEAD.size + (-(-count // 8) if flags & HAS_NULLS else 0)
        if own_width != width or flags > HAS_NULLS or len(chunk) != start + count * width:
            raise Corrupt(f"{what}: a fixed chunk whose size, width or flags do not fit")
        pieces.append(np.frombuffer(chunk, np.uint8, count * width, start).reshape(width, count).T)
        valids.append(_valid(chunk, _FIXED_HEAD.size, count, flags, what))
        any_null |= bool(flags)
    rows = np.concatenate(pieces) if pieces else np.empty((0, width), np.uint8)
    valid = np.concatenate(valids) if any_null else None
    if valid is not None and rows[~valid].any():
        raise Corrupt(f"{what}: a NULL with bytes")
    return Cells.fixed(rows, valid)


def _decode_variable(chunks: Sequence[bytes], what: str) -> Cells:
    sizes, bodies, valids, any_null, any_spilled = [], [], [], False, False
    for chunk in chunks:
        count, _, flags = _VARIABLE_HEAD.unpack_from(chunk)
        at = _VARIABLE_HEAD.size + (-(-count // 8) if flags & HAS_NULLS else 0)
        element = 2 if flags & WIDE else 1
        # Before anything of `count` rows is allocated: the number may be anything.
        if flags > (HAS_NULLS | WIDE) or len(chunk) < at + element * count:
            raise Corrupt(f"{what}: a variable chunk whose flags or lengths do not fit")
        valids.append(_valid(chunk, _VARIABLE_HEAD.size, count, flags & HAS_NULLS, what))
        any_null |= bool(flags & HAS_NULLS)
        lengths = np.frombuffer(chunk, "<u2" if element == 2 else np.uint8, count, at).astype(np.int64)
        at += element * count
        if element == 2:
            if int(lengths.max()) <= 255:
                raise Corrupt(f"{what}: lengths wider than they need be")
            any_spilled |= bool((lengths >= PARTS_MARK).any())
        stored = np.where(lengths >= PARTS_MARK, DIGEST_BYTES, lengths)
        if at + int(stored.sum()) != len(chunk):
            raise Corrupt(f"{what}: a variable chunk whose cells do not fill it")
        sizes.append(lengths)
        bodies.append(chunk[at:])
    lengths = np.concatenate(sizes) if sizes else np.empty(0, np.int64)
    valid = np.concatenate(valids) if any_null else None
    if valid is not None and lengths[~valid].any():
        raise Corrupt(f"{what}: a NULL with bytes")
    spilled = None
    if any_spilled:
        spilled = (lengths == VALUE_MARK).astype(np.uint8) + 2 * (lengths == PARTS_MARK).astype(np.uint8)
        lengths = np.where(spilled > 0, DIGEST_BYTES, lengths)
    return Cells(0, np.frombuffer(b"".join(bodies), np.uint8), offsets_of(lengths), valid, spilled)


def _valid(chunk: bytes, at: int, count: int, has_nulls: int, what: str) -> NDArray[np.bool_]:
    if not has_nulls:
        return np.ones(count, np.bool_)
    size = -(-count // 8)
    if len(chunk) < at + size:
        raise Corrupt(f"{what}: a chunk whose bitmap is cut short")
    bits = np.unpackbits(np.frombuffer(chunk, np.uint8, size, at), bitorder="little")
    if bits[count:].any() or bits[:count].all():
        raise Corrupt(f"{what}: a bitmap with bits that should not be")
    return bits[:count].astype(np.bool_)


def decode_constant(ref: Ref, count: int, width: int, what: str) -> Cells:
    """The cells beneath a reference that is a constant. Raises `Corrupt` where the cell cannot be of this width."""
    cell, spilled = reference.read_constant(ref)
    if width and cell is not None and (spilled or len(cell) != width):
        raise Corrupt(f"{what}: a constant of {len(cell)} bytes in a column of {width}")
    return Cells.constant(cell, count, width=width, spilled=spilled)
