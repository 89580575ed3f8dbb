"""A whole store in one file that is written once: what carries snapshots to another machine (format.md §13).

    with BundleWriter(Path("night.snap")) as writer:
        writer.put("packs/ab/abcdef", [b"..."], unique=True)
        writer.finish(since=[])
    with BundleFile(Path("night.snap")) as bundle:
        bundle.check()

Names in the file are looked up and never become paths. It does not know what the objects hold.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from blake3 import blake3

from snapstore.backends import Entry, Stored
from snapstore.backends.memory import MemoryBackend
from snapstore.digest import DIGEST_BYTES, Buffer
from snapstore.errors import Corrupt, Exists, NotFound, Unavailable, Unsupported
from snapstore.filesystem import (
    INHERITED_BY_NOBODY,
    LOCKS_WHAT_IT_WRITES,
    publish,
    read_at,
    sync,
    sync_folder,
    write_at,
)
from snapstore.packed import pack, unpack

__all__ = ["BundleFile", "BundleWriter", "Since"]

Since = tuple[str, str]  # ids of a repository and of a snapshot that was taken into it, 32 hex digits each

_MAGIC, _VERSION = b"SNAPB\0", 1
_HEAD = _MAGIC + struct.pack("<H", _VERSION)
_LENGTH = struct.Struct("<Q")
_TRAILER_BYTES = _LENGTH.size + DIGEST_BYTES + len(_HEAD)
_NAME = re.compile(r"config|(keys|index|snapshots)/[0-9a-f]{32}|packs/([0-9a-f]{2})/\2[0-9a-f]{30}")
_ID = re.compile(r"[0-9a-f]{32}")
_PIECE_BYTES = 4 << 20
_LIMIT_BYTES = 1 << 30  # of a directory, which has some 100 bytes for each object
_AGAIN = "Fetch the file again from where it was made, or make it anew."


@dataclass(frozen=True, slots=True)
class _Placed:
    """An object in the file; `digest` is BLAKE3 of its bytes."""

    offset: int
    length: int
    digest: bytes


class BundleWriter:
    """A store whose `unique` objects go to the file at once, and all others, which are small, when it is finished.

    `Backend`. The file gets its name when it is whole and durable; without `finish` nothing stays. Raises `Exists` if
    the name is taken, now or then.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(os.path.abspath(path))
        self._small = MemoryBackend()
        self._placed: dict[str, _Placed] = {}
        self._lock = threading.Lock()
        self._end = len(_HEAD)
        self._temporary = self._path.with_name(f".{os.urandom(16).hex()}.tmp")
        if os.path.lexists(self._path):
            raise self._taken()
        with _translated(self._path):
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | INHERITED_BY_NOBODY
            self._file = open(os.open(self._temporary, flags, 0o600), "r+b", buffering=0)  # noqa: SIM115
            self._write([_HEAD], at=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        with suppress(FileNotFoundError):  # renamed
            os.unlink(self._temporary)

    @property
    def location(self) -> str:
        """See `Backend.location`."""
        return str(self._path)

    def get(self, name: str) -> Stored:
        """See `Backend.get`."""
        placed = self._placed.get(name)
        if placed is None:
            return self._small.get(name)
        return Stored(self.get_range(name, 0, placed.length), placed.digest.hex())

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """See `Backend.get_range`."""
        placed = self._placed.get(name)
        if placed is None:
            return self._small.get_range(name, offset, length)
        return _range(self._file.fileno(), self._path, name, placed, offset, length)

    def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
        """See `Backend.put`."""
        if not unique:
            return self._small.put(name, parts)
        with self._lock, _translated(self._path):
            return self._append(name, parts)

    def replace(self, name: str, data: Buffer, *, tag: str) -> str:
        """See `Backend.replace`."""
        return self._small.replace(name, data, tag=tag)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See `Backend.list`."""
        large = [_entry(name, placed) for name, placed in self._placed.items() if name.startswith(prefix)]
        return iter(sorted([*large, *self._small.list(prefix)], key=lambda entry: entry.name))

    def delete(self, name: str) -> None:
        """See `Backend.delete`; only of what is not in the file yet."""
        self._small.delete(name)

    def finish(self, since: Sequence[Since]) -> int:
        """Write what is missing, and give the file its name; gives its size. `since` are what it builds upon."""
        with self._lock, _translated(self._path):
            for entry in self._small.list():
                self._append(entry.name, [self._small.get(entry.name).data])
            objects = [[name, one.length, one.digest] for name, one in self._placed.items()]
            directory = pack({"objects": objects, "since": [list(one) for one in since]}, "a bundle")
            size = self._write([directory, _trailer(directory)], at=self._end)
            os.ftruncate(self._file.fileno(), size)
            sync(self._file.fileno())
            with BundleFile(self._temporary) as written:
                written.check()
            self._name()
        return size

    def _append(self, name: str, parts: Sequence[Buffer]) -> str:
        hasher = blake3()
        for part in parts:
            hasher.update(part)
        end = self._write(parts, at=self._end)
        self._placed[name] = _Placed(self._end, end - self._end, hasher.digest())
        self._end = end
        return hasher.hexdigest()

    def _write(self, parts: Sequence[Buffer], *, at: int) -> int:
        """Where they end. What a failure leaves there is written over."""
        for part in parts:
            view = memoryview(part).cast("B")
            while view.nbytes:
                done = write_at(self._file.fileno(), view, at)
                at, view = at + done, view[done:]
        return at

    def _name(self) -> None:
        if not LOCKS_WHAT_IT_WRITES:
            self._file.close()  # else it could not be named
        try:
            publish(self._temporary, self._path)
        except FileExistsError as error:
            raise self._taken() from error
        except OSError as error:  # no hard links here (FAT, some shares)
            if os.path.lexists(self._path):
                raise self._taken() from error
            os.rename(self._temporary, self._path)
        sync_folder(self._path.parent)

    def _taken(self) -> Exists:
        return Exists(f"{self._path} exists", hint="Nothing was changed: remove the file, or name another.")


class BundleFile:
    """A finished file as a store that is only read: `Backend`, whose verbs that write refuse.

    `since` are the snapshots that it builds upon. Raises `NotFound`, `Unsupported` for a newer format, and `Corrupt`
    for what is cut short or no bundle at all; `check` looks at every byte.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(os.path.abspath(path))
        with _translated(self._path):
            self._file = open(self._path, "rb", buffering=0)  # noqa: SIM115
        try:
            self._placed, self.since = self._directory()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def check(self, told: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Hold every object against its digest; `told` hears bytes read, and bytes in all. Raises `Corrupt`."""
        total, done = sum(one.length for one in self._placed.values()), 0
        for name, placed in self._placed.items():
            hasher = blake3()
            for at in range(0, placed.length, _PIECE_BYTES):
                piece = self.get_range(name, at, min(_PIECE_BYTES, placed.length - at))
                hasher.update(piece)
                done += len(piece)
                told(done, total)
            if hasher.digest() != placed.digest:
                raise self._damaged(name)

    @property
    def location(self) -> str:
        """See `Backend.location`."""
        return str(self._path)

    def get(self, name: str) -> Stored:
        """See `Backend.get`."""
        placed = self._held(name)
        data = self.get_range(name, 0, placed.length)
        if blake3(data).digest() != placed.digest:
            raise self._damaged(name)
        return Stored(data, placed.digest.hex())

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """See `Backend.get_range`."""
        return _range(self._file.fileno(), self._path, name, self._held(name), offset, length)

    def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
        """Refuses."""
        raise self._unchanging()

    def replace(self, name: str, data: Buffer, *, tag: str) -> str:
        """Refuses."""
        raise self._unchanging()

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See `Backend.list`."""
        return (_entry(name, self._placed[name]) for name in sorted(self._placed) if name.startswith(prefix))

    def delete(self, name: str) -> None:
        """Refuses."""
        raise self._unchanging()

    def _held(self, name: str) -> _Placed:
        placed = self._placed.get(name)
        if placed is None:
            raise NotFound(f"{name} is not in {self._path}")
        return placed

    def _directory(self) -> tuple[dict[str, _Placed], tuple[Since, ...]]:
        with _translated(self._path):
            size = os.fstat(self._file.fileno()).st_size
            head = read_at(self._file.fileno(), len(_HEAD), 0)
            end = read_at(self._file.fileno(), _TRAILER_BYTES, max(0, size - _TRAILER_BYTES))
        if len(head) < len(_HEAD) or not head.startswith(_MAGIC):
            raise Corrupt(f"{self._path} is no bundle", hint="`snap bundle` makes one.")
        if (version := int.from_bytes(head[len(_MAGIC) :], "little")) > _VERSION:
            raise Unsupported(f"{self._path} is a bundle of format {version}", hint="Update snapstore.")
        if head != _HEAD or size < len(_HEAD) + _TRAILER_BYTES or not end.endswith(_HEAD):
            raise Corrupt(f"{self._path} is cut short: its end is missing", hint=_AGAIN)
        (length,) = _LENGTH.unpack_from(end)
        start = size - _TRAILER_BYTES - length
        if start < len(_HEAD) or length > _LIMIT_BYTES:
            raise self._damaged("its directory")
        with _translated(self._path):
            packed = read_at(self._file.fileno(), length, start)
        if _trailer(packed) != end:
            raise self._damaged("its directory")
        try:
            return _decoded(packed, start)
        except (ValueError, TypeError, KeyError) as error:
            raise Corrupt(f"{self._path} is not as a bundle is: {error}", hint=_AGAIN) from error

    def _damaged(self, what: str) -> Corrupt:
        return Corrupt(f"{self._path} is damaged: {what} is not what was written", hint=_AGAIN)

    def _unchanging(self) -> Unsupported:
        return Unsupported(f"{self._path} is a bundle, which never changes", hint="Make another with `snap bundle`.")


def _decoded(packed: bytes, end: int) -> tuple[dict[str, _Placed], tuple[Since, ...]]:
    """Objects and what they build upon. Raises `ValueError` and its like for what no writer writes."""
    fields = unpack(packed, "the directory of a bundle")
    placed: dict[str, _Placed] = {}
    at = len(_HEAD)
    for name, length, digest in fields["objects"]:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in placed:
            raise ValueError(f"an object is called {name!r}")
        if type(length) is not int or length < 0 or not isinstance(digest, bytes) or len(digest) != DIGEST_BYTES:
            raise ValueError(f"the entry of {name} is none")
        placed[name] = _Placed(at, length, digest)
        at += length
    if at != end:
        raise ValueError(f"its objects end at {at}, and its directory begins at {end}")
    since = []
    for repository, snapshot in fields["since"]:
        if not (_ID.fullmatch(repository) and _ID.fullmatch(snapshot)):
            raise ValueError(f"{snapshot!r} is no snapshot")
        since.append((repository, snapshot))
    return placed, tuple(since)


def _trailer(directory: bytes) -> bytes:
    length = _LENGTH.pack(len(directory))
    return length + blake3(_HEAD + directory + length).digest() + _HEAD


def _entry(name: str, placed: _Placed) -> Entry:
    # When it was written matters to gc alone, which never sees this.
    return Entry(name, placed.length, 0.0, placed.digest.hex())


def _range(descriptor: int, path: Path, name: str, placed: _Placed, offset: int, length: int) -> bytes:
    if offset < 0 or length < 0 or offset + length > placed.length:
        raise Corrupt(f"{name} in {path} is too short: {placed.length} bytes, {offset + length} wanted", hint=_AGAIN)
    with _translated(path):
        data = read_at(descriptor, length, placed.offset + offset)
    if len(data) != length:
        raise Corrupt(f"{path} became shorter while it was read", hint=_AGAIN)
    return data


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"there is no {path}", hint="Check the path.") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "The disk or quota is full: free space, and try again." if full else "Check the path and who may use it."
        raise Unavailable(f"{path}: {error.strerror or error}", hint=hint) from error
