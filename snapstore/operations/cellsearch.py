"""The cells among some that hold a text: in their own bytes, or in the large value they name.

    search = CellSearch(table, fetch, needle)
    for hit in search.hits(2, cells):           # the cells of the third tree: of column 1
        hit.row, hit.number, hit.cell

Large values are fetched here, each once, whatever rows and snapshots have it. It does not know where in a table the
cells stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snapstore.blobs.pack import rows_of
from snapstore.digest import Digest
from snapstore.keys import decode_equal
from snapstore.operations.marks import DigestSet
from snapstore.operations.needle import Needle
from snapstore.rows import Cells, Table
from snapstore.sources.display import holds_text, texts
from snapstore.tree import Fetch
from snapstore.tree.values import resolve

__all__ = ["CellHit", "CellSearch", "Values"]

_VALUES = 128
"""Large values that are fetched in one round: 64 KB each at most, and those in parts one by one."""


class CellHit(NamedTuple):
    """A cell that holds the text: its row among those that were searched; the number of its column in the table, or
    -1 - i for part i of the key; its bytes as they are held, and how it is spilled.
    """

    row: int
    number: int
    cell: bytes
    spilled: int


class CellSearch:
    """Looks for one text in the cells of a table, all of whose columns are of text.

    `trees` are those to look into: 0 is the key, if it has text in it, column i is i + 1.
    """

    def __init__(self, table: Table, fetch: Fetch, needle: Needle, values: Values) -> None:
        self.table = table
        self.fetch = fetch
        self.needle = needle
        self._values = values
        self._parts = [at for at, part in enumerate(table.key) if part.lossless and holds_text(part.type)]
        self.trees = [*([0] if self._parts else []), *range(1, 1 + len(table.columns))]

    def hits(self, tree: int, cells: Cells, *, values_alone: bool = False) -> Iterator[CellHit]:
        """The cells of this tree that hold it; with `values_alone` only those that are large values."""
        for number, of_type, own in self._told(tree, cells):
            self._values.look(own, of_type)
            is_spilled = np.zeros(len(own), np.bool_) if own.spilled is None else own.spilled > 0
            for at in () if values_alone else self._likely(own, is_spilled):
                cell = own[at]
                if cell is not None and _holds(self.needle, cell, of_type):
                    yield CellHit(at, number, cell, 0)
            for at in np.flatnonzero(is_spilled).tolist() if self._values.found_any else ():
                cell = own[at] or b""
                if own.spilled is not None and self._values.holds(cell, of_type):
                    yield CellHit(at, number, cell, int(own.spilled[at]))

    def _told(self, tree: int, cells: Cells) -> Iterator[tuple[int, str, Cells]]:
        """The columns in these cells, each with its number and type."""
        if tree:
            yield tree - 1, self.table.columns[tree - 1].type, cells
            return
        for at, own in enumerate(decode_equal(self.table.key, cells)):
            if at in self._parts:
                yield -1 - at, self.table.key[at].type, own

    def _likely(self, cells: Cells, is_spilled: NDArray[np.bool_]) -> list[int]:
        """The cells in which its bytes begin, of those that are here; all of them where nobody can say."""
        data = cells.data.tobytes()
        starts = self.needle.starts(data)
        if starts is None:
            rows: list[int] = np.flatnonzero(~is_spilled).tolist() if self.needle.may_stand_in(data) else []
            return rows
        found = np.unique(np.searchsorted(cells.offsets, starts, side="right") - 1) if starts else np.empty(0, np.int64)
        own: list[int] = found[~is_spilled[found]].tolist()
        return own


class Values:
    """Large values, each fetched and searched once, whatever tables of whatever shape have it."""

    def __init__(self, fetch: Fetch, needle: Needle) -> None:
        self._fetch = fetch
        self._needle = needle
        self._searched: dict[str, DigestSet] = {}
        self._holding: set[tuple[str, bytes]] = set()

    def look(self, cells: Cells, of_type: str) -> None:
        """Search the values among these cells that were not searched yet, as cells of this type."""
        if cells.spilled is None:
            return
        for kind, step in ((1, _VALUES), (2, 1)):
            rows = np.flatnonzero(cells.spilled == kind)
            if not len(rows):
                continue
            names = [Digest(cell or b"") for cell in cells.take(rows).to_list()]
            rows = rows[self._searched.setdefault(of_type, DigestSet()).add(rows_of(names))]
            for start in range(0, len(rows), step):
                some = cells.take(rows[start : start + step])
                for name, value in zip(some.to_list(), resolve(some, self._fetch).to_list(), strict=True):
                    if value is not None and _holds(self._needle, value, of_type):
                        self._holding.add((of_type, name or b""))

    @property
    def found_any(self) -> bool:
        """Whether any value so far holds it."""
        return bool(self._holding)

    def holds(self, name: bytes, of_type: str) -> bool:
        """Whether the value with this digest, which was looked at, holds it."""
        return (of_type, name) in self._holding


def _holds(needle: Needle, cell: bytes, of_type: str) -> bool:
    return needle.may_stand_in(cell) and any(needle.span(text) is not None for text in texts(of_type, cell))
