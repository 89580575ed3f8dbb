"""Builds a table's trees from its rows in key order, in bounded memory (format.md §4).

    builder = TreeBuilder(table, cut_key, sink)
    for batch in batches:
        builder.add(batch)
    root = builder.finish()

With hints (`snapstore.tree.hints`) each batch has their columns behind the table's, and `builder.hints` is their root.
The root depends on the rows and the schema alone: not on how they were batched, nor on what was there before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from snapstore.digest import Digest, Naming
from snapstore.errors import Corrupt, Unsupported
from snapstore.rows import Batch, Cells, Table
from snapstore.tree import Sink, chunk, values
from snapstore.tree.cuts import Stretch, weigh
from snapstore.tree.hints import joined, put_roots
from snapstore.tree.node import encode_schema
from snapstore.tree.spine import Leaves, Spine

__all__ = ["LeafCutter", "TreeBuilder", "encode_leaves", "last_keys"]

_KEY_BYTES = 65533


class TreeBuilder:
    """Takes batches in ascending order of key; `finish` puts the last blobs and gives the root."""

    def __init__(self, table: Table, cut_key: bytes, sink: Sink, shape: Table | None = None) -> None:
        self._table = table
        self._shape = shape
        self._all = joined(table, shape)
        self._sink = sink
        self._cutter = LeafCutter(table.name, cut_key)
        self._spine = Spine(1 + len(self._all.columns), sink)
        self.hints: Digest | None = None

    @property
    def rows(self) -> int:
        """Rows added so far."""
        return self._cutter.rows

    def add(self, batch: Batch) -> None:
        """The next rows. Raises `Corrupt` if their keys do not ascend, `Unsupported` for a key that is too long."""
        columns = spill_columns(self._all, batch, self._sink)
        self._encode(*self._cutter.add(Batch(batch.keys, columns)))

    def finish(self) -> Digest:
        """Put what is left; the table's root."""
        self._encode(*self._cutter.finish())
        schema = encode_schema(self._table)
        root, self.hints = put_roots(self._sink, schema, self._shape, self.rows, *self._spine.top())
        return root

    def _encode(self, rows: Batch | None, ends: list[int], ranks: list[int]) -> None:
        if rows is not None and ends:
            self._spine.extend(encode_leaves(rows, ends, ranks, self._sink.naming))


class LeafCutter:
    """Cuts a stream of rows into the rows of chunks; spilled rows or bare keys, whatever they carry."""

    def __init__(self, name: str, cut_key: bytes) -> None:
        self._name = name
        self._cut_key = cut_key
        self._carry: Batch | None = None
        self._weights = np.empty(0, np.int64)
        self._stretch = Stretch()
        self._last_key: bytes | None = None
        self.rows = 0

    def add(self, batch: Batch) -> tuple[Batch | None, list[int], list[int]]:
        """Rows with the positions (exclusive) at which chunks end among them, and λ of each chunk's last key.

        Rows after the last end wait for the next batch.
        """
        if not len(batch):
            return None, [], []
        self._check(batch.keys)
        self.rows += len(batch)
        weights = weigh(batch.keys, self._cut_key)
        if self._carry is not None and len(self._carry):
            batch = Batch.concat([self._carry, batch])
            weights = np.concatenate([self._weights, weights])
        ends = self._stretch.ends(weights >= 1)
        last = ends[-1] if ends else 0
        self._carry, self._weights = batch.slice(last, len(batch)), weights[last:]
        return batch, ends, _ranks(weights, ends)

    def finish(self) -> tuple[Batch | None, list[int], list[int]]:
        """What waits, as one last chunk."""
        if self._carry is None or not len(self._carry):
            return None, [], []
        ends = [len(self._carry)]
        return self._carry, ends, _ranks(self._weights, ends)

    def _check(self, keys: Cells) -> None:
        if int(keys.lengths.max()) > _KEY_BYTES:
            raise Unsupported(
                f"{self._name}: a key of {int(keys.lengths.max())} bytes; the format holds up to {_KEY_BYTES}"
            )
        if (self._last_key is not None and (keys[0] or b"") <= self._last_key) or not ascends(keys):
            raise Corrupt(f"{self._name}: the source gave rows whose keys do not ascend")
        self._last_key = keys[len(keys) - 1]


def _ranks(weights: NDArray[np.int64], ends: list[int]) -> list[int]:
    ranks: list[int] = weights[np.asarray(ends, np.int64) - 1].tolist() if ends else []
    return ranks


def spill_columns(table: Table, batch: Batch, sink: Sink) -> tuple[Cells, ...]:
    """The columns with large cells put to the sink as values."""
    return tuple(
        cells if column.width else values.spill(cells, sink, stride=column.stride)
        for column, cells in zip(table.columns, batch.columns, strict=True)
    )


def encode_leaves(rows: Batch, ends: list[int], ranks: list[int], naming: Naming) -> Leaves:
    """The chunks that end there; large cells are spilled already."""
    starts = [0, *ends[:-1]]
    chunks = [chunk.encode(rows.keys, starts, ends, naming, is_key=True)]
    chunks += [chunk.encode(cells, starts, ends, naming) for cells in rows.columns]
    counts = [stop - start for start, stop in zip(starts, ends, strict=True)]
    return Leaves(counts, last_keys(rows.keys, ends), ranks, chunks)


def last_keys(keys: Cells, ends: Sequence[int]) -> list[bytes]:
    """The last key of each chunk that ends there."""
    return [key or b"" for key in keys.take(np.asarray(ends, np.int64) - 1).to_list()]


def ascends(keys: Cells) -> bool:
    """Whether each key is greater than the one before, in plain byte order."""
    if keys.width in (1, 2, 4, 8):
        numbers = keys.data.view(f">u{keys.width}")
        return bool((numbers[1:] > numbers[:-1]).all())
    plain = [cell or b"" for cell in keys.to_list()]
    return all(map(bytes.__lt__, plain, plain[1:]))
