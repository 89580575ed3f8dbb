"""Large cells as blobs of their own (format.md §3): spilled on the way in, resolved on the way out.

    small = spill(cells, sink, stride=4)        # cells over 512 bytes became digests
    cells = resolve(small, fetch)               # and are themselves again

Very large cells are cut by content, so an edit in the middle of a file stores the parts around it. This module does not
know which column a cell is from.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from snapstore.digest import DIGEST_BYTES, Buffer, Digest, Kind
from snapstore.errors import Corrupt
from snapstore.ragged import offsets_of
from snapstore.rows import Cells
from snapstore.tree import Fetch, Sink

__all__ = ["SPILL_BYTES", "part_digests", "resolve", "spill"]

SPILL_BYTES = 512
VALUE_BYTES = 64 * 1024
PART_LEAST_BYTES = 64 * 1024
PART_MOST_BYTES = 1024 * 1024
_PART_MASK = np.uint32(((1 << 18) - 1) << 14)
_WINDOW = 32
_HEAD = struct.Struct("<QI")
_PART = np.dtype([("length", "<u4"), ("digest", "V32")])


def spill(cells: Cells, sink: Sink, *, stride: int) -> Cells:
    """The same cells, those over `SPILL_BYTES` replaced by the digest of a value or parts blob put to the sink."""
    lengths = cells.lengths
    large = np.flatnonzero(lengths > SPILL_BYTES)
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
                digests.append(_put_parts(value, sink))
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


def _put_parts(cell: Buffer, sink: Sink) -> Digest:
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
    block = 4 * 1024 * 1024
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
