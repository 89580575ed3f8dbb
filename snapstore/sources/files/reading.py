"""The content of one file as of one moment: read again if it changed meanwhile, a SQLite database through SQLite.

    reader = Reader(root_fd, root_path, attributes=False, wait_seconds=10, before_ns=now - 2 * 10**9)
    row = reader.row(entry)                 # None if it is gone by now

Nothing is changed, and no link is followed.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from dataclasses import replace
from pathlib import Path

from snapstore.errors import Conflict, Corrupt, Unavailable, Unsupported
from snapstore.sources.files.entry import FILE, FOLDER, LINK, Entry, Facts, facts_of, log_facts_of
from snapstore.sources.files.scan import is_database
from snapstore.sources.files.stamps import stamp_of
from snapstore.sources.files.table import Row, encode_attributes
from snapstore.sources.files.within import Folders, shown

__all__ = ["Reader", "attributes_of"]

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.02
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Reader:
    """Reads the files of one tree. `before_ns` is how recent a time may be and still be trusted."""

    def __init__(self, root: int, place: Path, *, attributes: bool, wait_seconds: float, before_ns: int) -> None:
        self._root = root
        self._place = place
        self._attributes = attributes
        self._wait_seconds = wait_seconds
        self._before_ns = before_ns

    def row(self, entry: Entry, folders: Folders) -> Row | None:
        """The row of an entry as it is now; None if the path is gone. Raises `Unavailable` naming a file that cannot
        be read or never holds still, and `Conflict` where it has become something else.
        """
        if entry.kind == FOLDER:
            return Row(entry.path, FOLDER, entry.mode, stamp=stamp_of(entry, before_ns=self._before_ns))
        try:
            folder, name = folders.parent(entry.path)
            return self._link(entry, folder, name) if entry.kind == LINK else self._file(entry, folder, name)
        except FileNotFoundError:
            folders.forget()
            return None
        except OSError as error:
            raise Unavailable(f"{shown(entry.path)} cannot be read: {error.strerror}") from error

    def _link(self, entry: Entry, folder: int, name: bytes) -> Row:
        target = os.readlink(name, dir_fd=folder)
        return Row(entry.path, LINK, target=target, stamp=stamp_of(entry, before_ns=self._before_ns))

    def _file(self, entry: Entry, folder: int, name: bytes) -> Row:
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE_SECONDS * 2**attempt)
            if entry.is_database or is_database(folder, name):
                found = self._database(entry, folder, name)
            else:
                found = self._plain(entry, folder, name)
            if found is not None:
                return found
        raise Unavailable(
            f"{shown(entry.path)} changes all the time: it was read {_ATTEMPTS} times and was another each time",
            hint="Stop what writes it, or leave it out with --ignore.",
            again=True,
        )

    def _plain(self, entry: Entry, folder: int, name: bytes) -> Row | None:
        """The file, or None if it changed while it was read."""
        try:
            descriptor = os.open(name, _OPEN, dir_fd=folder)
        except OSError as error:
            if isinstance(error, FileNotFoundError | PermissionError):
                raise
            raise _other(entry) from error
        with open(descriptor, "rb", buffering=0) as file:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise _other(entry)
            content = file.read()
            attributes = attributes_of(descriptor) if self._attributes else None
            after = os.fstat(descriptor)
        now = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not facts_of(before) == facts_of(after) == facts_of(now) or len(content) != after.st_size:
            return None
        return self._made(entry, now, (), attributes, content)

    def _database(self, entry: Entry, folder: int, name: bytes) -> Row | None:
        before, logs = os.stat(name, dir_fd=folder, follow_symlinks=False), _logs(folder, name)
        place = self._place / os.fsdecode(entry.path)
        if os.path.realpath(place.parent) != str(place.parent) or not stat.S_ISREG(before.st_mode):
            raise _other(entry)
        try:
            from snapstore.sources.sqlite.whole import read_whole
        except ImportError as error:
            if any(size for size, *_ in logs):
                raise Unsupported(
                    f"{shown(entry.path)} is a SQLite database with a log, which takes a library that is not "
                    f"installed: {error.name}",
                    hint="Install it with: pip install 'snapstore[sqlite]'. Or leave the file out with --ignore.",
                ) from error
            return self._plain(entry, folder, name)
        try:
            content = read_whole(place, wait_seconds=self._wait_seconds)
        except (Corrupt, Unsupported) as error:
            if any(size for size, *_ in logs):
                raise Corrupt(
                    f"{shown(entry.path)} is a SQLite database with a log that SQLite cannot read: {error.message}",
                    hint="Leave it out with --ignore, and see what can be saved: `snap take --salvage sqlite:///…`.",
                ) from error
            return self._plain(entry, folder, name)  # damaged or not, without a log its bytes are all there is
        attributes = None
        if self._attributes:
            descriptor = os.open(name, _OPEN, dir_fd=folder)
            try:
                attributes = attributes_of(descriptor)
            finally:
                os.close(descriptor)
        now = os.stat(name, dir_fd=folder, follow_symlinks=False)
        row = self._made(entry, before, logs, attributes, content)
        is_still = facts_of(before) == facts_of(now) and logs == _logs(folder, name)
        return row if is_still else _without_stamp(row)

    def _made(
        self, entry: Entry, status: os.stat_result, logs: tuple[Facts, ...], attributes: bytes | None, content: bytes
    ) -> Row:
        seen = Entry(entry.path, FILE, status.st_mode & 0o777, facts_of(status), logs=logs, same_as=entry.same_as)
        newest = max(one[1] for one in (seen.facts, *logs))
        stamp = stamp_of(seen, before_ns=self._before_ns)
        return Row(entry.path, FILE, seen.mode, newest, None, entry.same_as, attributes, content, stamp)


def attributes_of(descriptor: int) -> bytes | None:
    """The extended attributes of an open file, encoded; none where the system has none."""
    if not hasattr(os, "listxattr"):
        return None
    try:
        names = [name for name in os.listxattr(descriptor) if name.startswith("user.")]
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return None
        raise
    return encode_attributes((os.fsencode(name), os.getxattr(descriptor, name)) for name in names)


def _logs(folder: int, name: bytes) -> tuple[Facts, ...]:
    found = []
    for end in (b"-wal", b"-journal"):
        try:
            found.append(log_facts_of(os.stat(name + end, dir_fd=folder, follow_symlinks=False)))
        except FileNotFoundError:
            continue
    return tuple(found)


def _without_stamp(row: Row) -> Row:
    return replace(row, stamp=None)


def _other(entry: Entry) -> Conflict:
    return Conflict(f"{shown(entry.path)} became something else while it was looked at", again=True)
