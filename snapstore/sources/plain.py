r"""Cells as plain values and back, without losing a bit: what an export writes and an import reads.

    form = Form.of(column)
    values = form.values(cells)           # [1, "text", {"$hex": "…", "shown": "1 day"}, None, …]
    form.cells(values) == cells           # always

A value is plain only if the very cell comes back from it: each one is tried as it is made. Any other is
`{"$hex": …}`, the cell itself, beside what people see of it. So a type need not be known to be exported exactly. Values
are what JSON can hold; JSON columns are nested where that loses nothing. No server is asked.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Corrupt, Invalid, Unsupported
from snapstore.rows import Cells, Column, KeyPart
from snapstore.sources.display import display
from snapstore.sources.postgres import plain as postgres
from snapstore.sources.postgres import wholecolumns
from snapstore.sources.qdrant import display as qdrant
from snapstore.sources.qdrant import plain as qdrant_plain
from snapstore.sources.qdrant.points import DENSE
from snapstore.sources.sqlite import display as sqlite
from snapstore.sources.sqlite import plain as sqlite_plain

__all__ = ["HEX", "SHOWN", "Form", "Vectors"]

HEX, SHOWN = "$hex", "shown"
_ELEMENTS = {4: "<f4", 2: "<f2"}

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Form:
    """How the cells of one column are written: its name, its type, the bytes of a cell (0 where they vary), and of a
    vector's element (else 1).
    """

    name: str
    type: str
    width: int = 0
    stride: int = 1

    @classmethod
    def of(cls, column: Column | KeyPart) -> Form:
        """Of a column, or of a part of a key."""
        stride = column.stride if isinstance(column, Column) else 1
        return cls(column.name, column.type, column.width, stride)

    @property
    def is_vector(self) -> bool:
        """Whether cells are vectors, of whatever kind."""
        return self.stride in _ELEMENTS

    @property
    def is_list(self) -> bool:
        """Whether cells are vectors that are one number after the other: neither sparse nor several in one."""
        return self.is_vector and (self.type == DENSE or not qdrant.is_ours(self.type))

    @property
    def scalar(self) -> str:
        """What all plain values of this type are: int, float, bool or str; nothing where they may be anything."""
        if self.is_vector or qdrant.is_ours(self.type):
            return ""
        return sqlite_plain.scalar(self.type) if sqlite.is_ours(self.type) else postgres.scalar(self.type)

    def values(self, cells: Cells) -> list[Any]:
        """The value of each cell: None for NULL, an array of float32 for a vector."""
        whole = self._vectors(cells) if self.is_list else self._whole(cells)
        if whole is not None:
            return whole
        plain = cells.to_list()
        if self.is_list:
            return [None if cell is None else self._vector(cell) for cell in plain]
        to_value, to_cell = self._turns()
        return [None if cell is None else self._value(cell, to_value, to_cell) for cell in plain]

    def cells(self, values: Sequence[Any]) -> Cells:
        """The cells that these values are. Raises `Invalid` naming a value that is none of this column's."""
        _, to_cell = self._turns()
        cells = [None if value is None else self._cell(value, to_cell) for value in values]
        for value, cell in zip(values, cells, strict=True):
            if self.width and cell is not None and len(cell) != self.width:
                raise self._wrong(value)
        return Cells.of(cells, width=self.width)

    def _turns(self) -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
        of_engine = postgres.to_cell
        if sqlite.is_ours(self.type):
            of_engine = sqlite_plain.to_cell
        elif qdrant.is_ours(self.type):
            of_engine = qdrant_plain.to_cell
        return lambda cell: display(self.type, cell, stride=self.stride), of_engine(self.type)

    def _value(self, cell: bytes, to_value: Callable[[bytes], Any], to_cell: Callable[[Any], bytes]) -> Any:
        value = to_value(cell)
        if isinstance(value, str) and postgres.is_json(self.type):
            nested = postgres.nested(value)
            value = value if nested is None else nested
        try:
            is_ours = isinstance(value, dict) and HEX in value
            if to_cell(value) == cell and postgres.is_held(value) and not is_ours:
                return value
        except _NOT_ONE:
            pass
        return {HEX: cell.hex(), SHOWN: value if postgres.is_held(value) else str(value)}

    def _whole(self, cells: Cells) -> list[Any] | None:
        """All values at once, of types for which that is as exact; else None."""
        return None if self.is_vector else wholecolumns.values(self.type, cells)

    def _vectors(self, cells: Cells) -> list[Any] | None:
        """All vectors at once, where none is NULL, of another length, or to be written as its bytes."""
        lengths = cells.lengths
        if not len(cells) or not lengths[0] or lengths[0] % self.stride or (lengths != lengths[0]).any():
            return None
        elements = np.ascontiguousarray(cells.data).view(_ELEMENTS[self.stride]).astype(np.float32)
        if cells.valid is not None or not _are_exact(elements):
            return None
        return list(elements.reshape(len(cells), -1))

    def _vector(self, cell: bytes) -> Any:
        if len(cell) % self.stride == 0:
            elements = np.frombuffer(cell, _ELEMENTS[self.stride]).astype(np.float32)
            if len(elements) and _are_exact(elements):
                return elements
        return {HEX: cell.hex(), SHOWN: display(self.type, cell, stride=self.stride)}

    def _cell(self, value: Any, to_cell: Callable[[Any], bytes]) -> bytes:
        try:
            if isinstance(value, dict) and HEX in value and value.keys() <= {HEX, SHOWN}:
                return bytes.fromhex(value[HEX])
            if self.is_list and isinstance(value, list | np.ndarray):
                return self._elements(value)
            return to_cell(value)
        except _NOT_ONE as error:
            raise self._wrong(value) from error

    def _elements(self, value: Any) -> bytes:
        elements = np.asarray(value, np.float64)
        with np.errstate(over="raise"):
            narrow = elements.astype(_ELEMENTS[self.stride])
        if elements.ndim != 1 or not np.isfinite(narrow).all():
            raise ValueError("not a vector of numbers")
        return narrow.tobytes()

    def _wrong(self, value: Any) -> Invalid:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:59] + "…"
        return Invalid(f"column {self.name} ({self.type}) cannot hold {shown}")


def _are_exact(elements: Vectors) -> bool:
    """Whether the shortest decimals of all of these, read as float64, are they again."""
    bits = elements.view(np.uint32) & np.uint32(0x7FFF_FFFF)  # without the sign
    return not ((bits >= _INFINITE) | (bits == _ROUNDED_TWICE)).any()


_ROUNDED_TWICE = 0x15AE_43FD
"""7.038531e-26, the one float32 whose shortest decimal is another one if it is read as a float64 first, as JSON is."""

_INFINITE = 0x7F80_0000
"""The bits of infinity; those of NaN are greater."""

_NOT_ONE = (
    ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, FloatingPointError, AttributeError,
    struct.error, Corrupt, Unsupported,
)  # fmt: skip
"""What turning a value into a cell raises where it is none of the type."""
