"""A PostgreSQL database as a source: opened by URL, read as one consistent state, changed under a lock.

    source = PostgresSource("postgresql://me@/agents?host=/run/postgresql")
    with source.view(Selection()) as view:
        [table.name for table in view.tables]

It holds no connection between views, so one source may be used from several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Invalid
from snapstore.rows import Batch, Table
from snapstore.sources import Reference, Selection, Target, View
from snapstore.sources.postgres.conditions import condition
from snapstore.sources.postgres.connection import check_url, redact
from snapstore.sources.postgres.converting import Conversion, converting
from snapstore.sources.postgres.matching import matching
from snapstore.sources.postgres.references import references
from snapstore.sources.postgres.target import open_target
from snapstore.sources.postgres.view import PostgresView, open_view
from snapstore.sources.roles import Roles, Wanted

__all__ = ["PostgresSource"]


class PostgresSource:
    """The `Source` under a `postgresql://` URL or a `key=value` string. Raises `Invalid` if it cannot be read as one.

    `lock_timeout_seconds` is how long to wait for a table that another session holds.
    """

    kind = "postgresql"
    spares_rows = True

    def __init__(self, url: str, *, lock_timeout_seconds: float = 10.0) -> None:
        check_url(url)
        if lock_timeout_seconds <= 0:
            raise Invalid("the time to wait for locks must be more than 0 seconds")
        self._url = url
        self._lock_timeout_seconds = lock_timeout_seconds

    def __repr__(self) -> str:
        return f"PostgresSource({self.url!r})"

    @property
    def url(self) -> str:
        """Without a password."""
        return redact(self._url)

    def view(self, selection: Selection) -> AbstractContextManager[View]:
        """A view that reads: `ACCESS SHARE` locks, which stop nobody but DDL."""
        return open_view(
            self._url,
            selection,
            PostgresView,
            lock_timeout_seconds=self._lock_timeout_seconds,
            absent=selection.optional,
        )

    def target(self, selection: Selection) -> AbstractContextManager[Target]:
        """A view that reads and writes: `SHARE ROW EXCLUSIVE` locks, which stop every other writer."""
        return open_target(self._url, selection, lock_timeout_seconds=self._lock_timeout_seconds)

    def condition(self, roles: Roles, wanted: Wanted) -> str:
        """As `Filters.condition`."""
        return condition(roles, wanted)

    def references(self, table: Table, among: Sequence[Table]) -> Sequence[Reference]:
        """As `Refers.references`: its foreign keys."""
        return references(table, among)

    def matching(self, table: Table, where: str) -> AbstractContextManager[Callable[[Batch], NDArray[np.bool_]]]:
        """As `Source.matching`: the rows are tried in a temporary table."""
        return matching(self._url, table, where)

    def converting(self, table: Table, live: Table) -> AbstractContextManager[Conversion]:
        """As `Converts.converting`: the cells go through temporary tables."""
        return converting(self._url, table, live)
