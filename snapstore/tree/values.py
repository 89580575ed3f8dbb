"""Large cells as blobs of their own (format.md §3): spilled on the way in, resolved on the way out.

    small = spill(cells, sink, stride=4)        # cells over 512 bytes became digests
    cells = resolve(small, fetch)               # and are themselves again
    for batch in portions(keys, [(small, fetch)]): ...      # the same, as many rows at a time as memory should hold

Very large cells are cut by content, so an edit in the middle of a file stores the parts around it. This module does not
know which column a cell is from.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from snapstore.digest import DIGEST_BYTES, Buffer, Digest, Kind
from snapstore.errors import Corrupt
from snapstore.ragged import offsets_of
from snapstore.rows import Batch, Cells
from snapstore.tree import Fetch, Sink

__all__ = ["part_digests", "portions", "put_parts", "read_parts", "resolve", "spill"]

_SPILL_BYTES = 512
VALUE_BYTES = 64 * 1024
PART_LEAST_BYTES = 64 * 1024
PART_MOST_BYTES = 1024 * 1024
PORTION_BYTES = 64 * 1024 * 1024
_PORTION_ROWS = 8192
_PART_MASK = np.uint32(((1 << 18) - 1) << 14)
_WINDOW = 32
_HEAD = struct.Struct("<QI")
_PART = np.dtype([("length", "<u4"), ("digest", "V32")])


def spill(cells: Cells, sink: Sink, *, stride: int) -> Cells:
    """The same cells, those over `_SPILL_BYTES` replaced by the digest of a value or parts blob put to the sink."""
    lengths = cells.lengths
    large = np.flatnonzero(lengths > _SPILL_BYTES)
    if not len(large):
        return cells
    view = np.ascontiguousarray(cells.data).data
    ends = cells.offsets.tolist()
    spilled = np.zeros(len(cells), np.uint8)
    spilled[large] = 1
    positions = large.tolist()
    values = [view[ends[at] : ends[at + 1]] for at in positions]
    digest = sink.naming.digest
    digests = [digest(value) for value in values] if lengths.max() <= VALUE_BYTES else []
    if digests:
        sink.put(Kind.VALUE, digests, values, stride=stride)
    else:
        for at, value in zip(positions, values, strict=True):
            if len(value) <= VALUE_BYTES:
                digests.append(digest(value))
                sink.put(Kind.VALUE, digests[-1:], [value], stride=stride)
            else:
                digests.append(put_parts(value, sink))
                spilled[at] = 2
    stored = np.where(spilled > 0, DIGEST_BYTES, lengths)
    if len(positions) == len(cells):
        joined = b"".join(digests)
    else:
        pieces: list[Buffer] = [view[a:b] for a, b in zip(ends, ends[1:], strict=False)]
        for at, name in zip(positions, digests, strict=True):
            pieces[at] = name
        joined = b"".join(pieces)
    return Cells(0, np.frombuffer(joined, np.uint8), offsets_of(stored), cells.valid, spilled)


def resolve(cells: Cells, fetch: Fetch) -> Cells:
    """The cells themselves, values fetched. Raises `Corrupt` where a parts blob or its parts do not fit."""
    if cells.spilled is None or not cells.spilled.any():
        return cells if cells.spilled is None else Cells(cells.width, cells.data, cells.offsets, cells.valid)
    ends = cells.offsets.tolist()
    whole = cells.data.tobytes()
    pieces: list[bytes] = [whole[a:b] for a, b in zip(ends, ends[1:], strict=False)]
    at_values = np.flatnonzero(cells.spilled).tolist()
    blobs = fetch.get_many([Digest(pieces[at]) for at in at_values])
    for at, data in zip(at_values, blobs, strict=True):
        pieces[at] = data if cells.spilled[at] == 1 else _join_parts(data, pieces[at].hex(), fetch)
    lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
    return Cells(0, np.frombuffer(b"".join(pieces), np.uint8), offsets_of(lengths), cells.valid)


def portions(keys: Cells, columns: Sequence[tuple[Cells, Fetch | None]]) -> Iterator[Batch]:
    """Rows with these keys and cells, large ones fetched (left as they are where there is nothing to fetch them from).

    At most 8,192 rows or `PORTION_BYTES` at a time, a value counted at the most it can be; a larger row comes alone.
    """
    sizes = sum((_most_bytes(cells, fetch) for cells, fetch in columns), keys.lengths)
    ends = np.cumsum(sizes)
    start = 0
    while start < len(keys):
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + PORTION_BYTES, side="right"))
        stop = min(max(stop, start + 1), start + _PORTION_ROWS, len(keys))
        some = ((cells.slice(start, stop), fetch) for cells, fetch in columns)
        cells = tuple(own if fetch is None else resolve(own, fetch) for own, fetch in some)
        yield Batch(keys.slice(start, stop), cells)
        start = stop


def _most_bytes(cells: Cells, fetch: Fetch | None) -> NDArray[np.int64]:
    """Bytes of each cell once it is fetched, or more: only what is in parts says how long it is. Shape (n,)."""
    if fetch is None or cells.spilled is None:
        return cells.lengths
    sizes = np.where(cells.spilled == 1, VALUE_BYTES, cells.lengths)
    for at in np.flatnonzero(cells.spilled == 2).tolist():
        name = Digest(cells[at] or b"")
        sizes[at] = part_digests(fetch.get_many([name])[0], f"parts blob {name.hex()}")[2]
    return sizes


def put_parts(cell: Buffer, sink: Sink) -> Digest:
    """Put a very large cell to the sink; the digest of its parts blob."""
    digest = sink.naming.digest
    ends = part_ends(np.frombuffer(cell, np.uint8), sink.naming.gear)
    parts = np.empty(len(ends), _PART)
    view, start = memoryview(cell), 0
    for number, end in enumerate(ends):
        part = view[start:end]
        name = digest(part)
        sink.put(Kind.VALUE, [name], [part])
        parts[number] = (end - start, np.void(name))
        start = end
    blob = _HEAD.pack(len(cell), len(ends)) + parts.tobytes()
    name = digest(blob)
    sink.put(Kind.PARTS, [name], [blob])
    return name


def part_ends(cell: NDArray[np.uint8], gear: bytes) -> list[int]:
    """Where the parts of a cell end (format.md §3, Parts), by a gear hash over the last 32 bytes."""
    numbers = np.frombuffer(gear, "<u4")
    ends: list[int] = []
    start, total = 0, len(cell)
    block = 256 * 1024  # what is at hand stays in the processor's cache: twice as fast as 4 MiB
    candidates: list[int] = []
    for low in range(0, total, block):
        begin = max(0, low - _WINDOW + 1)
        rolled = _gear_hash(cell[begin : low + block], numbers)[low - begin :]
        candidates.extend((np.flatnonzero((rolled & _PART_MASK) == 0) + low + 1).tolist())
    for candidate in candidates:
        while candidate - start > PART_MOST_BYTES:
            start += PART_MOST_BYTES
            ends.append(start)
        if candidate - start >= PART_LEAST_BYTES:
            start = candidate
            ends.append(start)
    while total - start > PART_MOST_BYTES:
        start += PART_MOST_BYTES
        ends.append(start)
    if start < total:
        ends.append(total)
    return ends


def _gear_hash(data: NDArray[np.uint8], gear: NDArray[np.uint32]) -> NDArray[np.uint32]:
    # A sum over a window of 32 is five doublings: after step s each place holds the sum over the last 2^s bytes.
    rolled = gear[data].astype(np.uint32)
    for step in (1, 2, 4, 8, 16):
        shifted = rolled[:-step] << np.uint32(step)
        rolled[step:] += shifted
    return rolled


def part_digests(data: bytes, what: str) -> tuple[list[Digest], list[int], int]:
    """The digests and lengths that a parts blob lists, and their total. Raises `Corrupt`."""
    if len(data) < _HEAD.size:
        raise Corrupt(f"{what}: a parts blob of {len(data)} bytes")
    total, count = _HEAD.unpack_from(data)
    if len(data) != _HEAD.size + count * _PART.itemsize:
        raise Corrupt(f"{what}: a parts blob whose size does not fit its {count} parts")
    parts = np.frombuffer(data, _PART, count, _HEAD.size)
    lengths = parts["length"].tolist()
    if sum(lengths) != total or max(lengths, default=0) > PART_MOST_BYTES:
        raise Corrupt(f"{what}: parts of {sum(lengths)} bytes for a cell of {total}")
    return [Digest(name.tobytes()) for name in parts["digest"]], lengths, total


def read_parts(name: Digest, fetch: Fetch) -> bytes:
    """The very large cell of which this is the parts blob. Raises `Corrupt` where it and its parts do not fit."""
    return _join_parts(fetch.get_many([name])[0], name.hex(), fetch)


def _join_parts(data: bytes, name: str, fetch: Fetch) -> bytes:
    digests, lengths, _ = part_digests(data, f"parts blob {name}")
    parts = fetch.get_many(digests)
    if [len(part) for part in parts] != lengths:
        raise Corrupt(f"parts blob {name}: a part has another length than it says")
    try:
        return b"".join(parts)
    except MemoryError as error:
        # One part may stand in a list a million times: what a store of a few megabytes can claim has no other bound.
        raise Corrupt(f"parts blob {name}: a cell of {sum(lengths):,} bytes, for which there is no room") from error
