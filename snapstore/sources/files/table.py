"""The one table of a file tree, and rows of it as columns (format.md §8, File trees).

    table = table_of(selection)
    batch = batch_of(table, [Row(b"notes/a.md", FILE, mode=0o644, mtime_ns=…, content=b"…")])
    rows_in(table, batch)                                   # and back

Nothing is read here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from snapstore.errors import Corrupt, Invalid
from snapstore.rows import Batch, Cells, Column, KeyPart, Table
from snapstore.sources import Selection
from snapstore.sources.files.entry import FILE, FOLDER, LINK
from snapstore.sources.files.within import parts_of, shown
from snapstore.sources.patterns import fits

__all__ = [
    "TABLE", "Row", "batch_of", "decode_attributes", "encode_attributes", "hints_of", "rows_in", "table_of",
    "with_cells",
]  # fmt: skip

TABLE = "tree.files"
COLUMNS = (
    Column("kind", "file.kind"),
    Column("mode", "file.mode", 2),
    Column("size", "file.size", 8),
    Column("mtime", "file.time", 8),
    Column("target", "file.target"),
    Column("same_as", "file.path"),
    Column("attributes", "file.attributes"),
    Column("content", "file.content"),
)
_KEY = (KeyPart("path", "file.path", "bytes"),)
_NEEDED = ("kind", "target", "content")


@dataclass(frozen=True, slots=True)
class Row:
    """One file, folder or link. `mtime_ns`, `content` and `same_as` are a file's, `target` a link's; `mode` no link's.

    `attributes` are encoded; `stamp` is what stands beside the row, if anything.
    """

    path: bytes
    kind: bytes
    mode: int | None = None
    mtime_ns: int | None = None
    target: bytes | None = None
    same_as: bytes | None = None
    attributes: bytes | None = None
    content: bytes | None = None
    stamp: bytes | None = None


def table_of(selection: Selection) -> Table | None:
    """The table as the selection wants it; None if it does not. Raises `Invalid` for a pattern that fits nothing."""
    for pattern in (*selection.tables, *selection.exclude):
        if not selection.optional and not fits(pattern, TABLE):
            raise Invalid(
                f"nothing in a file tree fits the pattern {pattern!r}",
                hint=f"All files are in one table, {TABLE}; --only and --ignore choose among them.",
            )
    chosen = not selection.tables or any(fits(one, TABLE) for one in selection.tables)
    if not chosen or any(fits(one, TABLE) for one in selection.exclude):
        return None
    left_out = {one.removeprefix(TABLE + ".") for one in selection.exclude_columns}
    for name in sorted(left_out):
        if name in _NEEDED or all(name != column.name for column in COLUMNS):
            known = ", ".join(column.name for column in COLUMNS if column.name not in _NEEDED)
            raise Invalid(f"{TABLE} cannot be taken without {name!r}", hint=f"It can be without: {known}.")
    if not selection.attributes:
        left_out.add("attributes")
    columns = tuple(column for column in COLUMNS if column.name not in left_out)
    said = sorted(left_out - ({"attributes"} if not selection.attributes else set()))
    return Table(TABLE, _KEY, columns, {"left_out": said})


def hints_of(table: Table) -> Table:
    """The shape of stamps. They speak of the whole row; the column they stand under is one that is never NULL."""
    return Table(table.name, table.key, (Column("kind", "file.stamp"),), {"stamps": 1})


def batch_of(table: Table, rows: Sequence[Row], *, hints: bool = False) -> Batch:
    """These rows as columns, with their stamps behind if `hints`."""
    cells = [Cells.of([_cell(row, column.name) for row in rows], width=column.width) for column in table.columns]
    if hints:
        cells.append(Cells.of([row.stamp for row in rows]))
    return Batch(Cells.of([row.path for row in rows]), tuple(cells))


def rows_in(table: Table, batch: Batch) -> Iterator[Row]:
    """The rows of a batch whose columns are the table's. Raises `Corrupt` for one that no tree can have."""
    names = [column.name for column in table.columns]
    columns = [cells.to_list() for cells in batch.columns]
    for at, path in enumerate(batch.keys.to_list()):
        parts_of(path or b"")
        yield with_cells(Row(path or b"", b""), {name: own[at] for name, own in zip(names, columns, strict=True)})


def with_cells(row: Row, cells: Mapping[str, bytes | None]) -> Row:
    """The row with these cells in it. Raises `Corrupt` where they cannot be together."""
    changes: dict[str, Any] = {}
    for name, cell in cells.items():
        if name == "mode":
            changes["mode"] = None if cell is None else struct.unpack(">H", cell)[0]
        elif name == "mtime":
            changes["mtime_ns"] = None if cell is None else struct.unpack(">q", cell)[0]
        elif name != "size":
            changes[name] = cell
    made = replace(row, **changes)
    if made.same_as is not None:
        parts_of(made.same_as)
    is_whole = (made.content is not None) == (made.kind == FILE) and (made.target is not None) == (made.kind == LINK)
    if made.kind not in (FILE, FOLDER, LINK) or not is_whole or (made.mode or 0) > 0o777:
        raise Corrupt(f"{shown(row.path)}: the snapshot holds neither a file nor a folder nor a link")
    if made.target is not None and (b"\0" in made.target or not made.target):
        raise Corrupt(f"{shown(row.path)}: the snapshot holds a link to nowhere")
    return made


def _cell(row: Row, name: str) -> bytes | None:
    if name == "mode":
        return None if row.mode is None else struct.pack(">H", row.mode)
    if name == "mtime":
        return None if row.mtime_ns is None else struct.pack(">q", row.mtime_ns)
    if name == "size":
        return None if row.content is None else struct.pack(">Q", len(row.content))
    cell: bytes | None = getattr(row, name)
    return cell


_LENGTH = struct.Struct(">I")


def encode_attributes(attributes: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Extended attributes as one cell; None for none."""
    pieces = [one for name, value in sorted(attributes) for one in (name, value)]
    return b"".join(_LENGTH.pack(len(one)) + one for one in pieces) or None


def decode_attributes(cell: bytes | None) -> dict[bytes, bytes]:
    """And back. Raises `Corrupt`."""
    pieces: list[bytes] = []
    at, data = 0, cell or b""
    while at < len(data):
        if at + _LENGTH.size > len(data):
            raise Corrupt("extended attributes end within a length")
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if at + length > len(data):
            raise Corrupt("extended attributes end within one of them")
        pieces.append(data[at : at + length])
        at += length
    if len(pieces) % 2:
        raise Corrupt("an extended attribute has no value")
    return dict(zip(pieces[::2], pieces[1::2], strict=True))
