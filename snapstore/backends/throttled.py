"""Writes no faster than allowed: for lines that others need too.

    backend = ThrottledBackend(CloudBackend("s3://bucket/memory"), bytes_per_second=2_000_000)

Each write waits till its bytes and all before them have had their time; a second's worth may go at once. Then it goes
as fast as the line lets it: the rate is kept over several writes, not within one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

from snapstore.backends import Backend, Entry, Stored
from snapstore.digest import Buffer
from snapstore.errors import Invalid

__all__ = ["ThrottledBackend"]


class ThrottledBackend:
    """`inner`, written to at `bytes_per_second` on average: `Backend`. Reading is not held back."""

    def __init__(
        self,
        inner: Backend,
        *,
        bytes_per_second: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if bytes_per_second <= 0:
            raise Invalid(f"a limit of {bytes_per_second} bytes a second lets nothing through")
        self.inner = inner
        self._rate = bytes_per_second
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock() - 1.0  # when all that was let through so far has had its time
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        """See `Backend.location`."""
        return self.inner.location

    def get(self, name: str) -> Stored:
        """See `Backend.get`."""
        return self.inner.get(name)

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """See `Backend.get_range`."""
        return self.inner.get_range(name, offset, length)

    def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
        """See `Backend.put`."""
        self._wait(sum(memoryview(part).nbytes for part in parts))
        return self.inner.put(name, parts, unique=unique)

    def replace(self, name: str, data: Buffer, *, tag: str) -> str:
        """See `Backend.replace`."""
        self._wait(memoryview(data).nbytes)
        return self.inner.replace(name, data, tag=tag)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See `Backend.list`."""
        return self.inner.list(prefix)

    def delete(self, name: str) -> None:
        """See `Backend.delete`."""
        self.inner.delete(name)

    def _wait(self, size: int) -> None:
        with self._lock:
            now = self._clock()
            begins = max(self._free_at, now - 1.0)
            self._free_at = begins + size / self._rate
            pause = self._free_at - now
        if pause > 0:
            self._sleep(pause)
