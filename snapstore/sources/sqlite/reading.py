"""Rows of a table in the order of its key, as batches of columns: SQLite's values as cells (format.md §8, SQLite).

    for batch in read_rows(connection, table):
        ...

Text that is not valid in the database's encoding is read a second way, byte by byte. It opens and ends no transaction.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from itertools import chain, islice, pairwise
from typing import Any

import apsw
import numpy as np

from snapstore import keys, tagged
from snapstore.errors import Corrupt, Unsupported
from snapstore.multiset import by_content
from snapstore.ragged import offsets_of
from snapstore.rows import Batch, Cells, Column, KeyPart, Table
from snapstore.sources.sqlite.connection import quoted

__all__ = ["collated", "columns_of", "exact_rows", "ordered", "read_cells", "read_rows", "selected"]

_ROWS = 8192
_GROUP_ROWS = 2048  # what is made of so many rows stays in the processor's cache until it is cells
_FIRST_ROWS = 256
_BYTES = 4 << 20
_COLLATE = {"value": "BINARY", "nocase": "NOCASE", "rtrim": "RTRIM"}

Row = tuple[Any, ...]


def read_rows(connection: apsw.Connection, table: Table, *, where: str | None = None) -> Iterator[Batch]:
    """Batches of at most some thousands of rows, or about 4 MB."""
    found = read_cells(connection, table, where=where)
    if table.by_content:
        yield from by_content(table, found)
        return
    places = [[one.name for one in columns_of(table)].index(column.name) for column in table.columns]
    done, last = 0, Cells.of([])
    for cells in found:
        encoded = keys.encode(table.key, cells[: len(table.key)])
        if len(table.key) > 1:
            _check_numbers(table, [*last.to_list(), *encoded.to_list()])
            last = encoded.slice(len(encoded) - 1, len(encoded))
        yield Batch(encoded, tuple(cells[place] for place in places))
        done += len(encoded)
    if where is None and _is_read_by_index(table):
        _check_count(connection, table, done)


def _check_numbers(table: Table, found: Sequence[bytes | None]) -> None:
    """Raises `Unsupported` where one number stands in two ways before the last part of a key: to the engine 1 and 1.0
    are equal there, and the next part decides; by their bytes (format.md §8) they are not.
    """
    for before, after in pairwise(found):
        if before is None or after is None or before < after:
            continue
        for part, own in zip(table.key, keys.decode_equal(table.key, Cells.of([before, after])), strict=True):
            one, other = tagged.decode(own) if part.type == "sqlite.value" else own.to_list()
            if isinstance(one, int | float) and one == other and repr(one) != repr(other):
                raise Unsupported(
                    f"{table.name}: its key column {part.name} has {one!r} in one row and {other!r} in another, "
                    "which are one number, and no order of keys can be told",
                    hint=f"Write one number one way, or leave the table out: --exclude {table.definition['name']}.",
                )
            if one != other:
                break  # it is the order of these that is wrong, which whoever takes the rows will say


def _is_read_by_index(table: Table) -> bool:
    """Whether the order of rows is that of an index beside the table, which may lack rows if it is damaged."""
    return table.key[0].encoding != "int8" and not table.definition["without_rowid"]


def _check_count(connection: apsw.Connection, table: Table, done: int) -> None:
    count = connection.execute(f"SELECT count(*) FROM main.{quoted(table.definition['name'])} NOT INDEXED").get
    if count != done:
        raise Corrupt(
            f"{table.name} has {count:,} rows, and its primary key gives {done:,} of them: its index is damaged",
            hint="REINDEX in a copy of the file; `--salvage` takes what the table itself gives.",
        )


def read_cells(connection: apsw.Connection, table: Table, *, where: str | None = None) -> Iterator[tuple[Cells, ...]]:
    """The same rows as cells of `columns_of(table)`; in no order where they have no key."""
    waiting: list[tuple[Cells, ...]] = []
    rows = size = 0
    groups = _groups(connection, table, where)
    while True:
        try:
            cells = next(groups, None)
        except apsw.Error:
            if waiting:
                yield _joined(waiting)  # what came before it can be read
            raise
        if waiting and (cells is None or rows + len(cells[0]) > _ROWS or size >= _BYTES):
            yield _joined(waiting)
            rows = size = 0
        if cells is None:
            return
        waiting.append(cells)
        rows += len(cells[0])
        size += sum(len(one.data) for one in cells)


def _joined(groups: list[tuple[Cells, ...]]) -> tuple[Cells, ...]:
    """One after the other; they are not kept."""
    cells = tuple(Cells.concat(pieces) for pieces in zip(*groups, strict=True))
    groups.clear()
    return cells


def columns_of(table: Table) -> tuple[Column, ...]:
    """What is read of a row: the columns of the key, then the stored ones that are not among them."""
    if table.by_content:
        return table.columns
    key = tuple(Column(part.name, part.type, width=8 if part.encoding == "int8" else 0) for part in table.key)
    own = {part.name for part in table.key}
    return (*key, *(column for column in table.columns if column.name not in own))


def ordered(table: Table) -> str:
    """The ORDER BY that gives rows in the order of their keys' bytes."""
    if table.by_content:
        return ""
    return " ORDER BY " + ", ".join(map(collated, table.key))


def collated(part: KeyPart) -> str:
    """A column of the key under the collation of the key, which need not be the column's own."""
    return quoted(part.name) + (f" COLLATE {_COLLATE[part.encoding]}" if part.encoding in _COLLATE else "")


def _groups(connection: apsw.Connection, table: Table, where: str | None) -> Generator[tuple[Cells, ...], None, None]:
    encoding = str(connection.pragma("encoding", schema="main"))
    fields = columns_of(table)
    done = 0
    if encoding == "UTF-8":
        try:
            for cells in _turned(connection.execute(selected(table, where=where, order=ordered(table))), fields):
                yield cells
                done += len(cells[0])
            return
        except UnicodeDecodeError:
            pass  # the rows so far were well; the rest is read byte by byte
    found = connection.execute(selected(table, exact=True, where=where, order=ordered(table)))
    for _ in islice(found, done):
        pass
    yield from _turned(exact_rows(found, encoding), fields)


def exact_rows(found: Iterator[Row], encoding: str) -> Iterator[Row]:
    """Rows of an exact query as values, in a database of this encoding."""
    python_encoding = {"UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}.get(encoding, "utf-8")
    return (_exact(row, python_encoding) for row in found)


def selected(table: Table, *, exact: bool = False, where: str | None = None, order: str = "") -> str:
    """The query for `columns_of(table)`; an `exact` one gives the class of each value before it, and text as bytes."""
    names = [quoted(column.name) for column in columns_of(table)]
    if exact:
        names = [
            f"typeof({one}), CASE typeof({one}) WHEN 'text' THEN CAST({one} AS BLOB) ELSE {one} END" for one in names
        ]
    # An index that happens to have all columns is not the table: if it is damaged nobody would miss the rows it lacks.
    is_plain = not table.by_content and table.key[0].encoding == "int8" and "module" not in table.definition
    # The line ends keep a comment at the end of somebody's condition from swallowing what follows.
    condition = f" WHERE (\n{where}\n)" if where is not None else ""
    source = f"main.{quoted(table.definition['name'])}{' NOT INDEXED' if is_plain else ''}"
    return f"SELECT {', '.join(names)} FROM {source}{condition}{order}"


def _turned(found: Iterator[Row], fields: Sequence[Column]) -> Generator[tuple[Cells, ...], None, None]:
    """Rows as columns of cells, in groups whose size follows that of the rows.

    The values of a group go into one flat list: a tuple that does not outlive its row costs nothing to make, and
    columns are slices. A million rows take 0.4 s so, where tuples that are kept and then turned take 0.85 (measured).
    """
    values = chain.from_iterable(found)
    count, width = _FIRST_ROWS, len(fields)
    while flat := list(islice(values, count * width)):
        cells = tuple(_column(field, flat[at::width]) for at, field in enumerate(fields))
        del flat
        yield cells
        mean = sum(len(one.data) for one in cells) / len(cells[0]) + 16 * width
        count = min(_GROUP_ROWS, max(1, int(_BYTES / mean)), 4 * count)
        del cells


def _exact(row: Row, encoding: str) -> Row:
    return tuple(
        _text(value, encoding) if kind == "text" else value for kind, value in zip(row[::2], row[1::2], strict=True)
    )


def _text(data: bytes, encoding: str) -> tagged.Value:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return tagged.RawText(data, encoding)
    return text if text.encode(encoding) == data else tagged.RawText(data, encoding)


def _column(field: Column, values: Sequence[Any]) -> Cells:
    if field.type == "sqlite.value":
        return tagged.encode(values)
    wanted = {"sqlite.integer": int, "sqlite.real": float, "sqlite.text": str, "sqlite.blob": bytes}[field.type]
    kinds = set(map(type, values))
    has_null = type(None) in kinds
    kinds -= {type(None), wanted}
    if kinds == {tagged.RawText} and wanted is str:
        return Cells.of([_plain(one) for one in values])
    if kinds:
        raise Corrupt(f"the column {field.name} holds a value that its type does not allow")
    valid = np.fromiter((one is not None for one in values), np.bool_, len(values)) if has_null else None
    present = [one for one in values if one is not None] if has_null else values
    if field.width:
        numbers = np.array(present, ">i8" if wanted is int else ">f8").view(np.uint8).reshape(-1, 8)
        if valid is None:
            return Cells.fixed(numbers)
        rows = np.zeros((len(values), 8), np.uint8)
        rows[valid] = numbers
        return Cells.fixed(rows, valid)
    if wanted is str:
        data, lengths = tagged.joined_text(present)
        cells = Cells(0, data, offsets_of(lengths))
    else:
        cells = Cells.of(present)
    return cells if valid is None else tagged.spread(cells, valid)


def _plain(text: tagged.RawText | str | None) -> bytes | None:
    if isinstance(text, tagged.RawText):
        return text.data
    return None if text is None else text.encode()
