"""Whole columns of PostgreSQL's cells as plain values at once, of the types for which that is exact.

    values("pg_catalog.int8", cells)            # [1, 2, None, …]
    values("pg_catalog.interval", cells)        # None: cell by cell, then

What it gives is what `display` gives of each cell, and `to_cell` of `snapstore.sources.postgres.plain` makes the cell
of it again; where a single one of a column is not so, it gives nothing. A test holds the two ways against each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snapstore.rows import Cells

__all__ = ["values"]

_INTEGERS = {"int2": ">i2", "int4": ">i4", "int8": ">i8", "oid": ">u4", "xid": ">u4"}
_FLOATS = {"float4": ">f4", "float8": ">f8"}
_ZONES = {"timestamp": "", "timestamptz": "+00:00"}
_EPOCH, _FIRST, _LAST = (np.datetime64(day, "us") for day in ("2000-01-01", "0001-01-01", "9999-12-31"))
_TEXTS = {"char", "name", "text", "varchar", "bpchar", "xml"}


def values(column_type: str, cells: Cells) -> list[Any] | None:
    """The value of each cell, None for NULL; None where they must be looked at one by one. No cell is spilled."""
    schema, _, name = column_type.rpartition(".")
    if schema != "pg_catalog":
        return None
    if name in _TEXTS:
        return _texts(cells)
    found = None
    if name in _ZONES:
        found = _moments(cells, _ZONES[name])
    elif name in _INTEGERS or name in _FLOATS:
        found = _numbers(name, cells)
    if found is not None and cells.valid is not None:
        for at in np.flatnonzero(~cells.valid).tolist():
            found[at] = None
    return found


def _texts(cells: Cells) -> list[Any] | None:
    try:
        return [None if cell is None else cell.decode("utf-8") for cell in cells.to_list()]
    except UnicodeDecodeError:
        return None


def _moments(cells: Cells, zone: str) -> list[Any] | None:
    """ISO 8601, without zeros at the end of a fraction, in the years that all know."""
    if (np.diff(cells.offsets) != 8).any():
        return None
    passed = np.ascontiguousarray(cells.data).view(">i8").astype("<i8")
    if not ((passed >= (_FIRST - _EPOCH).astype(int)) & (passed < (_LAST - _EPOCH).astype(int))).all():
        return None
    moments = np.datetime_as_string(_EPOCH + passed.view("<m8[us]"), unit="us").tolist()
    return [moment.rstrip("0").rstrip(".") + zone for moment in moments]


def _numbers(name: str, cells: Cells) -> list[Any] | None:
    """Of a NULL whatever its zeros mean."""
    kind = np.dtype(_INTEGERS.get(name) or _FLOATS[name])
    if (np.diff(cells.offsets) != kind.itemsize).any():
        return None
    numbers = np.ascontiguousarray(cells.data).view(kind)
    if name in _INTEGERS:
        return list(numbers.tolist())
    if not np.isfinite(numbers).all():
        return None
    native = numbers.astype(kind.newbyteorder("="))
    if name == "float8":
        return list(native.tolist())
    # The shortest decimal that is this float32, not the long one of the float64 it would become.
    shortest = native.astype(str).astype(np.float64)
    if not np.array_equal(shortest.astype(kind).view(np.uint8), numbers.view(np.uint8)):
        return None
    return list(shortest.tolist())
