"""A store as it is, with what is written to it kept elsewhere: to try something that would write, and leave no trace.

    backend = OverlayBackend(repository.backend, MemoryBackend())
    restore(repository.over(backend), snapshot, source, ask)

What is under it may change all the while, and is seen to. Nothing is ever written or deleted there.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from snapstore.backends import Backend, Entry, Stored, check_name
from snapstore.digest import Buffer
from snapstore.errors import Conflict, Exists, NotFound

__all__ = ["OverlayBackend"]


class OverlayBackend:
    """`upper` over `lower`: `Backend`. For one user, who alone sees what is written."""

    def __init__(self, lower: Backend, upper: Backend) -> None:
        self._lower, self._upper = lower, upper
        self._above: set[str] = {entry.name for entry in upper.list()}
        self._gone: set[str] = set()

    @property
    def location(self) -> str:
        """See `Backend.location`."""
        return self._lower.location

    def get(self, name: str) -> Stored:
        """See `Backend.get`."""
        return self._holder(name).get(name)

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """See `Backend.get_range`."""
        return self._holder(name).get_range(name, offset, length)

    def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
        """See `Backend.put`."""
        if not unique and name not in self._gone | self._above and any(self._is(name)):
            raise Exists(f"{name} exists in {self.location}")
        tag = self._upper.put(name, parts, unique=unique)
        self._above.add(name)
        return tag

    def replace(self, name: str, data: Buffer, *, tag: str) -> str:
        """See `Backend.replace`."""
        if name in self._above:
            return self._upper.replace(name, data, tag=tag)
        if self.get(name).tag != tag:
            raise Conflict(f"{name} in {self.location} was changed by somebody else")
        self._above.add(name)
        return self._upper.put(name, [data])

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See `Backend.list`."""
        hidden = self._gone | self._above
        below = (entry for entry in self._lower.list(prefix) if entry.name not in hidden)
        return heapq.merge(below, self._upper.list(prefix), key=lambda entry: entry.name)

    def delete(self, name: str) -> None:
        """See `Backend.delete`."""
        check_name(name)
        if name in self._above:
            self._upper.delete(name)
            self._above.discard(name)
        elif name in self._gone or not any(self._is(name)):
            raise NotFound(f"{name} is not in {self.location}")
        self._gone.add(name)

    def _holder(self, name: str) -> Backend:
        if name in self._above:
            return self._upper
        if name in self._gone:
            raise NotFound(f"{name} is not in {self.location}")
        return self._lower

    def _is(self, name: str) -> Iterator[bool]:
        """Whether it is below: something true, or nothing."""
        return (True for entry in self._lower.list(name) if entry.name == name)
