r"""Ids, payload values and vectors of points as cells (format.md §8, Qdrant), and back.

    id_of(id_cell(17))                            # 17
    value_of(value_cell({"tags": ["a", None]}))
    vector_of(Column("vector", DENSE), dense_cell([0.6, 0.8]))

It asks no server.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Corrupt, Unsupported
from snapstore.rows import Cells, Column, KeyPart

__all__ = [
    "DENSE",
    "ID",
    "KEY",
    "SPARSE",
    "VALUE",
    "column_of",
    "id_cell",
    "id_of",
    "key_of",
    "multiple",
    "settled",
    "value_cell",
    "value_of",
    "vector_cell",
    "vector_name",
    "vector_of",
]

ID, VALUE, DENSE, SPARSE = "qdrant.id", "qdrant.json", "qdrant.vector", "qdrant.sparse"
KEY = (KeyPart("id", ID, "fixed17"),)
_NUMBER, _UUID = b"\0", b"\1"
_MULTIPLE = re.compile(r"qdrant\.multivector\((\d+)\)")
_TAKEN = re.compile(r"(?:id|vector(?::.*)?|payload:.*)?", re.DOTALL)


def id_cell(point: int | str) -> bytes:
    """17 bytes in the order of the engine: numbers, then UUIDs."""
    if isinstance(point, int):
        return _NUMBER + point.to_bytes(16, "big")
    return _UUID + uuid.UUID(point).bytes


def id_of(cell: bytes) -> int | str:
    """The id of a point. Raises `Corrupt`."""
    if len(cell) != 17 or cell[:1] not in (_NUMBER, _UUID) or (cell[:1] == _NUMBER and any(cell[1:9])):
        raise Corrupt(f"{cell.hex()} is no id of a point")
    return int.from_bytes(cell[1:], "big") if cell[:1] == _NUMBER else str(uuid.UUID(bytes=cell[1:]))


def column_of(key: str) -> str:
    """The column of a key of payloads: its own name, unless that is the id's, a vector's, or empty."""
    return f"payload:{key}" if _TAKEN.fullmatch(key) else key


def key_of(column: str) -> str:
    """The key of payloads that is in this column."""
    return column.removeprefix("payload:")


def vector_name(column: str) -> str:
    """The name of the vector that is in this column; the unnamed one has none."""
    return column.removeprefix("vector").removeprefix(":")


def multiple(size: int) -> str:
    """The type of a column of multivectors of this size."""
    return f"qdrant.multivector({size})"


def _is_multiple(column_type: str) -> bool:
    """Whether a column is of multivectors."""
    return _MULTIPLE.fullmatch(column_type) is not None


def _multiple_width(column_type: str) -> int:
    """The size of each vector of a multivector."""
    found = _MULTIPLE.fullmatch(column_type)
    assert found is not None
    return int(found[1])


def value_cell(value: Any) -> bytes:
    """JSON in UTF-8: keys of objects in ascending order, no blanks, 1 and 1.0 two values. Raises `Unsupported`."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, TypeError) as error:  # UnicodeEncodeError is one: half a character
        raise Unsupported(f"a payload has a value that no JSON can hold: {error}") from error


def value_of(cell: bytes) -> Any:
    """The value of a cell. Raises `Corrupt`."""
    try:
        return json.loads(cell)
    except ValueError as error:
        raise Corrupt(f"a payload of {len(cell)} bytes is no JSON") from error


def vector_cell(column: Column, vector: Any) -> bytes:
    """Little-endian float32; of a sparse vector its indices ascending (u32 each), then their values.

    Raises `Unsupported` for what is none of that kind.
    """
    try:
        if column.type == SPARSE:
            indices = np.asarray(vector.indices, np.int64)
            order = np.argsort(indices, kind="stable")
            return indices[order].astype("<u4").tobytes() + np.asarray(vector.values, "<f4")[order].tobytes()
        cells = np.asarray(vector, "<f4")
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise Unsupported(f"{column.name} is not a vector of its kind") from error
    if _is_multiple(column.type) != (cells.ndim == 2) or cells.ndim not in (1, 2):
        raise Unsupported(f"{column.name} is not a vector of its kind")
    return cells.tobytes()


def vector_of(column: Column, cell: bytes) -> Any:
    """What `vector_cell` was given: a list, a list of lists, or (indices, values). Raises `Corrupt`."""
    if column.type == SPARSE:
        if len(cell) % 8:
            raise Corrupt(f"{column.name}: a sparse vector of {len(cell)} bytes")
        half = len(cell) // 2
        return np.frombuffer(cell[:half], "<u4").tolist(), np.frombuffer(cell[half:], "<f4").tolist()
    width = 4 * _multiple_width(column.type) if _is_multiple(column.type) else 4
    if not width or len(cell) % width:
        raise Corrupt(f"{column.name}: a vector of {len(cell)} bytes")
    numbers = np.frombuffer(cell, "<f4")
    return (numbers.reshape(-1, width // 4) if _is_multiple(column.type) else numbers).tolist()


def settled(column: Column, cells: Cells) -> Cells:
    """The same vectors as they stay however often local mode normalises them: it does so at each start, and a third of
    them change in their last bits by it (docs/decisions/0017).
    """
    found: list[bytes | None] = []
    width = 4 * _multiple_width(column.type) if _is_multiple(column.type) else 0
    for cell in cells.to_list():
        if cell is None or not width:
            found.append(None if cell is None else _settled(cell, _normalised))
        else:
            rows = [cell[at : at + width] for at in range(0, len(cell), width)]
            found.append(b"".join(_settled(row, _normalised_row) for row in rows))
    return Cells.of(found)


_ROUNDS = 1 << 16
"""Most settle within five; of short vectors one in a thousand takes hundreds."""


def _settled(cell: bytes, normalised: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> bytes:
    seen = {cell: 0}
    after = cell
    while len(seen) < _ROUNDS:
        after = normalised(np.frombuffer(after, "<f4")).tobytes()
        if after in seen:
            return min(list(seen)[seen[after] :])  # mostly one; a few go round in a circle of two
        seen[after] = len(seen)
    return cell


# As the client's local mode does it, to the last bit.


def _normalised(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vector)
    return vector / length if length > _EPSILON else vector


def _normalised_row(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = vector.reshape(1, -1).copy()
    lengths = np.linalg.norm(rows, axis=-1)[:, np.newaxis]
    rows /= np.where(lengths != 0.0, lengths, _EPSILON)
    return rows


_EPSILON = 1.1920929e-7


def ids_of(keys: Cells) -> Sequence[int | str]:
    """The ids of these keys."""
    return [id_of(key or b"") for key in keys.to_list()]
