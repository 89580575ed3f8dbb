"""Cells whose binary form has OIDs of types in it, with the types' names in their place, and back (format.md §8).

    shape = Shape("array", (Part(16423, "public.mood", LEAF),))
    held = to_names(shape, cells)          # the OID 16423 became 'public.mood'
    live = to_oids(other_shape, held)      # and what the type's OID is in another database

Arrays and composites carry the OIDs of their elements and fields. Those below 10,000 are the same on every server and
stay as they are (src/include/access/transam.h, FirstGenbkiObjectId); all others are handed out by each database. The
catalogue that knows a type's parts is `snapstore.sources.postgres.forms`; this module only walks bytes, and believes
none of them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Corrupt
from snapstore.ragged import gather, offsets_of
from snapstore.rows import Cells, interleave

__all__ = ["LEAF", "Part", "Shape", "to_names", "to_oids"]

_FIRST_LOCAL_OID = 10_000

_I4 = struct.Struct(">i")
_U4 = struct.Struct(">I")
_U2 = struct.Struct(">H")

# Bits of a range's flags (src/include/utils/rangetypes.h): empty; a bound is infinite, or NULL.
_EMPTY, _NO_LOWER, _NO_UPPER = 0x01, 0x08 | 0x20, 0x10 | 0x40


@dataclass(frozen=True, slots=True)
class Shape:
    """How a type's binary form is put together: `kind` is leaf, array, record, range or multirange."""

    kind: str
    parts: tuple[Part, ...] = ()

    @property
    def is_named(self) -> bool:
        """Whether the form has an OID that another database may not know, at any depth."""
        has_oids = self.kind in ("array", "record")
        return any((has_oids and part.oid >= _FIRST_LOCAL_OID) or part.shape.is_named for part in self.parts)


@dataclass(frozen=True, slots=True)
class Part:
    """An element, field or bound: its type's OID in this database, the name that stands for it, and its own shape."""

    oid: int
    name: str
    shape: Shape

    @property
    def named(self) -> bytes:
        """The type as it is held."""
        if self.oid < _FIRST_LOCAL_OID:
            return self.local
        name = self.name.encode()
        return bytes(4) + _U2.pack(len(name)) + name

    @property
    def local(self) -> bytes:
        """The type as the server sends it."""
        return _U4.pack(self.oid)


LEAF = Shape("leaf")


def to_names(shape: Shape, cells: Cells) -> Cells:
    """What the server sent, as it is held. Raises `Corrupt` for bytes that are not of this shape."""
    return _turned(shape, cells, inward=False)


def to_oids(shape: Shape, cells: Cells) -> Cells:
    """What is held, as this database's server takes it. Raises `Corrupt` for bytes that are not of this shape."""
    return _turned(shape, cells, inward=True)


def _turned(shape: Shape, cells: Cells, *, inward: bool) -> Cells:
    if shape.kind == "array" and not shape.parts[0].shape.is_named:
        return _replaced(shape.parts[0], cells, inward=inward)
    walk = _Walk(inward)
    plain = [None if cell is None else walk.whole(shape, cell) for cell in cells.to_list()]
    return Cells.of(plain)


def _replaced(part: Part, cells: Cells, *, inward: bool) -> Cells:
    """Arrays whose elements have no OIDs in them: one replacement, at the same place in every cell."""
    old, new = (part.named, part.local) if inward else (part.local, part.named)
    valid = np.ones(len(cells), np.bool_) if cells.valid is None else cells.valid
    starts, lengths = cells.offsets[:-1][valid], cells.lengths[valid]
    if (lengths < 8 + len(old)).any():
        raise Corrupt("a cell is too short for an array")
    found = gather(cells.data, starts + 8, np.full(len(starts), len(old), np.int64))
    if len(starts) and not (found.reshape(-1, len(old)) == np.frombuffer(old, np.uint8)).all():
        raise Corrupt(f"an array is not one of {part.name}")
    count = len(starts)
    heads = gather(cells.data, starts, np.full(count, 8, np.int64)).reshape(-1, 8)
    types = np.broadcast_to(np.frombuffer(new, np.uint8), (count, len(new)))
    rest = lengths - 8 - len(old)
    tails = Cells(0, gather(cells.data, starts + 8 + len(old), rest), offsets_of(rest))
    some = interleave([Cells.fixed(np.hstack([heads, types])), tails])
    if cells.valid is None:
        return Cells(0, some.data, some.offsets)
    sizes: NDArray[np.int64] = np.zeros(len(cells), np.int64)
    sizes[valid] = some.lengths
    return Cells(0, some.data, offsets_of(sizes), cells.valid)


class _Walk:
    """Walks one cell after the other; `inward` is towards the server."""

    def __init__(self, inward: bool) -> None:
        self._inward = inward

    def whole(self, shape: Shape, cell: bytes) -> bytes:
        """A cell of this shape, turned."""
        out: list[bytes] = []
        try:
            end = _WALKS[shape.kind](self, shape.parts, cell, out)
        except (struct.error, IndexError) as error:
            raise Corrupt("a cell of an array or composite type ends too soon") from error
        if end != len(cell):
            raise Corrupt("a cell of an array or composite type does not add up to its length")
        return b"".join(out)

    def leaf(self, parts: Sequence[Part], cell: bytes, out: list[bytes]) -> int:
        out.append(cell)
        return len(cell)

    def array(self, parts: Sequence[Part], cell: bytes, out: list[bytes]) -> int:
        (dimensions,) = _I4.unpack_from(cell)
        if not 0 <= dimensions <= 6:
            raise Corrupt(f"an array of {dimensions} dimensions")
        out.append(cell[:8])
        at = self._type(parts[0], cell, 8, out)
        count = 1 if dimensions else 0
        for number in range(dimensions):
            size: int = _I4.unpack_from(cell, at + 8 * number)[0]
            count *= size
        out.append(cell[at : at + 8 * dimensions])
        at += 8 * dimensions
        for _ in range(count):
            at = self._sized(parts[0].shape, cell, at, out)
        return at

    def record(self, parts: Sequence[Part], cell: bytes, out: list[bytes]) -> int:
        (count,) = _I4.unpack_from(cell)
        if count != len(parts):
            raise Corrupt(f"a composite of {count} fields where there are {len(parts)}")
        out.append(cell[:4])
        at = 4
        for part in parts:
            at = self._type(part, cell, at, out)
            at = self._sized(part.shape, cell, at, out)
        return at

    def range(self, parts: Sequence[Part], cell: bytes, out: list[bytes]) -> int:
        flags, at = cell[0], 1
        out.append(cell[:1])
        for none in (_NO_LOWER, _NO_UPPER):
            if not flags & (_EMPTY | none):
                at = self._sized(parts[0].shape, cell, at, out)
        return at

    def multirange(self, parts: Sequence[Part], cell: bytes, out: list[bytes]) -> int:
        (count,) = _I4.unpack_from(cell)
        out.append(cell[:4])
        at = 4
        for _ in range(count):
            at = self._sized(parts[0].shape, cell, at, out)
        return at

    def _type(self, part: Part, cell: bytes, at: int, out: list[bytes]) -> int:
        old, new = (part.named, part.local) if self._inward else (part.local, part.named)
        if cell[at : at + len(old)] != old:
            raise Corrupt(f"a part of an array or composite is not {part.name}")
        out.append(new)
        return at + len(old)

    def _sized(self, shape: Shape, cell: bytes, at: int, out: list[bytes]) -> int:
        """A length (−1 for NULL) and so many bytes."""
        length: int = _I4.unpack_from(cell, at)[0]
        at += 4
        if length == -1:
            out.append(_I4.pack(-1))
            return at
        if length < 0 or at + length > len(cell):
            raise Corrupt("a part of an array or composite is longer than its cell")
        turned = self.whole(shape, cell[at : at + length])
        out += (_I4.pack(len(turned)), turned)
        return at + length


_WALKS: dict[str, Callable[[_Walk, Sequence[Part], bytes, list[bytes]], int]] = {
    "leaf": _Walk.leaf,
    "array": _Walk.array,
    "record": _Walk.record,
    "range": _Walk.range,
    "multirange": _Walk.multirange,
}
