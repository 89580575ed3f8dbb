"""A backend that remembers what was asked of another: tests count calls and bytes with it, never seconds.

    backend = RecordingBackend(MemoryBackend())
    ...
    assert backend.count("get_range") == 2
    assert backend.bytes_read < 4096

It changes nothing on the way through, and does not know what the calls are for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snapstore.backends import Backend, Entry, Stored
from snapstore.digest import Buffer

__all__ = ["Call", "RecordingBackend"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call, successful or not: the verb, the name or prefix, and the bytes it moved (0 if it failed)."""

    verb: str
    name: str
    bytes: int = 0


class RecordingBackend:
    """Passes every call to `inner` and keeps a log of them in `calls`, in order of completion: `Backend`."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self._calls: list[Call] = []
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        """See `Backend.location`."""
        return self.inner.location

    @property
    def calls(self) -> Sequence[Call]:
        """Every call so far."""
        with self._lock:
            return tuple(self._calls)

    @property
    def bytes_read(self) -> int:
        """Bytes that `get` and `get_range` gave."""
        return sum(call.bytes for call in self.calls if call.verb in ("get", "get_range"))

    @property
    def bytes_written(self) -> int:
        """Bytes that `put` and `replace` took."""
        return sum(call.bytes for call in self.calls if call.verb in ("put", "replace"))

    def count(self, *verbs: str, prefix: str = "") -> int:
        """How many calls there were of these verbs (all if none is named), on names that start with `prefix`."""
        return sum((not verbs or call.verb in verbs) and call.name.startswith(prefix) for call in self.calls)

    def reset(self) -> None:
        """Forget the calls so far."""
        with self._lock:
            self._calls.clear()

    def get(self, name: str) -> Stored:
        """See `Backend.get`."""
        moved = 0
        try:
            stored = self.inner.get(name)
            moved = len(stored.data)
            return stored
        finally:
            self._log("get", name, moved)

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """See `Backend.get_range`."""
        moved = 0
        try:
            data = self.inner.get_range(name, offset, length)
            moved = len(data)
            return data
        finally:
            self._log("get_range", name, moved)

    def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
        """See `Backend.put`."""
        moved = 0
        try:
            tag = self.inner.put(name, parts, unique=unique)
            moved = sum(memoryview(part).nbytes for part in parts)
            return tag
        finally:
            self._log("put", name, moved)

    def replace(self, name: str, data: Buffer, *, tag: str) -> str:
        """See `Backend.replace`."""
        moved = 0
        try:
            fresh = self.inner.replace(name, data, tag=tag)
            moved = memoryview(data).nbytes
            return fresh
        finally:
            self._log("replace", name, moved)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See `Backend.list`."""
        self._log("list", prefix, 0)
        return self.inner.list(prefix)

    def delete(self, name: str) -> None:
        """See `Backend.delete`."""
        self._log("delete", name, 0)
        self.inner.delete(name)

    def _log(self, verb: str, name: str, moved: int) -> None:
        with self._lock:
            self._calls.append(Call(verb, name, moved))
