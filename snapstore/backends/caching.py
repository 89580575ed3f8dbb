"""Reads through a folder of this machine: what never changes under its name is fetched from the store once.

    cached = CachingBackend(backend, CacheFolder(path, limit_bytes=1 << 30).of(repository_id))
    cached.get_range("packs/ab/abcdef", 16, 64)     # asks the store
    cached.get_range("packs/ab/abcdef", 900, 64)    # does not

Packs are fetched in large aligned blocks, as many small reads of a tree lie close to each other and a request costs
more than a megabyte. Index segments are kept whole. A mutable object is fetched from the store by `get` always; by
`get_listed` the very version that a listing named may come from the cache. All that is known of what is kept is that
it was fetched: whoever uses it checks it as if it came from the store. Which packs are worth it (those of trees) is
decided by whoever reads and writes through this.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from snapstore.backends import Backend, Entry, Stored
from snapstore.backends.cachefolder import Kept
from snapstore.digest import Buffer

__all__ = ["CachingBackend"]

_BLOCK_BYTES = 2 << 20
_END_BYTES = 64 << 10  # a directory at a pack's end, or its header: no reason to fetch a block
_HEADER_BYTES = 64
_WHOLE_BYTES = 8 << 20
_IMMUTABLE = ("packs/", "index/")


class CachingBackend:
    """`inner` through what is kept of it on this machine: `Backend`, and `get_listed`."""

    def __init__(self, inner: Backend, kept: Kept) -> None:
        self.inner = inner
        self._kept = kept
        self._sizes: dict[str, int] = {}
        self._fetching: dict[tuple[str, int], Future[bytes]] = {}
        self._lock = threading.Lock()
        self._is_trusted = True

    def distrust(self) -> bool:
        """Read nothing of what is kept any more, but replace it; whether that is news.

        For whoever found bytes to be damaged that may have come from here: the store's own may be well.
        """
        was_trusted, self._is_trusted = self._is_trusted, False
        return was_trusted

    @property
    def location(self) -> str:
        """See `Backend.location`."""
        return self.inner.location

    def get(self, name: str) -> Stored:
        """See `Backend.get`. Index segments may come from the cache."""
        return self._get(name, name) if name.startswith("index/") else self.inner.get(name)

    def get_listed(self, entry: Entry) -> Stored:
        """The version that was listed, where it is kept; else the newest there is, as `get`."""
        if not entry.tag:
            return self.inner.get(entry.name)
        return self._get(entry.name, _version(entry.name, entry.tag))

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """See `Backend.get_range`. What is immutable comes from the cache, in blocks."""
        size = self._sizes.get(name, 0)
        if (
            not name.startswith(_IMMUTABLE)
            or offset + length > size
            or not length
            or not self._kept.keeps(_BLOCK_BYTES)
        ):
            return self.inner.get_range(name, offset, length)
        if size > _BLOCK_BYTES and (
            (offset == 0 and length <= _HEADER_BYTES) or (offset + length == size and length <= _END_BYTES)
        ):
            return self._exact(name, offset, length)
        first, last = offset // _BLOCK_BYTES, (offset + length - 1) // _BLOCK_BYTES
        data = b"".join(self._blocks(name, first, last))
        at = offset - first * _BLOCK_BYTES
        return data[at : at + length]

    def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
        """See `Backend.put`. What is written is kept: the next take reads it."""
        tag = self.inner.put(name, parts, unique=unique)
        if name.startswith(_IMMUTABLE):
            data = b"".join(parts)
            self._sizes[name] = len(data)
            if name.startswith("index/") and len(data) <= _WHOLE_BYTES:
                self._keep(name, Stored(data, tag))
            else:
                for number, at in enumerate(range(0, len(data), _BLOCK_BYTES)):
                    self._kept.put(_block(name, number), [data[at : at + _BLOCK_BYTES]])
        return tag

    def replace(self, name: str, data: Buffer, *, tag: str) -> str:
        """See `Backend.replace`."""
        fresh = self.inner.replace(name, data, tag=tag)
        self._keep(_version(name, fresh), Stored(bytes(data), fresh))
        return fresh

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See `Backend.list`. Listings are never kept."""
        entries = [*self.inner.list(prefix)]
        for entry in entries:
            if entry.name.startswith(_IMMUTABLE):
                self._sizes[entry.name] = entry.size_bytes
        return iter(entries)

    def delete(self, name: str) -> None:
        """See `Backend.delete`."""
        self.inner.delete(name)
        self._kept.forget(name)

    def _get(self, name: str, key: str) -> Stored:
        kept = self._look_up(key)
        if kept is not None:
            length = int.from_bytes(kept[:2], "little")
            return Stored(kept[2 + length :], kept[2 : 2 + length].decode())
        stored = self.inner.get(name)
        # What is mutable may be newer by now than what was listed.
        self._keep(name if key == name else _version(name, stored.tag), stored)
        return stored

    def _look_up(self, key: str) -> bytes | None:
        return self._kept.get(key) if self._is_trusted else None

    def _keep(self, key: str, stored: Stored) -> None:
        tag = stored.tag.encode()
        self._kept.put(key, [len(tag).to_bytes(2, "little") + tag, stored.data])

    def _exact(self, name: str, offset: int, length: int) -> bytes:
        key = f"{name} {offset} {length}"
        data = self._look_up(key)
        if data is None:
            data = self.inner.get_range(name, offset, length)
            self._kept.put(key, [data])
        return data

    def _blocks(self, name: str, first: int, last: int) -> Sequence[bytes]:
        """These blocks, neighbours that are missing in one request; what another thread fetches is waited for."""
        found: dict[int, bytes] = {}
        waited: dict[int, Future[bytes]] = {}
        mine: dict[int, Future[bytes]] = {}
        with self._lock:
            for number in range(first, last + 1):
                future = self._fetching.get((name, number))
                if future is not None:
                    waited[number] = future
                else:
                    mine[number] = self._fetching[name, number] = Future()
        try:
            missing = []
            for number, future in mine.items():
                data = self._look_up(_block(name, number))
                if data is None:
                    missing.append(number)
                else:
                    future.set_result(data)
            for run in _runs(missing):
                self._fetch(name, run, mine)
        except BaseException as error:
            for future in mine.values():
                if not future.done():
                    future.set_exception(error)
            raise
        finally:
            with self._lock:
                for number in mine:
                    del self._fetching[name, number]
        for number, future in (mine | waited).items():
            found[number] = future.result()
        return [found[number] for number in range(first, last + 1)]

    def _fetch(self, name: str, run: Sequence[int], into: dict[int, Future[bytes]]) -> None:
        offset = run[0] * _BLOCK_BYTES
        data = self.inner.get_range(name, offset, min(len(run) * _BLOCK_BYTES, self._sizes[name] - offset))
        for at, number in enumerate(run):
            block = data[at * _BLOCK_BYTES : (at + 1) * _BLOCK_BYTES]
            self._kept.put(_block(name, number), [block])
            into[number].set_result(block)


def _version(name: str, tag: str) -> str:
    return f"{name} {tag}"


def _block(name: str, number: int) -> str:
    return f"{name} block {number} of {_BLOCK_BYTES}"


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    """Neighbours together."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs
