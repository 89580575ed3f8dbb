"""A file tree as a source: Markdown, JSON and whatever else lies beneath a folder, one row a file.

    source = FilesSource("file:///home/me/.claude")
    with source.view(Selection(ignore=("*.bak",))) as view:
        view.tables                                      # one: tree.files

It holds nothing open between views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
from numpy.typing import NDArray

from snapstore.rows import Batch, Table
from snapstore.sources import Selection, Target, View
from snapstore.sources.files.choosing import meets
from snapstore.sources.files.entry import FOLDER
from snapstore.sources.files.place import place_of, url_of
from snapstore.sources.files.target import open_target
from snapstore.sources.files.view import open_view

__all__ = ["FilesSource"]


class FilesSource:
    """The `Source` under a `file://` URL. Raises `Invalid` if it names no folder; it need not be there yet.

    `settle_seconds` is how long a file must have been left alone before its times are trusted (2 is the coarsest clock
    among file systems); `wait_seconds` how long to wait for the lock of a SQLite database.
    """

    kind = "file"

    def __init__(self, url: str, *, settle_seconds: float = 2.0, wait_seconds: float = 10.0) -> None:
        self._place = place_of(url)
        self._settle_seconds = settle_seconds
        self._wait_seconds = wait_seconds

    def __repr__(self) -> str:
        return f"FilesSource({self.url!r})"

    @property
    def url(self) -> str:
        """With the absolute path of the folder."""
        return url_of(self._place)

    def view(self, selection: Selection) -> AbstractContextManager[View]:
        """A view that reads, and stops nobody."""
        return open_view(self._place, selection, settle_seconds=self._settle_seconds, wait_seconds=self._wait_seconds)

    def target(self, selection: Selection) -> AbstractContextManager[Target]:
        """A view that reads and writes: no other restore runs meanwhile. A folder that is not there is made."""
        return open_target(self._place, selection, settle_seconds=self._settle_seconds, wait_seconds=self._wait_seconds)

    @contextmanager
    def matching(self, table: Table, where: str) -> Iterator[Callable[[Batch], NDArray[np.bool_]]]:
        """As `Source.matching`: a condition is patterns as in .gitignore, one a line, on the path."""
        fits = meets(where)
        kind = table.column("kind")

        def chosen(batch: Batch) -> NDArray[np.bool_]:
            paths, kinds = batch.keys.to_list(), batch.columns[kind].to_list()
            found = [fits(path or b"", one == FOLDER) for path, one in zip(paths, kinds, strict=True)]
            return np.asarray(found, np.bool_)

        yield chosen
