r"""Rows as columns: the frozen values that sources give, trees hold and restore gives back.

    ids = Cells.of([b"\x80\x00\x00\x01", b"\x80\x00\x00\x02"], width=4)
    heat = Cells.of([b"\x3f\x80\x00\x00", None], width=4)
    batch = Batch(keys=ids, columns=(heat,))

A cell is bytes or NULL. What the bytes mean is the source's affair; here they are only counted, cut, joined and
compared. Rows of a batch stand in ascending order of key (plain byte order), and no key occurs twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snapstore.ragged import gather, offsets_of, scatter

__all__ = ["Batch", "Cells", "Column", "KeyPart", "Table", "interleave", "width_of"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column whose cells are stored: not generated, not derivable from the key.

    `type` is the source's own name for the type, qualified. `width` is the size of every cell in bytes, 0 where cells
    vary. `stride` is the element size in bytes of a vector (4 float32, 2 float16), else 1: it decides how large cells
    compress (format.md §5), not what they are.
    """

    name: str
    type: str
    width: int = 0
    stride: int = 1


_FIXED = re.compile(r"(?:int(?=[248]$)|float(?=[48]$)|fixed)([0-9]+)")  # format.md §8


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One column of the key: how its value stands in the key's bytes (`encoding`: format.md §8, `snapstore.keys`).

    `lossless` says that the cell can be had back from the key, so the column is not stored a second time.
    """

    name: str
    type: str
    encoding: str
    lossless: bool = True

    @property
    def width(self) -> int:
        """Bytes this part takes in every key, 0 where that varies (or nobody knows the encoding)."""
        found = _FIXED.fullmatch(self.encoding)
        return int(found[1]) if found else 0


def width_of(parts: Sequence[KeyPart]) -> int:
    """Bytes of every key of these parts, 0 where keys vary in length."""
    widths = [part.width for part in parts]
    return sum(widths) if all(widths) else 0


@dataclass(frozen=True, slots=True)
class Table:
    """A table's shape. `name` is schema-qualified as people write it: `public.memories`.

    `columns` are the stored ones, in the source's order. `definition` is what the source needs to recreate the table
    (plain msgpack values: None, bool, int, float, str, bytes, list, dict with str keys); only the source reads it.
    """

    name: str
    key: tuple[KeyPart, ...]
    columns: tuple[Column, ...]
    definition: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key_width(self) -> int:
        """Bytes of every key, 0 where keys vary in length."""
        return width_of(self.key)

    @property
    def declared_types(self) -> dict[str, str]:
        """The type of each stored column as people declared it, with its length or dimension, by name.

        A source that knows more than `Column.type` lists its columns in `definition["columns"]`, each with a `name` and
        a `type`.
        """
        listed = {column["name"]: column["type"] for column in self.definition.get("columns", ())}
        return {column.name: listed.get(column.name, column.type) for column in self.columns}

    @property
    def loose(self) -> frozenset[str]:
        """Stored columns that a restore may have to set otherwise where rows that stay are in the way."""
        return frozenset(self.definition.get("loose", ()))

    @property
    def part_of(self) -> str:
        """What this table is a part of that means something only as a whole (an index kept in tables), or nothing."""
        return str(self.definition.get("part_of", ""))

    @property
    def open_type(self) -> str:
        """The type of the columns that come and go with the rows: one that is not there is NULL in every row.

        Empty where no column does. Columns that were left out are not such columns.
        """
        return str(self.definition.get("open", ""))

    @property
    def by_content(self) -> bool:
        """Whether rows have no key of their own and are known by what is in them (format.md §8, rows by content)."""
        return len(self.key) == 1 and not self.key[0].name

    def column(self, name: str) -> int:
        """The position of a stored column; raises `KeyError`."""
        for position, column in enumerate(self.columns):
            if column.name == name:
                return position
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one column for `len(self)` rows.

    `data` is every cell's bytes joined, shape (total,), uint8. Fixed cells (`width` > 0) take `width` bytes each, a
    NULL as many zeros. Variable cells (`width` 0) lie between `offsets[i]` and `offsets[i + 1]`, shape (n + 1,),
    int64, offsets[0] == 0; a NULL is empty. `valid` is False where NULL, shape (n,), or None where no cell is NULL.
    `spilled` is nonzero where the bytes are not the cell but the 32-byte digest of the blob that holds it, shape (n,),
    uint8: 1 a value, 2 its parts; None where nothing is. Sources neither give nor take spilled cells.
    """

    width: int
    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    valid: NDArray[np.bool_] | None = None
    spilled: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def of(cls, cells: Sequence[bytes | None], *, width: int = 0) -> Cells:
        """Cells from a plain list; a fixed cell of another length raises `ValueError`."""
        blank = bytes(width)
        if width and any(cell is not None and len(cell) != width for cell in cells):
            raise ValueError(f"a cell is not {width} bytes long")
        plain = [blank if cell is None else cell for cell in cells]
        valid = np.fromiter((cell is not None for cell in cells), np.bool_, len(cells))
        return cls(
            width,
            np.frombuffer(b"".join(plain), np.uint8),
            offsets_of(np.fromiter(map(len, plain), np.int64, len(plain))),
            None if valid.all() else valid,
        )

    @classmethod
    def fixed(cls, rows: NDArray[np.uint8], valid: NDArray[np.bool_] | None = None) -> Cells:
        """Fixed cells from an array of shape (n, width)."""
        count, width = rows.shape
        return cls(width, np.ascontiguousarray(rows).reshape(-1), np.arange(count + 1, dtype=np.int64) * width, valid)

    @classmethod
    def constant(cls, cell: bytes | None, count: int, *, width: int = 0, spilled: int = 0) -> Cells:
        """The same cell `count` times."""
        plain = bytes(width) if cell is None else cell
        return cls(
            width,
            np.tile(np.frombuffer(plain, np.uint8), count),
            np.arange(count + 1, dtype=np.int64) * len(plain),
            np.zeros(count, np.bool_) if cell is None else None,
            np.full(count, spilled, np.uint8) if spilled else None,
        )

    @classmethod
    def concat(cls, pieces: Sequence[Cells]) -> Cells:
        """One after the other; all of one width, at least one."""
        if len(pieces) == 1:
            return pieces[0]
        lengths = np.concatenate([piece.lengths for piece in pieces])
        valid = spilled = None
        if any(piece.valid is not None for piece in pieces):
            valid = np.concatenate([_or(piece.valid, len(piece), np.True_) for piece in pieces])
        if any(piece.spilled is not None for piece in pieces):
            spilled = np.concatenate([_or(piece.spilled, len(piece), np.uint8(0)) for piece in pieces])
        return cls(
            pieces[0].width, np.concatenate([piece.data for piece in pieces]), offsets_of(lengths), valid, spilled
        )

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each cell, shape (n,)."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> NDArray[np.uint8]:
        """Fixed cells as an array of shape (n, width)."""
        return self.data.reshape(-1, self.width)

    def __getitem__(self, at: int) -> bytes | None:
        """One cell, or None where NULL."""
        if self.valid is not None and not self.valid[at]:
            return None
        return self.data[self.offsets[at] : self.offsets[at + 1]].tobytes()

    def to_list(self) -> list[bytes | None]:
        """Every cell as bytes or None."""
        whole, ends = self.data.tobytes(), self.offsets.tolist()
        cells: list[bytes | None] = [whole[a:b] for a, b in zip(ends, ends[1:], strict=False)]
        if self.valid is not None:
            for at in np.flatnonzero(~self.valid).tolist():
                cells[at] = None
        return cells

    def equals(self, other: Cells) -> bool:
        """Whether these are the same cells in the same order, NULLs too; neither is spilled."""
        mine, theirs = (np.True_ if one.valid is None else one.valid for one in (self, other))
        return (
            np.array_equal(self.offsets, other.offsets)
            and np.array_equal(self.data, other.data)
            and bool(np.all(mine == theirs))
        )

    def slice(self, start: int, stop: int) -> Cells:
        """Rows start ≤ i < stop, sharing memory where it can."""
        first = self.offsets[start]
        return Cells(
            self.width,
            self.data[first : self.offsets[stop]],
            self.offsets[start : stop + 1] - first,
            None if self.valid is None else self.valid[start:stop],
            None if self.spilled is None else self.spilled[start:stop],
        )

    def take(self, rows: NDArray[np.int64]) -> Cells:
        """The cells at these positions, in this order."""
        valid = None if self.valid is None else self.valid[rows]
        spilled = None if self.spilled is None else self.spilled[rows]
        if self.width:
            return Cells(
                self.width,
                self.rows[rows].reshape(-1),
                np.arange(len(rows) + 1, dtype=np.int64) * self.width,
                valid,
                spilled,
            )
        data = gather(self.data, self.offsets[rows], self.lengths[rows])
        return Cells(0, data, offsets_of(self.lengths[rows]), valid, spilled)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows in ascending order of key: `keys` in order-preserving bytes, `columns` as in `Table.columns`."""

    keys: Cells
    columns: tuple[Cells, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def slice(self, start: int, stop: int) -> Batch:
        """Rows start ≤ i < stop."""
        return Batch(self.keys.slice(start, stop), tuple(cells.slice(start, stop) for cells in self.columns))

    def take(self, rows: NDArray[np.int64]) -> Batch:
        """The rows at these positions."""
        return Batch(self.keys.take(rows), tuple(cells.take(rows) for cells in self.columns))

    @classmethod
    def concat(cls, pieces: Sequence[Batch]) -> Batch:
        """One after the other; at least one."""
        if len(pieces) == 1:
            return pieces[0]
        return cls(
            Cells.concat([piece.keys for piece in pieces]),
            tuple(Cells.concat(list(cells)) for cells in zip(*(piece.columns for piece in pieces), strict=True)),
        )


def interleave(pieces: Sequence[Cells]) -> Cells:
    """Rows whose bytes are the cells of each piece one after the other; a NULL adds nothing. At least one piece.

    The result has a width where every piece has one.
    """
    if len(pieces) == 1:
        return pieces[0]
    if all(piece.width for piece in pieces):
        return Cells.fixed(np.hstack([piece.rows for piece in pieces]))
    lengths = [piece.lengths for piece in pieces]
    offsets = offsets_of(np.sum(lengths, axis=0))
    out = np.empty(int(offsets[-1]), np.uint8)
    place = offsets[:-1].copy()
    for piece, size in zip(pieces, lengths, strict=True):
        scatter(out, place, piece.data, size)
        place += size
    return Cells(0, out, offsets)


def _or(array: NDArray[Any] | None, count: int, default: Any) -> NDArray[Any]:
    return np.full(count, default) if array is None else array
