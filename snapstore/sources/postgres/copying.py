"""Rows as `COPY … (FORMAT BINARY)` carries them, turned into columns and back, thousands at once.

    fields = fields_of(table.key, table.columns)
    batch = batch_of(table.key, table.columns, decode(table.name, fields, rows))        # rows: one bytes object a row
    copy.write(HEADER)
    copy.write(encode(table.name, fields, cells_of(table.key, table.columns, batch)))
    copy.write(TRAILER)

A row is `u16 fields`, then for each `i32 length` (−1 where NULL) and its bytes, all big-endian (PostgreSQL manual,
COPY, binary format). The rows of a batch lie in one buffer and numpy walks them field by field, so the price is by
column, not by row. Vectors lose their header and become little-endian elements here, and get both back (format.md §8).

Strict: rows that do not add up raise `Corrupt` naming table and column. It knows nothing of servers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snapstore import keys
from snapstore.digest import Buffer
from snapstore.errors import Corrupt, Invalid
from snapstore.ragged import gather, offsets_of
from snapstore.rows import Batch, Cells, Column, KeyPart, interleave

__all__ = ["HEADER", "TRAILER", "Field", "batch_of", "cells_of", "decode", "encode", "fields_of"]

# Signature, flags, length of the header extension; the end of all rows.
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

_MAX_DIMENSIONS = 65_535


@dataclass(frozen=True, slots=True)
class Field:
    """One field of every row: `width` and `stride` as in `snapstore.rows.Column`."""

    name: str
    width: int = 0
    stride: int = 1


def fields_of(key: Sequence[KeyPart], columns: Sequence[Column]) -> tuple[Field, ...]:
    """The fields of rows that carry this key and these columns: the key's parts, then the columns not among them."""
    stored = {column.name: Field(column.name, column.width, column.stride) for column in columns}
    parts = {part.name: Field(part.name, part.width) for part in key}
    return tuple({**parts, **stored}.values())


def batch_of(key: Sequence[KeyPart], columns: Sequence[Column], cells: Sequence[Cells]) -> Batch:
    """The rows whose cells, in the order of `fields_of`, are these."""
    place = {field.name: at for at, field in enumerate(fields_of(key, columns))}
    encoded = keys.encode(key, [cells[place[part.name]] for part in key])
    return Batch(encoded, tuple(cells[place[column.name]] for column in columns))


def cells_of(key: Sequence[KeyPart], columns: Sequence[Column], batch: Batch) -> tuple[Cells, ...]:
    """The cells of these rows in the order of `fields_of`; `batch.columns` are these columns.

    A part of the key that the key does not hold exactly, and that is not among the columns, is one that the server
    finds equal: enough to find the row, not to insert it.
    """
    parts = dict(zip([part.name for part in key], keys.decode_equal(key, batch.keys), strict=True))
    stored = dict(zip([column.name for column in columns], batch.columns, strict=True))
    return tuple({**parts, **stored}.values())


def decode(table: str, fields: Sequence[Field], rows: Sequence[Buffer]) -> tuple[Cells, ...]:
    """The cells of each field. `rows` are whole rows, one buffer each, without header and trailer."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    data = np.frombuffer(rows[0] if len(rows) == 1 else b"".join(rows), np.uint8)
    if (lengths < 2 + 4 * len(fields)).any():
        raise Corrupt(f"{table}: a row is too short for {len(fields)} fields")
    ends = np.cumsum(lengths)
    place = ends - lengths
    if not (_at(data, place, ">u2") == len(fields)).all():
        raise Corrupt(f"{table}: a row does not have {len(fields)} fields")
    place += 2
    cells = []
    for field in fields:
        try:
            sizes = _at(data, place, ">i4")
            place += 4
            cell, step = _decode_field(field, data, place, sizes)
        except (IndexError, ValueError) as error:
            raise Corrupt(f"{table}: a cell of column {field.name} does not fit its row: {error}") from error
        cells.append(cell)
        place += step
    if not np.array_equal(place, ends):
        raise Corrupt(f"{table}: the fields of a row do not add up to its length")
    return tuple(cells)


def encode(table: str, fields: Sequence[Field], cells: Sequence[Cells]) -> memoryview:
    """The rows, without header and trailer. Raises `Invalid` for a cell that cannot be one of the field's type."""
    count = len(cells[0])
    pieces: list[Cells] = []
    block = [np.broadcast_to(np.frombuffer(len(fields).to_bytes(2, "big"), np.uint8), (count, 2))]
    for field, column in zip(fields, cells, strict=True):
        if column.spilled is not None and column.spilled.any():
            raise Invalid(f"{table}: column {field.name} has cells that were not fetched")
        lengths = column.lengths
        if field.width and (lengths != field.width).any():
            raise Invalid(f"{table}: a cell of column {field.name} is not {field.width} bytes long")
        valid = None if column.valid is None or column.valid.all() else column.valid
        dimensions, rest = np.divmod(lengths, field.stride)
        if field.stride > 1:
            if rest.any() or (dimensions > _MAX_DIMENSIONS).any():
                raise Invalid(f"{table}: a cell of column {field.name} is not a vector of {field.stride}-byte elements")
            lengths = lengths + 4
        block.append(_bytes_of(lengths if valid is None else np.where(valid, lengths, -1), ">i4"))
        if field.width and valid is None:
            block.append(column.rows)
            continue
        if field.stride > 1:
            head = _bytes_of(dimensions << 16, ">u4")
            if valid is None:
                block.append(head)
            else:
                pieces.append(_joined(block))
                pieces.append(Cells(0, head[valid].reshape(-1), offsets_of(valid * np.int64(4))))
                block = []
            data, sizes = column.data.view(f"u{field.stride}").byteswap().view(np.uint8), column.lengths
        elif field.width and valid is not None:
            data, sizes = column.rows[valid].reshape(-1), np.where(valid, np.int64(field.width), 0)
        else:
            data, sizes = column.data, column.lengths
        if block:
            pieces.append(_joined(block))
        pieces.append(Cells(0, data, offsets_of(sizes)))
        block = []
    if block:
        pieces.append(_joined(block))
    return interleave(pieces).data.data


def _decode_field(
    field: Field, data: NDArray[np.uint8], place: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[Cells, NDArray[np.int64] | int]:
    """One field's cells and how far each row moves on. Raises `ValueError` saying what is wrong with a cell."""
    is_null = sizes == -1
    valid = ~is_null if is_null.any() else None
    if field.width:
        if valid is None:
            if not (sizes == field.width).all():
                raise ValueError(f"it is not {field.width} bytes long")
            return Cells.fixed(_fixed(data, place, field.width)), field.width
        if not (sizes[valid] == field.width).all():
            raise ValueError(f"it is not {field.width} bytes long")
        rows = np.zeros((len(place), field.width), np.uint8)
        rows[valid] = _fixed(data, place[valid], field.width)
        return Cells.fixed(rows, valid), np.where(valid, field.width, 0)
    if valid is not None:
        sizes = np.where(valid, sizes, 0)
    if (sizes < 0).any() or (place + sizes > len(data)).any():
        raise ValueError("its length is wrong")
    if field.stride == 1:
        return Cells(0, gather(data, place, sizes), offsets_of(sizes), valid), sizes
    starts, lengths = (place, sizes) if valid is None else (place[valid], sizes[valid])
    if (lengths < 4).any() or not (_at(data, starts, ">u2") * field.stride + 4 == lengths).all():
        raise ValueError("it is not a vector")
    if _at(data, starts + 2, ">u2").any():
        raise ValueError("the second word of a vector is not 0")
    elements = gather(data, starts + 4, lengths - 4).view(f"u{field.stride}").byteswap().view(np.uint8)
    plain = sizes - 4 if valid is None else np.where(valid, sizes - 4, 0)
    return Cells(0, elements, offsets_of(plain), valid), sizes


def _at(data: NDArray[np.uint8], place: NDArray[np.int64], form: str) -> NDArray[np.int64]:
    """The integers of this form that begin at these places."""
    return _view(data, np.dtype(form))[place].astype(np.int64)


def _view(data: NDArray[np.uint8], form: np.dtype[Any]) -> NDArray[Any]:
    """An element of this form beginning at every byte, over the same memory."""
    return np.ndarray((max(len(data) - form.itemsize + 1, 0),), form, data, strides=(1,))


def _fixed(data: NDArray[np.uint8], place: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """The `width` bytes at each place, as rows."""
    return _view(data, np.dtype(f"V{width}"))[place].view(np.uint8).reshape(-1, width)


def _bytes_of(numbers: NDArray[np.int64], form: str) -> NDArray[np.uint8]:
    width = np.dtype(form).itemsize
    return numbers.astype(form).view(np.uint8).reshape(-1, width)


def _joined(block: Sequence[NDArray[np.uint8]]) -> Cells:
    return Cells.fixed(np.hstack(block))
