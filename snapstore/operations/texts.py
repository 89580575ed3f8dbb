"""Some columns of a table as people read them: so that values of different engines and types may be compared.

    for key, (source_id,) in rows_as_text(table, ["source_id"]):
        ...

Only these columns are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from snapstore.keys import decode_equal
from snapstore.operations.state import StateTable
from snapstore.rows import Cells
from snapstore.sources.display import display
from snapstore.tree.values import resolve

__all__ = ["rows_as_text"]


def rows_as_text(
    table: StateTable, names: Sequence[str], keys: Sequence[bytes] | None = None
) -> Iterator[tuple[bytes, tuple[str | None, ...]]]:
    """The key, and the values of these columns (stored ones, or of the key), of every row in order; None for NULL.

    With `keys`, ascending, only in the rows that have these. The table's rows must have been taken.
    """
    tree = table.tree
    assert tree is not None
    shape = tree.table
    places = {column.name: at for at, column in enumerate(shape.columns) if column.name in names}
    parts = {part.name: at for at, part in enumerate(shape.key)}
    stored = list(places.values())
    if keys is not None:
        batch = tree.lookup(keys, stored)
        groups = iter([(batch.keys, dict(zip(stored, batch.columns, strict=True)))])
    else:
        groups = ((tree.keys(spans), {at: tree.cells(at + 1, spans) for at in stored}) for spans in tree.leaves(stored))
    for own, cells in groups:
        decoded: Sequence[Cells] = () if places.keys() >= set(names) else decode_equal(shape.key, own)
        columns = []
        for name in names:
            if name in places:
                column = shape.columns[places[name]]
                plain = resolve(cells[places[name]], table.fetch).to_list()
                columns.append([_word(display(column.type, one, stride=column.stride)) for one in plain])
            else:
                part = parts[name]
                columns.append([_word(display(shape.key[part].type, one)) for one in decoded[part].to_list()])
        yield from zip((key or b"" for key in own.to_list()), zip(*columns, strict=True), strict=True)


def _word(value: Any) -> str | None:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # what one engine holds as 7.0 is 7 in another
    return None if value is None else str(value)
