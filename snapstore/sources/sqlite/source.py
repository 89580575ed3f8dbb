"""A SQLite database as a source: a file, read as one consistent state, changed in one transaction.

    source = SqliteSource("sqlite:///home/me/agents.db")
    with source.view(Selection()) as view:
        [table.name for table in view.tables]

It holds no connection between views.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Invalid
from snapstore.rows import Batch, Table
from snapstore.sources import Reference, Selection, Target, View
from snapstore.sources.roles import Roles, Wanted
from snapstore.sources.sqlite.conditions import condition
from snapstore.sources.sqlite.connection import place_of, url_of
from snapstore.sources.sqlite.matching import matching
from snapstore.sources.sqlite.references import references
from snapstore.sources.sqlite.target import open_target
from snapstore.sources.sqlite.view import open_view

__all__ = ["SqliteSource"]


class SqliteSource:
    """The `Source` under a `sqlite://` URL. Raises `Invalid` if it names no file; the file need not be there yet.

    `wait_seconds` is how long to wait for another program's transaction; `settle_seconds` how long a file must have
    been left alone before its times are trusted (2 is the coarsest clock among file systems).
    """

    kind = "sqlite"
    spares_rows = True

    def __init__(self, url: str, *, wait_seconds: float = 10.0, settle_seconds: float = 2.0) -> None:
        self._place = place_of(url)
        if wait_seconds <= 0:
            raise Invalid("the time to wait for others must be more than 0 seconds")
        self._wait_seconds = wait_seconds
        self._settle_seconds = settle_seconds

    def __repr__(self) -> str:
        return f"SqliteSource({self.url!r})"

    @property
    def url(self) -> str:
        """With the absolute path of the file."""
        return url_of(self._place)

    def view(self, selection: Selection) -> AbstractContextManager[View]:
        """A view that reads: it stops nobody, but for a checkpoint that must wait."""
        return open_view(self._place, selection, wait_seconds=self._wait_seconds, settle_seconds=self._settle_seconds)

    def target(self, selection: Selection) -> AbstractContextManager[Target]:
        """A view that reads and writes: other writers wait, readers do not. A file that is not there is made."""
        return open_target(self._place, selection, wait_seconds=self._wait_seconds)

    def condition(self, roles: Roles, wanted: Wanted) -> str:
        """As `Filters.condition`."""
        return condition(roles, wanted)

    def references(self, table: Table, among: Sequence[Table]) -> Sequence[Reference]:
        """As `Refers.references`: its foreign keys."""
        return references(table, among)

    def matching(self, table: Table, where: str) -> AbstractContextManager[Callable[[Batch], NDArray[np.bool_]]]:
        """As `Source.matching`: the rows are tried in memory."""
        return matching(table, where)
