"""A file that is summed as it is written, both behind the back of whoever fills it.

    with Summed(folder / "export.json") as file:
        file.write(b"{")
    file.sum                                    # SHA-256, in hexadecimal

Writing and summing take no interpreter's lock, so they cost whoever makes the bytes next to nothing, and nothing has to
be read again. Few pieces wait, so memory stays bounded. It does not know what is written.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Summed"]

_WAITING = 4
"""Pieces that wait to be written; make them a megabyte or so."""


class Summed:
    """A new file. Raises `OSError` for what cannot be written, at the latest when it is closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash = hashlib.sha256()
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="snapstore-write")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while self._waiting:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)
            self._file.close()

    def write(self, data: bytes) -> None:
        """Behind what was written before."""
        while len(self._waiting) >= _WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._put, data))

    @property
    def sum(self) -> str:
        """The SHA-256 of the file, once it is closed."""
        return self._hash.hexdigest()

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
