"""Rows of one repository, with their large cells named as another names them.

    for batch in tree.rows():
        builder.add(renamed(tree.table, batch, fetch, sink))

A repository with keys of its own names every blob otherwise, and cuts chunks elsewhere, so its trees must be built from
the rows. The large cells go to the sink a few at a time: a batch of rows may hold far more than memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from snapstore.digest import DIGEST_BYTES, Digest, Kind
from snapstore.rows import Batch, Cells, Table
from snapstore.tree import Fetch, Sink
from snapstore.tree.values import put_parts, read_parts

__all__ = ["renamed", "renamed_cells"]

_VALUES = 256
"""Values, of at most 64 KB each, that are in memory at once."""


def renamed(table: Table, batch: Batch, fetch: Fetch, sink: Sink) -> Batch:
    """The same rows, each large cell put to the sink and named as the sink names it.

    Raises `NotFound` and `Corrupt` for a cell that cannot be had.
    """
    return Batch(
        batch.keys,
        tuple(
            renamed_cells(cells, fetch, sink, stride=column.stride)
            for column, cells in zip(table.columns, batch.columns, strict=True)
        ),
    )


def renamed_cells(cells: Cells, fetch: Fetch, sink: Sink, *, stride: int) -> Cells:
    """As `renamed`, of one column."""
    if cells.spilled is None or not cells.spilled.any():
        return cells
    data = cells.data.copy()
    values = np.flatnonzero(cells.spilled == 1).tolist()
    for at in range(0, len(values), _VALUES):
        rows = values[at : at + _VALUES]
        blobs = fetch.get_many([Digest(cells[row] or b"") for row in rows])
        names = [sink.naming.digest(blob) for blob in blobs]
        sink.put(Kind.VALUE, names, blobs, stride=stride)
        _write(data, cells, rows, names)
    for row in np.flatnonzero(cells.spilled == 2).tolist():
        whole = read_parts(Digest(cells[row] or b""), fetch)
        _write(data, cells, [row], [put_parts(whole, sink)])
    return Cells(cells.width, data, cells.offsets, cells.valid, cells.spilled)


def _write(data: NDArray[np.uint8], cells: Cells, rows: Sequence[int], names: Sequence[Digest]) -> None:
    for row, name in zip(rows, names, strict=True):
        start = int(cells.offsets[row])
        data[start : start + DIGEST_BYTES] = np.frombuffer(name, np.uint8)
