"""The root of a table, worked out word by word from docs/format.md §3 and §4, slowly, without the library's trees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from blake3 import blake3

from snapstore.rows import Table
from snapstore.tree.node import encode_schema
from tests.tree.sample import CUT_KEY, Row

LIMIT = 256


def weight(key: bytes) -> int:
    hashed = blake3(key, key=CUT_KEY).digest()
    return (256 - int.from_bytes(hashed, "big").bit_length()) // 5


def groups(lasts: Sequence[bytes], least: int) -> list[range]:
    """Members that belong together: their last keys, and the weight after which a group ends."""
    found, start, since = [], 0, 0
    for at, last in enumerate(lasts):
        since += 1
        is_cut = weight(last) >= least
        if is_cut or since % LIMIT == 0 or at + 1 == len(lasts):
            found.append(range(start, at + 1))
            start = at + 1
        if is_cut:
            since = 0
    return found


def u(number: int, size: int) -> bytes:
    return number.to_bytes(size, "little")


def chunk(cells: Sequence[bytes | None], width: int, *, is_key: bool) -> tuple[bytes, bytes]:
    """The reference of a chunk, and its bytes (none for a constant)."""
    spilled = [cell is not None and not width and not is_key and len(cell) > 512 for cell in cells]
    stored = [blake3(cell or b"").digest() if out else cell for cell, out in zip(cells, spilled, strict=True)]
    if not is_key and len(set(zip(stored, spilled, strict=True))) == 1 and len(stored[0] or b"") <= 64:
        only = stored[0]
        if only is None:
            return b"\2", b""
        return (b"\4" + only if spilled[0] else b"\3" + u(len(only), 1) + only), b""
    has_nulls = None in cells
    bits = sum(1 << at for at, cell in enumerate(cells) if cell is not None)
    bitmap = u(bits, -(-len(cells) // 8)) if has_nulls else b""
    if width:
        plain = [cell or bytes(width) for cell in cells]
        planes = b"".join(bytes(cell[at] for cell in plain) for at in range(width))
        data = u(len(cells), 4) + b"\1" + u(has_nulls, 1) + u(width, 2) + bitmap + planes
    else:
        lengths = [65535 if out else len(cell or b"") for cell, out in zip(stored, spilled, strict=True)]
        wide = max(lengths) > 255
        sizes = b"".join(u(length, 2 if wide else 1) for length in lengths)
        flags = has_nulls + 2 * wide
        data = u(len(cells), 4) + b"\2" + u(flags, 1) + bitmap + sizes + b"".join(cell or b"" for cell in stored)
    return (b"\1" if any(spilled) else b"\0") + blake3(data).digest(), data


def node(level: int, counts: Sequence[int], refs: Sequence[bytes], lasts: Sequence[bytes] | None) -> bytes:
    """The reference of a node."""
    if lasts is None and len(set(refs)) == 1 and refs[0][0] >= 2:
        return refs[0]
    data = u(level, 1) + u(len(refs), 4) + b"".join(u(count, 8) for count in counts) + b"".join(refs)
    if lasts is not None:
        data += b"".join(u(len(last), 4) for last in lasts) + b"".join(lasts)
    return (b"\1" if any(ref[0] in (1, 4, 5) for ref in refs) else b"\0") + blake3(data).digest()


def root(table: Table, rows: Mapping[bytes, Row]) -> bytes:
    """The root of these rows, none of whose cells is over 65,536 bytes."""
    schema = blake3(encode_schema(table)).digest()
    keys = sorted(rows)
    trees: list[Callable[[bytes], bytes | None]] = [lambda key: key]
    trees += [lambda key, at=at: rows[key][at] for at in range(len(table.columns))]  # type: ignore[misc]  # bound now
    widths = [table.key_width, *(column.width for column in table.columns)]
    members = groups(keys, 1)
    counts = [len(member) for member in members]
    lasts = [keys[member[-1]] for member in members]
    refs: list[list[bytes]] = []
    height = 0
    for at, (cell, width) in enumerate(zip(trees, widths, strict=True)):
        own = [chunk([cell(keys[row]) for row in member], width, is_key=at == 0) for member in members]
        refs.append([b"\6" + u(len(data), 4) + data if len(own) == 1 and 0 < len(data) <= 1024 else ref
                     for ref, data in own] or [b"\2"])  # fmt: skip
    while len(lasts) > 1:
        height += 1
        members = groups(lasts, height + 1)
        refs = [
            [
                node(height, [counts[at] for at in some], [own[at] for at in some],
                     [lasts[at] for at in some] if tree == 0 else None)
                for some in members
            ]
            for tree, own in enumerate(refs)
        ]  # fmt: skip
        counts = [sum(counts[at] for at in some) for some in members]
        lasts = [lasts[some[-1]] for some in members]
    data = u(len(rows), 8) + u(height, 1) + schema + u(len(table.columns), 4) + b"".join(own[0] for own in refs)
    return blake3(data).digest()
