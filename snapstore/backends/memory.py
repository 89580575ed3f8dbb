"""A store in memory: for tests, for trying things, and for what need not outlive the process.

    backend = MemoryBackend()
    backend.put("index/0a1b", [b"..."])

Safe to use from several threads. Nothing is written anywhere.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

from blake3 import blake3

from snapstore.backends import Entry, Stored, check_name
from snapstore.digest import Buffer
from snapstore.errors import Conflict, Corrupt, Exists, NotFound

__all__ = ["MemoryBackend"]


class MemoryBackend:
    """Bytes under names in a dictionary: `Backend`."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, float]] = {}
        self._lock = threading.Lock()

    @property
    def location(self) -> str:
        """See `Backend.location`."""
        return "memory"

    def get(self, name: str) -> Stored:
        """See `Backend.get`."""
        data = self._data(name)
        return Stored(data, _tag(data))

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """See `Backend.get_range`."""
        data = self._data(name)
        if offset + length > len(data):
            raise Corrupt(f"{name} in memory is too short: {len(data)} bytes, {offset + length} wanted")
        return data[offset : offset + length]

    def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
        """See `Backend.put`."""
        check_name(name)
        data = b"".join(parts)
        with self._lock:
            if name in self._objects:
                raise Exists(f"{name} exists in memory")
            self._objects[name] = (data, time.time())
        return _tag(data)

    def replace(self, name: str, data: Buffer, *, tag: str) -> str:
        """See `Backend.replace`."""
        check_name(name)
        fresh = bytes(data)
        with self._lock:
            if name not in self._objects:
                raise NotFound(f"{name} is not in memory")
            if _tag(self._objects[name][0]) != tag:
                raise Conflict(f"{name} in memory was changed by somebody else")
            self._objects[name] = (fresh, time.time())
        return _tag(fresh)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See `Backend.list`."""
        if folder := prefix.rpartition("/")[0]:
            check_name(folder)
        with self._lock:
            found = [(name, *held) for name, held in self._objects.items() if name.startswith(prefix)]
        return iter([Entry(name, len(data), modified, _tag(data)) for name, data, modified in sorted(found)])

    def delete(self, name: str) -> None:
        """See `Backend.delete`."""
        check_name(name)
        with self._lock:
            if self._objects.pop(name, None) is None:
                raise NotFound(f"{name} is not in memory")

    def _data(self, name: str) -> bytes:
        check_name(name)
        with self._lock:
            held = self._objects.get(name)
        if held is None:
            raise NotFound(f"{name} is not in memory")
        return held[0]


def _tag(data: bytes) -> str:
    return blake3(data).hexdigest()
