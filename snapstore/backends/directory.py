"""A store in a folder of the local file system, safe beside other processes and across a power cut.

    backend = DirectoryBackend(Path("/backups/memory"), create=True)
    tag = backend.put("snapshots/0a1b", [b"..."])
    backend.replace("snapshots/0a1b", b"other", tag=tag)

An object is written to `.tmp/`, synced, and only then linked to its name, so a reader sees all of it or nothing and two
processes cannot both win a name. A file called `LOCK` marks the folder as a store: it is flock()ed while an object is
replaced or deleted (exclusive) and while names are listed (shared), because a rename beside a listing can hide names.
It is upper case, so no object can have its name, and a plain copy of the folder brings it along. Names of objects are
lower case and none that Windows keeps for itself. Where Windows differs: `snapstore.filesystem`.

Only regular files whose names `check_name` accepts are objects; links, pipes and other files are not seen. This
module does not know what the objects hold.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from blake3 import blake3

from snapstore.backends import Backend, Entry, Stored, check_name
from snapstore.digest import Buffer
from snapstore.errors import Conflict, Corrupt, Denied, Exists, NotFound, Unavailable, Unsupported
from snapstore.filesystem import (
    INHERITED_BY_NOBODY,
    LOCKS_WHAT_IT_WRITES,
    NOT_FOLLOWED,
    is_in_use,
    lock,
    make_folder,
    patiently,
    publish,
    read_at,
    sync,
    sync_folder,
    unlock,
    write,
)

__all__ = ["DirectoryBackend", "directory_of"]

_LOCK = "LOCK"
_TEMPORARY = ".tmp"
_SEGMENT = re.compile(r"[a-z0-9_][a-z0-9._-]*")
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class DirectoryBackend:
    """Bytes under names in a folder: `Backend`, with `stray` and `delete_stray` for what a crash left behind.

    With `create` the folder is made if need be, readable by its owner alone; an existing one is taken as it is. Raises
    `NotFound` where there is no store, `Unsupported` on a file system whose locks do not lock. One that `is_scratch`
    ends with the process, so nothing waits for the disk. A store that goes while it is open (its disk, say) is
    `Unavailable` from then on: who is told that an object is not found may take it for collected.
    """

    def __init__(self, path: Path, *, create: bool = False, is_scratch: bool = False) -> None:
        self._root = Path(os.path.abspath(path))
        self._is_scratch = is_scratch
        self._durable: set[Path] = set()  # folders whose names are on the disk, as this has seen to it
        if create:
            self._create()
        if not (self._root / _LOCK).is_file():
            raise NotFound(
                f"there is no store in {self._root} (no file {_LOCK})",
                hint="Check the path, and that its disk is mounted. A copy that lost the file needs an empty one.",
            )
        self._prove_locks()

    @property
    def location(self) -> str:
        """See `Backend.location`."""
        return str(self._root)

    def get(self, name: str) -> Stored:
        """See `Backend.get`."""
        with self._opened(name) as descriptor:
            size = os.fstat(descriptor).st_size
            data = read_at(descriptor, size, 0)
        if len(data) != size:
            raise Corrupt(f"{name} in {self._root} became shorter while it was read")
        return Stored(data, _tag([data]))

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """See `Backend.get_range`."""
        with self._opened(name) as descriptor:
            # Asked before reading, so that a damaged length does not become a huge allocation.
            size = os.fstat(descriptor).st_size
            data = read_at(descriptor, length, offset) if offset + length <= size else b""
        if offset + length > size or len(data) != length:
            raise Corrupt(f"{name} in {self._root} is too short: {size} bytes, {offset + length} wanted")
        return data

    def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
        """See `Backend.put`."""
        target = self._root / check_name(name)
        with self._translated(name):
            if os.path.lexists(target):  # saves writing a large object in vain; the link below decides
                raise Exists(f"{name} exists in {self._root}")
            with self._temporary(parts) as temporary:
                self._folder(target.parent)
                self._link(temporary, target, name)
            self._settle(target.parent)
        return _tag(parts)

    def replace(self, name: str, data: Buffer, *, tag: str) -> str:
        """See `Backend.replace`."""
        target = self._root / check_name(name)
        with self._translated(name), self._temporary([data]) as temporary, self._locked():
            if self.get(name).tag != tag:
                raise Conflict(f"{name} in {self._root} was changed by somebody else")
            patiently(lambda: os.replace(temporary, target))
            self._settle(target.parent)
        return _tag([data])

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """See `Backend.list`."""
        folder = prefix.rpartition("/")[0]
        if folder:
            check_name(folder)
        with self._translated(prefix or "the store"), self._locked(shared=True):
            entries = sorted(self._walk(folder), key=lambda entry: entry.name)
        return iter([entry for entry in entries if entry.name.startswith(prefix)])

    def delete(self, name: str) -> None:
        """See `Backend.delete`."""
        target = self._root / check_name(name)
        # Under the lock: a replace that has compared the tag must not bring the object back.
        with self._translated(name), self._locked():
            if not _is_regular(target):
                raise NotFound(f"{name} is not in {self._root}")
            patiently(lambda: os.unlink(target))
            self._settle(target.parent)

    def free_bytes(self) -> int:
        """How much space there is left for this user where the store is."""
        with self._translated("the store"):
            return shutil.disk_usage(self._root).free

    def stray(self) -> Iterator[Entry]:
        """Temporary files that no living process on this machine is writing, for `delete_stray`; invisible to `list`.

        A writer on another machine is not seen: leave young ones (`Entry.modified`) alone.
        """
        with self._translated(_TEMPORARY):
            folder = self._root / _TEMPORARY
            names = sorted(os.listdir(folder)) if folder.is_dir() else []
            for name in names:
                with suppress(FileNotFoundError):
                    status = os.lstat(folder / name)
                    if stat.S_ISREG(status.st_mode) and not is_in_use(folder / name):
                        yield Entry(f"{_TEMPORARY}/{name}", status.st_size, status.st_mtime)

    def delete_stray(self, entry: Entry) -> None:
        """Remove a file that `stray` gave; one that is gone already is no error."""
        folder, _, name = entry.name.partition("/")
        if folder != _TEMPORARY or "/" in name or name in ("", ".", ".."):
            raise NotFound(f"{entry.name} is not a temporary file of {self._root}")
        with self._translated(entry.name), suppress(FileNotFoundError):
            patiently(lambda: os.unlink(self._root / _TEMPORARY / name))

    def _create(self) -> None:
        with self._translated("the store"):
            make_folder(self._root, 0o700, is_durable=not self._is_scratch)
            os.close(os.open(self._root / _LOCK, os.O_CREAT | os.O_RDWR | INHERITED_BY_NOBODY, 0o600))
            self._settle(self._root)

    def _prove_locks(self) -> None:
        """Take the lock and see that it cannot be had twice: some network mounts grant it to everybody."""
        with self._translated(_LOCK), self._locked():
            if not self._is_held():
                raise Unsupported(
                    f"the file system of {self._root} has no working locks",
                    hint="Use a local disk or an object store; on a network mount, turn flock on.",
                )

    @contextmanager
    def _locked(self, *, shared: bool = False) -> Iterator[None]:
        # A new open file each time: the lock belongs to it, so threads exclude one another too.
        try:
            descriptor = _open_lock(self._root / _LOCK)
        except FileNotFoundError:
            raise self._gone() from None
        try:
            try:
                lock(descriptor, shared=shared)
            except OSError as error:
                raise Unsupported(
                    f"the file system of {self._root} cannot lock files: {error.strerror}",
                    hint="Use a local disk or an object store; on a network mount, turn flock on.",
                ) from error
            try:
                yield
            finally:
                unlock(descriptor)
        finally:
            os.close(descriptor)

    def _is_held(self) -> bool:
        """Whether somebody has the store locked."""
        descriptor = _open_lock(self._root / _LOCK)
        try:
            lock(descriptor, wait=False)
        except BlockingIOError:
            return True
        else:
            unlock(descriptor)
            return False
        finally:
            os.close(descriptor)

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        path = self._root / check_name(name)
        with self._translated(name):
            if not NOT_FOLLOWED and not _is_regular(path):
                raise self._missing(name)
            try:
                descriptor = patiently(lambda: os.open(path, os.O_RDONLY | INHERITED_BY_NOBODY | NOT_FOLLOWED))
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
                    raise self._missing(name) from None
                raise
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise self._missing(name)
                yield descriptor
            finally:
                os.close(descriptor)

    @contextmanager
    def _temporary(self, parts: Sequence[Buffer]) -> Iterator[Path]:
        """A synced file with these bytes, gone when the block ends; locked, so `stray` can tell it from a leftover."""
        self._folder(self._root / _TEMPORARY)
        path = self._root / _TEMPORARY / os.urandom(16).hex()
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | INHERITED_BY_NOBODY, 0o600), "wb", 0) as file:
            try:
                if LOCKS_WHAT_IT_WRITES:
                    lock(file.fileno())
                write(file.fileno(), parts)
                if not self._is_scratch:
                    sync(file.fileno())
                if not LOCKS_WHAT_IT_WRITES:
                    file.close()  # else it could not be named
                yield path
            finally:
                file.close()
                with suppress(FileNotFoundError):  # renamed
                    patiently(lambda: os.unlink(path))

    def _link(self, temporary: Path, target: Path, name: str) -> None:
        try:
            publish(temporary, target)
        except FileExistsError as error:
            raise Exists(f"{name} exists in {self._root}") from error
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # No hard links here (FAT, some shares): whoever holds the lock may look and rename.
            with self._locked():
                if os.path.lexists(target):
                    raise Exists(f"{name} exists in {self._root}") from error
                os.rename(temporary, target)

    def _folder(self, folder: Path) -> None:
        """Make sure that it is there, and on the disk: who made it may have died before that."""
        if (folder == self._root or folder in self._durable) and folder.is_dir():
            return
        if not (self._root / _LOCK).exists():  # never start a second store on an empty mount point
            raise self._gone()
        if folder.parent != self._root:
            self._folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        self._settle(folder.parent)
        self._durable.add(folder)

    def _settle(self, folder: Path) -> None:
        """Names in it are durable after this."""
        if not self._is_scratch:
            sync_folder(folder)

    def _walk(self, folder: str) -> Iterator[Entry]:
        try:
            scan = os.scandir(self._root / folder)
        except (FileNotFoundError, NotADirectoryError):
            return
        with scan:
            for item in scan:
                if not _SEGMENT.fullmatch(item.name):
                    continue
                name = f"{folder}/{item.name}" if folder else item.name
                if item.is_dir(follow_symlinks=False):
                    yield from self._walk(name)
                elif item.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):  # deleted since it was named
                        status = os.lstat(item.path)
                        yield Entry(name, status.st_size, status.st_mtime)

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            words = error.strerror or str(error)
            kind = Denied if error.errno in _DENIED else Unavailable
            raise kind(f"{name} in {self._root}: {words}", hint=_hint(error.errno)) from error

    def _missing(self, name: str) -> NotFound | Unavailable:
        if not (self._root / _LOCK).exists():
            return self._gone()
        return NotFound(f"{name} is not in {self._root}")

    def _gone(self) -> Unavailable:
        return Unavailable(
            f"there is no store in {self._root} any more (no file {_LOCK})",
            hint="Check that its disk is still mounted, and try again.",
        )


def directory_of(backend: Backend) -> DirectoryBackend | None:
    """The directory that this backend is, or wraps."""
    while not isinstance(backend, DirectoryBackend):
        inner: Backend | None = getattr(backend, "inner", None)
        if inner is None:
            return None
        backend = inner
    return backend


def _hint(number: int | None) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "The disk or quota is full: free space, or collect garbage, and try again."
    if number in (errno.EACCES, errno.EPERM):
        return "Run as the owner of the store, or give this user its files and folders."
    if number == errno.EROFS:
        return "The file system is mounted read-only: what is there can be read, verified, and copied with `snap copy`."
    if number in (errno.EMFILE, errno.ENFILE):
        return "Too many open files: raise the limit (ulimit -n)."
    if number == errno.EIO:
        return "The disk reports an error: check it before anything else."
    return "Check that the disk is mounted and well, and try again."


def _tag(parts: Sequence[Buffer]) -> str:
    """A hash of the content: enough, since objects that are replaced carry a fresh nonce (format.md §10)."""
    hasher = blake3()
    for part in parts:
        hasher.update(part)
    return hasher.hexdigest()


def _open_lock(path: Path) -> int:
    # NFS grants an exclusive flock only to a file open for writing; a read-only mount has readers only.
    try:
        return os.open(path, os.O_RDWR | INHERITED_BY_NOBODY)
    except OSError as error:
        if error.errno not in _DENIED:
            raise
        return os.open(path, os.O_RDONLY | INHERITED_BY_NOBODY)


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
