"""A view of a store through which blobs can be read though some of its index is damaged: for whoever looks for damage.

    backend = SteadyBackend(repository.backend, seal)     # no index at all
    backend.show(hidden={"index/1f…"}, extra=[segment])

Nothing is written but what its user puts. Every byte that is read is counted.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence

from snapstore.backends import Backend, Entry, Stored
from snapstore.blobs.pack import fresh_name
from snapstore.blobs.segment import INDEX, Segment, encode
from snapstore.digest import Buffer
from snapstore.errors import NotFound
from snapstore.seal import Seal

__all__ = ["SteadyBackend"]


class SteadyBackend:
    """Passes calls to `inner`, without its index until `show` was called: `Backend`."""

    def __init__(self, inner: Backend, seal: Seal) -> None:
        self.inner = inner
        self._seal = seal
        self.bytes_read = 0
        self._hidden: Collection[str] | None = None
        self._extra: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def show(self, *, hidden: Collection[str], extra: Sequence[Segment]) -> None:
        """Let the index be seen without these objects, and with these segments, which are held in memory."""
        self._hidden = frozenset(hidden)
        named = {fresh_name(): segment for segment in extra if len(segment.entries)}
        self._extra = {
            INDEX + name: b"".join(map(bytes, encode(segment, name, self._seal))) for name, segment in named.items()
        }

    @property
    def location(self) -> str:
        """See `Backend.location`."""
        return self.inner.location

    def get(self, name: str) -> Stored:
        """See `Backend.get`."""
        if name in self._extra:
            return Stored(self._extra[name], "")
        return Stored(self._counted((stored := self.inner.get(name)).data), stored.tag)

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """See `Backend.get_range`."""
        if name in self._extra:
            return self._extra[name][offset : offset + length]
        return self._counted(self.inner.get_range(name, offset, length))

    def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
        """See `Backend.put`."""
        return self.inner.put(name, parts, unique=unique)

    def replace(self, name: str, data: Buffer, *, tag: str) -> str:
        """See `Backend.replace`."""
        return self.inner.replace(name, data, tag=tag)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See `Backend.list`."""
        if not prefix.startswith(INDEX):
            yield from self.inner.list(prefix)
        elif self._hidden is not None:
            yield from (entry for entry in self.inner.list(prefix) if entry.name not in self._hidden)
            yield from (Entry(name, len(data), 0.0) for name, data in self._extra.items())

    def delete(self, name: str) -> None:
        """See `Backend.delete`."""
        if name in self._extra:
            raise NotFound(f"{name} is not in {self.location}")
        self.inner.delete(name)

    def _counted(self, data: bytes) -> bytes:
        with self._lock:
            self.bytes_read += len(data)
        return data
