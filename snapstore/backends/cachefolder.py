"""Bytes under keys in a folder of this machine, up to a bound: what need not be fetched again, and may vanish.

    folder = CacheFolder(Path("/home/me/.cache/snapstore"), limit_bytes=1 << 30)
    kept = folder.of("0123…")              # one repository's part of it
    kept.put("index/0a1b", [b"..."])
    kept.get("index/0a1b")                 # the bytes, or None

Nothing here is ever an error: a damaged, missing or unreadable entry is None, and what cannot be written is not kept.
Several processes may use one folder: entries are written beside and renamed. What else is in the folder is nobody's
here: only files with names of entries are counted, and removed. Which bytes are worth keeping, and when
they are out of date, is not known here (`snapstore.backends.caching`).
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from snapstore.digest import DIGEST_BYTES, Buffer
from snapstore.filesystem import INHERITED_BY_NOBODY

__all__ = ["CacheFolder", "Kept", "Usage"]

_MAGIC = b"SNAPkeep"
_HEAD_BYTES = len(_MAGIC) + DIGEST_BYTES
_LEFT_FREE_BYTES = 256 << 20  # a cache must not be what fills a disk
_STRAY_SECONDS = 3600.0
_ENTRY = re.compile(r"[0-9a-f]{32}/[0-9a-f]{2}/[0-9a-f]{62}")  # repository, and the hash of a key
_STRAY = re.compile(r"\.tmp-[0-9a-f]{16}")
_TAG = "CACHEDIR.TAG"
_TAG_WORDS = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n# Made by snapstore; may be deleted (bford.info/cachedir).\n"
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Usage:
    """What is kept of one repository (its id, 32 hex digits)."""

    repository: str
    entries: int
    size_bytes: int


class CacheFolder:
    """A folder that holds at most about `limit_bytes`; what was used longest ago goes first."""

    def __init__(self, path: Path, *, limit_bytes: int) -> None:
        self.path = path
        self.limit_bytes = limit_bytes
        self.is_usable = True
        self._unseen: int | None = None  # bytes written since the folder was last measured; None: never was
        self._lock = threading.Lock()

    def of(self, repository: str) -> Kept:
        """The part that is of this repository."""
        return Kept(self, repository)

    def usage(self) -> list[Usage]:
        """What there is of each repository, in order of id."""
        found: dict[str, tuple[int, int]] = {}
        for path, status in self._files():
            repository = path.parent.parent.name
            entries, size = found.get(repository, (0, 0))
            found[repository] = entries + 1, size + status.st_size
        return [Usage(repository, *of) for repository, of in sorted(found.items())]

    def keeps(self, size_bytes: int) -> bool:
        """Whether so many bytes can be kept under one key."""
        return self.is_usable and size_bytes <= self.limit_bytes // 4

    def clear(self) -> int:
        """Remove every entry; gives how many bytes that was. What others write at the same moment may stay."""
        freed = 0
        for path, status in list(self._files()):
            with suppress(OSError):
                path.unlink()
                freed += status.st_size
        return freed

    def write(self, path: Path, parts: Sequence[Buffer], size: int) -> None:
        """Write a file beside and rename it; if that fails nothing more is kept."""
        if not self.keeps(size):
            return
        temporary = self.path / f".tmp-{os.urandom(8).hex()}"
        try:
            self._prepare(path)
            if shutil.disk_usage(self.path).free < size + _LEFT_FREE_BYTES:
                self.is_usable = False
                return
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | INHERITED_BY_NOBODY, 0o600)
            with open(descriptor, "wb") as file:
                file.writelines(parts)
            os.replace(temporary, path)
        except OSError as error:
            _log.debug("the cache in %s is not written to any more: %s", self.path, error)
            self.is_usable = False
            with suppress(OSError):
                temporary.unlink()
            return
        self._bound(size)

    def _prepare(self, path: Path) -> None:
        if not path.parent.is_dir():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.parent.mkdir(mode=0o700, exist_ok=True)
            path.parent.mkdir(mode=0o700, exist_ok=True)
        tag = path.parent.parent / _TAG  # the folder may have other things in it, which are to be backed up
        if not tag.exists():
            tag.write_bytes(_TAG_WORDS)

    def _bound(self, size: int) -> None:
        """Measure the folder now and then, and drop what was used longest ago."""
        with self._lock:
            is_due = self._unseen is None or self._unseen + size > self.limit_bytes // 16
            self._unseen = 0 if is_due else (self._unseen or 0) + size
        if not is_due:
            return
        files = list(self._files(strays=True))
        total = sum(status.st_size for _, status in files)
        if total <= self.limit_bytes:
            return
        for path, status in sorted(files, key=lambda file: file[1].st_mtime):
            if total <= self.limit_bytes * 7 // 8:
                return
            with suppress(OSError):
                path.unlink()
            total -= status.st_size

    def _files(self, *, strays: bool = False) -> Iterator[tuple[Path, os.stat_result]]:
        """Every entry there is; with `strays`, what a process left half-written is removed on the way."""
        for path in self.path.glob("*/??/*"):
            if _ENTRY.fullmatch("/".join(path.parts[-3:])):
                with suppress(OSError):
                    yield path, path.stat()
        for path in self.path.glob(".tmp-*") if strays else ():
            with suppress(OSError):
                if _STRAY.fullmatch(path.name) and time.time() - path.stat().st_mtime > _STRAY_SECONDS:
                    path.unlink()


class Kept:
    """What is kept of one repository."""

    def __init__(self, folder: CacheFolder, repository: str) -> None:
        self._folder = folder
        self._path = folder.path / repository

    def keeps(self, size_bytes: int) -> bool:
        """Whether what is put may be there afterwards, if it is of this size."""
        return self._folder.keeps(size_bytes)

    def get(self, key: str) -> bytes | None:
        """The bytes that were put under this key, if they are there and whole."""
        path = self._file(key)
        try:
            data = path.read_bytes()
            os.utime(path)  # so that what is used stays
        except OSError:
            return None
        if len(data) < _HEAD_BYTES or data[:_HEAD_BYTES] != _head(key, [memoryview(data)[_HEAD_BYTES:]]):
            _log.debug("%s is damaged, and fetched again", path)
            self.forget(key)
            return None
        return data[_HEAD_BYTES:]

    def put(self, key: str, parts: Sequence[Buffer]) -> None:
        """Keep these bytes, if that can be done."""
        size = sum(memoryview(part).nbytes for part in parts)
        self._folder.write(self._file(key), [_head(key, parts), *parts], size)

    def forget(self, key: str) -> None:
        """Drop what is under this key."""
        with suppress(OSError):
            self._file(key).unlink()

    def _file(self, key: str) -> Path:
        name = blake3(key.encode()).hexdigest()
        return self._path / name[:2] / name[2:]


def _head(key: str, parts: Sequence[Buffer]) -> bytes:
    """What an entry begins with: whether its bytes are those that were put under this very key shows in it."""
    hasher = blake3(len(key).to_bytes(4, "little")).update(key.encode())
    for part in parts:
        hasher.update(part)
    return _MAGIC + hasher.digest()
