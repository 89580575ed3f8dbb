"""Snapshots that nobody's folder gave: whatever rows somebody put into a repository who means harm.

before = forged(memory, Row(b"../x", FILE, 0o644, 0, content=b"evil"))
memory.restore(before)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from snapstore.operations.take import Request, take
from snapstore.repository import Snapshot
from snapstore.rows import Batch, Table
from snapstore.sources import Selection
from snapstore.sources.files.source import FilesSource
from snapstore.sources.files.table import Row, batch_of, table_of
from tests.sources.files.memory import Memory


class _View:
    definition: Mapping[str, Any] = {}
    position: Mapping[str, Any] = {}
    missing: Sequence[str] = ()

    def __init__(self, rows: Sequence[Row]) -> None:
        table = table_of(Selection())
        assert table is not None
        self.tables = (table,)
        self._rows = sorted(rows, key=lambda row: row.path)

    def read(self, table: Table) -> Iterator[Batch]:
        yield batch_of(table, self._rows)

    def confirm(self) -> None:
        pass


class _Source(FilesSource):
    def __init__(self, url: str, rows: Sequence[Row]) -> None:
        super().__init__(url)
        self._rows = rows

    @contextmanager
    def view(self, selection: Selection) -> Iterator[_View]:
        yield _View(self._rows)


def forged(memory: Memory, *rows: Row) -> Snapshot:
    """A snapshot of these rows, committed as any other."""
    return take(memory.repository, [Request("memory", _Source(memory.source.url, rows))]).snapshot
