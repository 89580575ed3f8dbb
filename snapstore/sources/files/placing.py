"""Puts files that were made ready in their places, and takes away what is to go: one after the other, each whole.

    Placing(root_fd, place, staging, live_entries, wait_seconds=10).carry_out(ready, deleted)

Before the first change everything that will be touched is looked at again: what somebody changed meanwhile ends it all
with nothing done. A file in use stays whole for whoever has it open, since another is put in its place by a rename; a
new one never takes the place of one that came to be there. Where it fails in the middle the error says what was done;
the same restore, begun again, does the rest.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from snapstore.errors import Conflict, SnapstoreError, Unavailable
from snapstore.sources.files.entry import FILE, FOLDER, LINK, Entry, facts_of
from snapstore.sources.files.scan import is_database
from snapstore.sources.files.staging import Staging
from snapstore.sources.files.table import Row
from snapstore.sources.files.within import Folders, parts_of, shown

__all__ = ["Placing", "Ready"]

_SHOWN = 5
_NEW_FOLDER = 0o700


@dataclass(frozen=True, slots=True)
class Ready:
    """A row as it will be, and the name of the file that was made ready for it; none where its content stays."""

    row: Row
    staged: bytes | None


@dataclass(frozen=True, slots=True)
class _Step:
    """One change: what it does in words, to which path, and the deed."""

    doing: str
    path: bytes
    do: Callable[[], None]


class Placing:
    """Carries out what was made ready, in the folder that is open as `root`."""

    def __init__(
        self, root: int, place: Path, staging: Staging, live: Mapping[bytes, Entry], *, wait_seconds: float
    ) -> None:
        self._place = place
        self._staging = staging
        self._live = live
        self._wait_seconds = wait_seconds
        self._folders = Folders(root)
        self._ours: set[int] = set()  # inodes whose times we have changed ourselves
        self._gone: set[bytes] = set()

    def carry_out(self, ready: Mapping[bytes, Ready], deleted: Mapping[bytes, Entry]) -> None:
        """Do all of it. Raises `Conflict` with nothing done, or an error that says what was done."""
        with self._folders:
            try:
                self._look_again(ready, deleted)
            except SnapstoreError as error:
                hint = error.hint or "Make a new plan with --dry-run."
                raise type(error)(f"{error.message}; nothing was changed", hint=hint) from error
            self._staging.sync([one.staged for one in ready.values() if one.staged is not None])
            steps = [*self._removals(ready, deleted), *self._arrivals(ready, deleted), *self._last(ready)]
            for at, step in enumerate(steps):
                try:
                    step.do()
                except (OSError, SnapstoreError) as error:
                    raise _half_way(steps, at, error) from error
            self._sync({path.rpartition(b"/")[0] for path in (*ready, *deleted)})

    def _look_again(self, ready: Mapping[bytes, Ready], deleted: Mapping[bytes, Entry]) -> None:
        """Whether everything is still as it was when the safety snapshot was taken, and can be changed at all."""
        seen: set[bytes] = set()
        for path in sorted({*ready, *deleted}):
            with _named(path):
                try:
                    folder, name = self._folders.parent(path)
                except FileNotFoundError:
                    continue  # it is made on the way
                except Conflict:
                    continue  # what is no folder yet goes first
                above = path.rpartition(b"/")[0]
                if above not in seen and not os.access(".", os.W_OK | os.X_OK, dir_fd=folder):
                    raise Unavailable(
                        f"the folder of {shown(path)} may not be written by us",
                        hint="Change its permissions, or run as its owner.",
                    )
                seen.add(above)
                self._check(path, folder, name)
                self._put_logs_away(path, folder, name, ready.get(path), is_deleted=path in deleted)

    def _check(self, path: bytes, folder: int, name: bytes) -> None:
        """Raises `Conflict` where the path is not as it was."""
        entry = None if path in self._gone else self._live.get(path)
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            if entry is not None:
                raise _changed(path) from None
            return
        if status.st_ino in self._ours:
            return
        if entry is None or (entry.kind != FOLDER and facts_of(status) != entry.facts):
            raise _changed(path)

    def _put_logs_away(self, path: bytes, folder: int, name: bytes, one: Ready | None, *, is_deleted: bool) -> None:
        """A log that lies beside a database is played into whatever is put in its place, so it is put away first."""
        entry, staged = self._live.get(path), None if one is None else one.staged
        left = [end for end in (b"-wal", b"-journal", b"-shm") if _exists(folder, name + end)]
        if not left or (staged is None and not is_deleted):
            return
        if entry is None or not entry.is_database:
            if staged is not None and is_database(self._staging.folder, staged):
                raise Conflict(
                    f"{shown(path + left[0])} is there without its database, and would be played into the one that is "
                    "restored",
                    hint="Stop the application that has it open, move that file away, and try again.",
                )
            return
        from snapstore.sources.sqlite.whole import quiesce

        quiesce(self._place / os.fsdecode(path), wait_seconds=self._wait_seconds)
        entry.facts = facts_of(os.stat(name, dir_fd=folder, follow_symlinks=False))

    def _removals(self, ready: Mapping[bytes, Ready], deleted: Mapping[bytes, Entry]) -> Iterator[_Step]:
        """Files and links that go and are not replaced in one step, then folders, the deepest first."""
        for path, entry in deleted.items():
            one = ready.get(path)
            is_replaced = one is not None and one.row.kind != FOLDER
            if entry.kind != FOLDER and not is_replaced:
                yield _Step("delete", path, partial(self._unlink, path))
        for path in sorted(deleted, key=lambda path: (-path.count(b"/"), path)):
            one = ready.get(path)
            if deleted[path].kind == FOLDER and (one is None or one.row.kind != FOLDER):
                yield _Step("delete", path, partial(self._rmdir, path, must=one is not None))

    def _arrivals(self, ready: Mapping[bytes, Ready], deleted: Mapping[bytes, Entry]) -> Iterator[_Step]:
        """Folders before what is in them, since they are shorter; a name of another file after that file."""
        for path in sorted(ready, key=lambda path: (ready[path].row.same_as is not None, path)):
            one = ready[path]
            entry = self._live.get(path)
            replaces = entry is not None and entry.kind != FOLDER
            if one.row.kind == FOLDER:
                yield _Step("make", path, partial(self._mkdir, path))
            elif one.row.kind == LINK:
                yield _Step("make", path, partial(self._link, one.row, replaces=replaces))
            elif one.staged is not None:
                yield _Step("write", path, partial(self._file, one, replaces=replaces))
            else:
                yield _Step("set", path, partial(self._settings, one.row))

    def _last(self, ready: Mapping[bytes, Ready]) -> Iterator[_Step]:
        """Modes of folders, the deepest first: one that may not be written takes nothing any more."""
        for path in sorted(ready, key=lambda path: (-path.count(b"/"), path)):
            if ready[path].row.kind == FOLDER:
                yield _Step("set", path, partial(self._settings, ready[path].row))

    def _touch(self, path: bytes) -> None:
        """What we do to one name of a file is seen at its others."""
        if self._live[path].names > 1:
            self._ours.add(self._live[path].facts[3])

    def _unlink(self, path: bytes) -> None:
        folder, name = self._folders.parent(path)
        self._check(path, folder, name)
        self._touch(path)
        os.unlink(name, dir_fd=folder)
        self._gone.add(path)

    def _rmdir(self, path: bytes, *, must: bool) -> None:
        self._folders.forget()  # it may be among those that are open
        folder, name = self._folders.parent(path)
        try:
            os.rmdir(name, dir_fd=folder)
            self._gone.add(path)
        except OSError:
            if must or not _exists(folder, name):
                raise
            # What is left out or was made meanwhile is in it: it stays, and so does the folder.

    def _mkdir(self, path: bytes) -> None:
        self._make_folders(parts_of(path))

    def _make_folders(self, parts: list[bytes]) -> int:
        """The folder of these names, made where it is not there."""
        try:
            return self._folders.folder(parts)
        except FileNotFoundError:
            above = self._make_folders(parts[:-1])
            with suppress(FileExistsError):
                os.mkdir(parts[-1], _NEW_FOLDER, dir_fd=above)
            return self._folders.folder(parts)

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        *above, name = parts_of(path)
        return self._make_folders(above), name

    def _link(self, row: Row, *, replaces: bool) -> None:
        folder, name = self._parent(row.path)
        assert row.target is not None
        if not replaces:
            os.symlink(row.target, name, dir_fd=folder)
            return
        staged = self._staging.name()
        os.symlink(row.target, staged, dir_fd=self._staging.folder)
        self._check(row.path, folder, name)
        os.rename(staged, name, src_dir_fd=self._staging.folder, dst_dir_fd=folder)

    def _file(self, one: Ready, *, replaces: bool) -> None:
        assert one.staged is not None
        staged = self._twin(one) or one.staged
        folder, name = self._parent(one.row.path)
        self._check(one.row.path, folder, name)
        try:
            if replaces:
                self._touch(one.row.path)
                os.rename(staged, name, src_dir_fd=self._staging.folder, dst_dir_fd=folder)
            else:
                self._put(staged, folder, name)
        except OSError as error:
            if not _is_elsewhere(error):
                raise
            raise Unavailable(
                f"{shown(one.row.path)} lies on another file system than its tree",
                hint="Restore that folder by itself, into a tree of its own.",
            ) from error

    def _put(self, staged: bytes, folder: int, name: bytes) -> None:
        """Where nothing is. A second name and then one less never takes the place of anything; a rename might."""
        try:
            os.link(staged, name, src_dir_fd=self._staging.folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError as error:
            if _is_elsewhere(error) or _exists(folder, name):
                raise
            os.rename(staged, name, src_dir_fd=self._staging.folder, dst_dir_fd=folder)  # it has no second names
        else:
            os.unlink(staged, dir_fd=self._staging.folder)

    def _twin(self, one: Ready) -> bytes | None:
        """Another name of the file that this was a name of, if that file is there and the same."""
        if one.row.same_as is None or one.staged is None:
            return None
        with suppress(OSError, Conflict):
            other, name = self._folders.parent(one.row.same_as)
            with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=other), "rb") as file:
                status = os.fstat(file.fileno())
                is_same = status.st_mode & 0o777 == one.row.mode and status.st_mtime_ns == one.row.mtime_ns
                if is_same and file.read() == self._staging.content(one.staged):
                    twin = self._staging.name()
                    os.link(name, twin, src_dir_fd=other, dst_dir_fd=self._staging.folder, follow_symlinks=False)
                    return twin
        return None

    def _settings(self, row: Row) -> None:
        """Mode and time of what stays where it is."""
        folder, name = self._folders.parent(row.path)
        kind = os.O_DIRECTORY if row.kind == FOLDER else 0
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | kind, dir_fd=folder)
        try:
            status = os.fstat(descriptor)
            if row.kind == FILE:
                self._check(row.path, folder, name)
                self._touch(row.path)
            if row.mode is not None:
                os.fchmod(descriptor, row.mode)
            if row.mtime_ns is not None:
                os.utime(descriptor, ns=(status.st_atime_ns, row.mtime_ns))
        finally:
            os.close(descriptor)

    def _sync(self, touched: set[bytes]) -> None:
        """Names are on the disk when this returns, as far as the file system cares."""
        self._folders.forget()
        for path in touched:
            with suppress(OSError, Conflict):
                os.fsync(self._folders.folder(parts_of(path) if path else []))


def _exists(folder: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _is_elsewhere(error: OSError) -> bool:
    return error.errno == errno.EXDEV


def _changed(path: bytes) -> Conflict:
    return Conflict(
        f"{shown(path)} was changed by somebody else while it was being restored",
        hint="Make a new plan with --dry-run.",
    )


@contextmanager
def _named(path: bytes) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"{shown(path)} cannot be looked at: {error.strerror}") from error


def _half_way(steps: list[_Step], at: int, error: Exception) -> Unavailable:
    why = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    done, left = steps[:at], steps[at:]
    told = f"could not {steps[at].doing} {shown(steps[at].path)}: {why}. {len(done)} of {len(steps)} steps were done"
    for words, some in (("done", done[-_SHOWN:]), ("not done", left[:_SHOWN])):
        if some:
            told += f"; {words}: " + ", ".join(f"{one.doing} {shown(one.path)}" for one in some)
            told += ", …" if len(done if words == "done" else left) > len(some) else ""
    return Unavailable(
        told,
        hint="What was done stays done, and the safety snapshot has the state before (`snap undo`). "
        "Mend the cause and run the same restore again: it does the rest.",
    )
