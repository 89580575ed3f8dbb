"""A Qdrant as a source: a server, or a folder of the client's local mode.

    source = QdrantSource("qdrant://localhost:6333/memories", key="…")
    with source.view(Selection()) as view:
        [table.name for table in view.tables]

It holds no connection between views.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Invalid
from snapstore.rows import Batch, Table
from snapstore.sources import Selection, Target, View
from snapstore.sources.qdrant.connection import place_of, url_of
from snapstore.sources.qdrant.matching import matching
from snapstore.sources.qdrant.target import open_target
from snapstore.sources.qdrant.view import open_view

__all__ = ["QdrantSource"]


class QdrantSource:
    """The `Source` under a `qdrant://`, `qdrant+https://` or `qdrant+path://` URL. Raises `Invalid` for another.

    `key` is the API key, for a URL without one. `timeout_seconds` is how long the server may take over one request;
    `wait_seconds` how long to wait for green after a restore.
    """

    kind = "qdrant"

    def __init__(self, url: str, *, key: str = "", timeout_seconds: float = 60.0, wait_seconds: float = 60.0) -> None:
        if timeout_seconds <= 0 or wait_seconds < 0:
            raise Invalid("times to wait must be more than 0 seconds")
        self._place = place_of(url, key=key)
        self._timeout_seconds = timeout_seconds
        self._wait_seconds = wait_seconds

    def __repr__(self) -> str:
        return f"QdrantSource({self.url!r})"

    @property
    def url(self) -> str:
        """Without the key."""
        return url_of(self._place)

    def view(self, selection: Selection) -> AbstractContextManager[View]:
        """A view that reads, beside whoever writes."""
        return open_view(self._place, selection, timeout_seconds=self._timeout_seconds)

    def target(self, selection: Selection) -> AbstractContextManager[Target]:
        """A view that reads and writes; `Gradual`: there is no way to keep others from writing, or to roll back."""
        return open_target(
            self._place, selection, timeout_seconds=self._timeout_seconds, wait_seconds=self._wait_seconds
        )

    def matching(self, table: Table, where: str) -> AbstractContextManager[Callable[[Batch], NDArray[np.bool_]]]:
        """As `Source.matching`: the points are tried in memory."""
        return matching(table, where)
