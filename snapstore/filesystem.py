"""What a local file system is asked for beyond Python's own words, on POSIX and on Windows: locks, places, durability.

    descriptor = os.open(path, os.O_RDWR | INHERITED_BY_NOBODY)
    lock(descriptor, shared=False)
    data = read_at(descriptor, 64, 16)

Windows differs in what matters here. A file that anybody has open can neither be replaced nor deleted, so both are
tried again for a while (`patiently`); one that is being written is known by that, and needs no lock. What is locked is
a byte. A folder cannot be synced: NTFS journals names in the order they were made, and a power cut may take the
last of them. docs/design.md says what of this was run there. It does not know stores.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from snapstore.digest import Buffer

if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes
else:
    import fcntl

__all__ = [
    "INHERITED_BY_NOBODY", "LOCKS_WHAT_IT_WRITES", "NOT_FOLLOWED",
    "is_in_use", "lock", "make_folder", "patiently", "publish", "read_at", "sync", "sync_beneath", "sync_file",
    "sync_folder", "unlock", "write", "write_at",
]  # fmt: skip

Result = TypeVar("Result")

_WRITE_PARTS = 512  # buffers handed to one writev, below every system's IOV_MAX
_POLL_SECONDS = 0.01
_PATIENCE_SECONDS = 10.0
_FAR = 1 << 30  # where Windows locks a byte: one that is never read, as nobody else may while it is locked
_places = threading.Lock()

if sys.platform == "win32":
    INHERITED_BY_NOBODY = os.O_NOINHERIT | os.O_BINARY  # as they are, too: no line ends made of others
    NOT_FOLLOWED = 0
    LOCKS_WHAT_IT_WRITES = False  # a file being written is open, which is lock enough

    class _Place(ctypes.Structure):
        """OVERLAPPED, as far as locks look at it: where in the file."""

        _fields_ = (
            ("of_windows", ctypes.c_void_p * 2),
            ("offset", wintypes.DWORD),
            ("offset_high", wintypes.DWORD),
            ("event", wintypes.HANDLE),
        )

        def __init__(self, offset: int) -> None:
            super().__init__(offset=offset)

    # By hand, for Python's own msvcrt.locking knows no shared lock, and cannot tell a taken one from other errors.
    _locks = ctypes.WinDLL("kernel32", use_last_error=True)
    _locks.LockFileEx.argtypes = (wintypes.HANDLE, *[wintypes.DWORD] * 4, ctypes.POINTER(_Place))
    _locks.UnlockFileEx.argtypes = (wintypes.HANDLE, *[wintypes.DWORD] * 3, ctypes.POINTER(_Place))
    _AT_ONCE, _EXCLUSIVE, _TAKEN = 1, 2, 33  # LOCKFILE_FAIL_IMMEDIATELY, LOCKFILE_EXCLUSIVE_LOCK, ERROR_LOCK_VIOLATION
else:
    INHERITED_BY_NOBODY = os.O_CLOEXEC
    NOT_FOLLOWED = os.O_NOFOLLOW | os.O_NONBLOCK  # neither follows a link nor waits for the other end of a pipe
    LOCKS_WHAT_IT_WRITES = True


def lock(descriptor: int, *, shared: bool = False, wait: bool = True) -> None:
    """Lock an open file until `unlock` or its end; with `wait` for as long as others have it.

    Raises `BlockingIOError` where somebody has it and this does not wait, and `OSError` where there are no locks.
    """
    if sys.platform == "win32":
        flags = _AT_ONCE if shared else _AT_ONCE | _EXCLUSIVE
        while not _locks.LockFileEx(msvcrt.get_osfhandle(descriptor), flags, 0, 1, 0, ctypes.byref(_Place(_FAR))):
            if (number := ctypes.get_last_error()) != _TAKEN:
                raise ctypes.WinError(number)
            if not wait:
                raise BlockingIOError(errno.EAGAIN, "locked")
            time.sleep(_POLL_SECONDS)  # asked again and again, since Ctrl-C cannot end a wait inside Windows
    else:
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, mode if wait else mode | fcntl.LOCK_NB)


def unlock(descriptor: int) -> None:
    """Let others lock it: closing it does so at once everywhere but on Windows."""
    if sys.platform == "win32":
        if not _locks.UnlockFileEx(msvcrt.get_osfhandle(descriptor), 0, 1, 0, ctypes.byref(_Place(_FAR))):
            raise ctypes.WinError(ctypes.get_last_error())
    else:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def is_in_use(path: Path) -> bool:
    """Whether a process on this machine has this file locked, or on Windows open."""
    if sys.platform == "win32":
        try:
            os.rename(path, path)
        except PermissionError:
            return True
    else:
        descriptor = os.open(path, (os.O_RDWR if os.access(path, os.W_OK) else os.O_RDONLY) | INHERITED_BY_NOBODY)
        try:
            lock(descriptor, wait=False)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False


def patiently(change: Callable[[], Result]) -> Result:
    """Replace, delete or open a file, though another process may be at it for a moment. Raises what that raises."""
    if sys.platform == "win32":
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return change()
            except PermissionError:
                if time.monotonic() > end:
                    raise
                time.sleep(_POLL_SECONDS)
    else:
        return change()


def publish(temporary: Path, target: Path) -> None:
    """Give a file its name unless that is taken, as one step. Raises `FileExistsError`, `OSError` where it cannot."""
    if sys.platform == "win32":
        patiently(lambda: os.rename(temporary, target))  # fails where POSIX would replace
    else:
        os.link(temporary, target)


def read_at(descriptor: int, length: int, offset: int) -> bytes:
    """Up to so many bytes from this place; fewer only where the file ends."""
    pieces: list[bytes] = []
    while length:
        piece = _piece(descriptor, length, offset)
        if not piece:
            break
        pieces.append(piece)
        offset, length = offset + len(piece), length - len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _piece(descriptor: int, length: int, offset: int) -> bytes:
    if sys.platform == "win32":
        with _places:  # several threads may read one file
            os.lseek(descriptor, offset, os.SEEK_SET)
            return os.read(descriptor, min(length, 1 << 30))
    else:
        return os.pread(descriptor, length, offset)  # Linux gives at most 2 GiB a call


def write_at(descriptor: int, data: memoryview, offset: int) -> int:
    """Write some of this at this place; how many bytes."""
    if sys.platform == "win32":
        with _places:
            os.lseek(descriptor, offset, os.SEEK_SET)
            return os.write(descriptor, data[: 1 << 30])
    else:
        return os.pwrite(descriptor, data, offset)


def write(descriptor: int, parts: Sequence[Buffer]) -> None:
    """Write all of these, one after the other."""
    views = [view for part in parts if (view := memoryview(part).cast("B")).nbytes]
    while views:
        if sys.platform == "win32":
            done = os.write(descriptor, views[0][: 1 << 30])
        else:
            done = os.writev(descriptor, views[:_WRITE_PARTS])
        whole = 0
        while whole < len(views) and done >= views[whole].nbytes:
            done -= views[whole].nbytes
            whole += 1
        views = views[whole:]
        if done:
            views[0] = views[0][done:]


def sync(descriptor: int) -> None:
    """The bytes of this file are durable after this."""
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync alone leaves data in the drive's cache
    else:
        os.fsync(descriptor)


def sync_file(path: Path) -> None:
    """The bytes of a file that somebody else wrote are durable after this."""
    descriptor = os.open(path, os.O_RDWR | INHERITED_BY_NOBODY)  # Windows flushes for those who may write alone
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """The names in this folder are durable after this, where that can be asked for."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | INHERITED_BY_NOBODY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_beneath(folder: Path) -> None:
    """All names and bytes in this folder and those in it are durable after this."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync_file(Path(place, name))
        sync_folder(Path(place))


def make_folder(folder: Path, mode: int = 0o777, *, is_durable: bool = True) -> None:
    """Make it, and those above it that are missing, each with its name on the disk. One that is there is no error."""
    missing = [folder, *folder.parents]
    missing = missing[: next(number for number, one in enumerate(missing) if one.exists())]
    for one in reversed(missing):
        one.mkdir(mode, exist_ok=True)
        if is_durable:
            sync_folder(one.parent)
