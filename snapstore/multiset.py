"""Rows without a key, put in the order of their content in bounded memory (format.md §8, rows by content).

    for batch in by_content(table, cells_of_rows):       # cells in the order of table.columns, rows in any order
        batch.keys, batch.columns                        # a digest and a number; the rows, sorted

A row is known by the digest of its cells and by a number among rows that are the same to the bit. What does not fit in
memory is sorted in runs in an unnamed temporary file, so nothing stays behind whatever happens. It knows no source.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from snapstore.digest import Hasher
from snapstore.errors import Unsupported
from snapstore.ragged import gather, offsets_of
from snapstore.rows import Batch, Cells, Table, interleave

__all__ = ["DIGEST_BYTES", "KEY_BYTES", "by_content", "digests_of", "in_order", "numbered"]

DIGEST_BYTES = 16
KEY_BYTES = DIGEST_BYTES + 4

RUN_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 20
_BLOCK_ROWS = 8192
_FAN_IN = 64
_ROW_OVERHEAD = 64

_NULL = 0xFFFF_FFFF

Digests = NDArray[np.uint8]
Piece = tuple[Digests, Cells]


def by_content(table: Table, rows: Iterable[Sequence[Cells] | int], *, run_bytes: int = RUN_BYTES) -> Iterator[Batch]:
    """The rows of such a table in the order of their keys. `rows` are groups of rows as the cells of each column, or
    how many rows there are where the table has no columns. Raises `Unsupported` for 2^32 rows that are all the same.
    """
    pieces = map(_known, (_packed(table, group) for group in rows))
    for keys, payload in numbered(table.name, in_order(pieces, run_bytes=run_bytes)):
        yield Batch(keys, _unpacked(table, payload))


def digests_of(table: Table, rows: Sequence[Cells] | int) -> Digests:
    """The digest of each row, shape (n, 16): BLAKE3 of its packed form."""
    return _digests(_packed(table, rows))


def _known(packed: Cells) -> Piece:
    return _digests(packed), packed


def numbered(name: str, pieces: Iterable[Piece]) -> Iterator[tuple[Cells, Cells]]:
    """Keys for rows that stand in the order of their digests: those of one digest are numbered from 0."""
    last, count = b"", 0
    for digests, payload in pieces:
        size = len(digests)
        begins = np.ones(size, np.bool_)
        begins[1:] = (digests[1:] != digests[:-1]).any(axis=1)
        places = np.arange(size, dtype=np.int64)
        numbers = places - np.maximum.accumulate(np.where(begins, places, 0))
        if digests[0].tobytes() == last:
            first = int(np.argmax(begins[1:])) + 1 if begins[1:].any() else size
            numbers[:first] += count
        last, count = digests[-1].tobytes(), int(numbers[-1]) + 1
        if count > _NULL:
            raise Unsupported(f"{name} has more than {_NULL:,} rows that are all the same")
        tail = numbers.astype(">u4").view(np.uint8).reshape(-1, 4)
        yield Cells.fixed(np.hstack([digests, tail])), payload


def in_order(pieces: Iterable[Piece], *, run_bytes: int = RUN_BYTES) -> Iterator[Piece]:
    """The same digests with their payloads, ascending; about `run_bytes` and the largest row are in memory."""
    waiting: list[Piece] = []
    size = 0
    runs: list[_Run] = []
    with tempfile.TemporaryFile() as file:
        for piece in pieces:
            if len(piece[0]):
                waiting.append(piece)
                size += _size(piece)
            if size >= run_bytes:
                if len(piece[0]) == 1 and _size(piece) >= run_bytes:
                    runs.append(_written(file, [waiting.pop()]))  # as it is: with others it would be copied
                if waiting:
                    runs.append(_written(file, _blocks(_merged(waiting))))
                waiting, size = [], 0
            del piece  # not to be held while the next one comes
        if not runs:
            if waiting:
                yield from _blocks(_merged(waiting))
            return
        if waiting:
            runs.append(_written(file, _blocks(_merged(waiting))))
            waiting = []
        yield from _from_runs(runs)


def _size(piece: Piece) -> int:
    digests, payload = piece
    return len(payload.data) + _ROW_OVERHEAD * len(digests)


@dataclass(frozen=True, slots=True)
class _Run:
    """Sorted blocks that lie one after the other in a file."""

    file: IO[bytes]
    start: int
    end: int


def _from_runs(runs: list[_Run]) -> Iterator[Piece]:
    """A file holds one level of runs; where there are many, a second one holds fewer and longer runs."""
    if len(runs) <= _FAN_IN:
        yield from _merge(runs)
        return
    with tempfile.TemporaryFile() as file:
        longer = [_written(file, _merge(runs[at : at + _FAN_IN])) for at in range(0, len(runs), _FAN_IN)]
        yield from _from_runs(longer)


def _merge(runs: Sequence[_Run]) -> Iterator[Piece]:
    """All rows up to the least end of a block, again and again: each round uses up a block at least."""
    readers = [_read(run) for run in runs]
    heads: list[Piece | None] = [next(reader, None) for reader in readers]
    while live := [at for at, head in enumerate(heads) if head is not None]:
        bound = min(_last(heads[at]) for at in live)
        taken: list[Piece] = []
        for at in live:
            head = heads[at]
            assert head is not None
            digests, payload = head
            stop = _count_until(digests, bound)
            if stop:
                taken.append((digests[:stop], payload.slice(0, stop)))
            heads[at] = (
                next(readers[at], None) if stop == len(digests) else (digests[stop:], payload.slice(stop, len(payload)))
            )
        # A large row is a block of its own, so the least end can only be it, and all others come before.
        large = [one for one in taken if len(one[0]) == 1 and len(one[1].data) > _BLOCK_BYTES]
        small = [one for one in taken if len(one[0]) > 1 or len(one[1].data) <= _BLOCK_BYTES]
        if small:
            yield from _blocks(_merged(small))
        yield from large


def _last(head: Piece | None) -> bytes:
    assert head is not None
    last: bytes = head[0][-1].tobytes()
    return last


def _count_until(digests: Digests, bound: bytes) -> int:
    """How many of these ascending digests are not greater."""
    low, high = 0, len(digests)
    while low < high:
        middle = (low + high) // 2
        if digests[middle].tobytes() <= bound:
            low = middle + 1
        else:
            high = middle
    return low


def _merged(pieces: Sequence[Piece]) -> Piece:
    digests = np.concatenate([one for one, _ in pieces])
    payload = Cells.concat([own for _, own in pieces])
    if len(pieces) == 1 and len(digests) == 1:
        return digests, payload
    halves = digests.reshape(-1).view(">u8").astype(np.uint64).reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))
    return digests[order], payload.take(order)


def _blocks(piece: Piece) -> Iterator[Piece]:
    """The same in blocks of bounded size; a larger row comes alone."""
    digests, payload = piece
    start = 0
    while start < len(digests):
        limit = int(np.searchsorted(payload.offsets, payload.offsets[start] + _BLOCK_BYTES, side="right")) - 1
        stop = min(max(limit, start + 1), start + _BLOCK_ROWS, len(digests))
        yield digests[start:stop], payload.slice(start, stop)
        start = stop


def _written(file: IO[bytes], blocks: Iterable[Piece]) -> _Run:
    """`u64 rows`, `u64 bytes`, the digests, the lengths, the bytes: only this process ever reads it."""
    start = file.seek(0, 2)
    for digests, payload in blocks:
        file.write(np.array([len(digests), len(payload.data)], np.uint64).tobytes())
        file.write(np.ascontiguousarray(digests).data)
        file.write(payload.lengths.tobytes())
        file.write(np.ascontiguousarray(payload.data).data)
    return _Run(file, start, file.tell())


def _read(run: _Run) -> Iterator[Piece]:
    at = run.start
    while at < run.end:
        run.file.seek(at)
        rows, size = np.frombuffer(run.file.read(16), np.uint64).tolist()
        digests = np.frombuffer(run.file.read(DIGEST_BYTES * rows), np.uint8).reshape(-1, DIGEST_BYTES)
        lengths = np.frombuffer(run.file.read(8 * rows), np.int64)
        payload = Cells(0, np.frombuffer(run.file.read(size), np.uint8), offsets_of(lengths))
        at = run.file.tell()
        yield digests, payload


def _digests(packed: Cells) -> Digests:
    view, ends = np.ascontiguousarray(packed.data).data, packed.offsets.tolist()
    found = b"".join(
        Hasher(view[start:stop]).digest(length=DIGEST_BYTES) for start, stop in zip(ends, ends[1:], strict=False)
    )
    return np.frombuffer(found, np.uint8).reshape(-1, DIGEST_BYTES)


def _places(table: Table) -> list[int]:
    """The columns in the order of their names' bytes, so that their order in the table does not matter."""
    return sorted(range(len(table.columns)), key=lambda at: table.columns[at].name.encode())


def _packed(table: Table, rows: Sequence[Cells] | int) -> Cells:
    """Each row as one: for each column its length as u32 (all ones where NULL), then its bytes."""
    if isinstance(rows, int):
        return Cells(0, np.empty(0, np.uint8), np.zeros(rows + 1, np.int64))
    pieces: list[Cells] = []
    for at in _places(table):
        cells = rows[at]
        lengths = cells.lengths
        if (lengths >= _NULL).any():
            raise Unsupported(f"{table.name}.{table.columns[at].name} has a cell of 4 GiB or more")
        told = lengths if cells.valid is None else np.where(cells.valid, lengths, _NULL)
        pieces.append(Cells.fixed(told.astype("<u4").view(np.uint8).reshape(-1, 4)))
        if cells.width and cells.valid is not None:  # a NULL of a fixed width is zeros, which are no part of the row
            sizes = np.where(cells.valid, lengths, 0)
            cells = Cells(0, cells.rows[cells.valid].reshape(-1), offsets_of(sizes))
        pieces.append(cells)
    whole = interleave(pieces)
    return Cells(0, whole.data, whole.offsets)  # of no width, though all of a group may be: another group has NULLs


def _unpacked(table: Table, packed: Cells) -> tuple[Cells, ...]:
    columns: list[Cells | None] = [None] * len(table.columns)
    place = packed.offsets[:-1].copy()
    data = np.ascontiguousarray(packed.data)
    for at in _places(table):
        width = table.columns[at].width
        four = np.full(len(place), 4, np.int64)
        told = gather(data, place, four).view("<u4").astype(np.int64)
        is_null = told == _NULL
        valid: NDArray[Any] | None = ~is_null if is_null.any() else None
        sizes = told if valid is None else np.where(valid, told, 0)
        place += 4
        bytes_of = gather(data, place, sizes)
        if width and valid is not None:
            rows = np.zeros((len(place), width), np.uint8)
            rows[valid] = bytes_of.reshape(-1, width)
            columns[at] = Cells.fixed(rows, valid)
        elif width:
            columns[at] = Cells.fixed(bytes_of.reshape(-1, width))
        else:
            columns[at] = Cells(0, bytes_of, offsets_of(sizes), valid)
        place += sizes
    return tuple(cells for cells in columns if cells is not None)
