"""Files made ready within the tree, where nobody looks for them, before any of the tree is touched.

    with Staging(root_fd) as staging:
        place = staging.file(b"content", mode=0o644, mtime_ns=…)
        staging.content(place)

They lie in one folder of their own beneath the root, so that putting them in their places is a rename. It goes away
with everything that is still in it; one that a crash left behind goes when the next one is made.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from snapstore.errors import Unavailable, Unsupported
from snapstore.sources.files.choosing import STAGING
from snapstore.sources.files.table import decode_attributes

__all__ = ["Staging"]

_MANY = 16


class Staging:
    """A folder of files by number. Raises `Unavailable` where it cannot be made, or a file cannot be written."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._name = STAGING + os.urandom(6).hex()
        self._folder = -1
        self._count = 0

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1
            with suppress(OSError):  # what stays is no row, and goes with the next restore
                shutil.rmtree(self._name, dir_fd=self._root)

    @property
    def folder(self) -> int:
        """The open folder; made when it is first asked for."""
        if self._folder < 0:
            try:
                self._clear()
                os.mkdir(self._name, 0o700, dir_fd=self._root)
                self._folder = os.open(self._name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self._root)
            except OSError as error:
                raise Unavailable(f"nothing can be written into the folder: {error.strerror}") from error
        return self._folder

    def file(self, content: bytes, *, mode: int, mtime_ns: int | None, attributes: bytes | None) -> bytes:
        """Make a file as it is to be, and say its name here."""
        name = self.name()
        try:
            descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=self.folder)
            with open(descriptor, "wb", buffering=0) as file:
                view = memoryview(content)
                while view:
                    view = view[file.write(view) :]
                for attribute, value in decode_attributes(attributes).items():
                    _set_attribute(descriptor, attribute, value)
                os.fchmod(descriptor, mode)
                if mtime_ns is not None:
                    os.utime(descriptor, ns=(mtime_ns, mtime_ns))
        except OSError as error:
            raise Unavailable(f"a file cannot be made ready: {error.strerror}") from error
        return name

    def name(self) -> bytes:
        """A name that nothing here has."""
        self._count += 1
        return b"%d" % self._count

    def content(self, name: bytes) -> bytes:
        """What a file that was made ready has in it, read back."""
        try:
            with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self.folder), "rb", buffering=0) as file:
                return file.read()
        except OSError as error:
            raise Unavailable(f"a file that was made ready cannot be read back: {error.strerror}") from error

    def sync(self, names: Sequence[bytes]) -> None:
        """These files are on the disk when this returns."""
        if len(names) > _MANY:
            os.sync()
            return
        for name in names:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self.folder)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def folds_case(self) -> bool:
        """Whether names that differ in capitals alone are one here."""
        name = b"case"
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=self.folder))
        try:
            os.stat(name.upper(), dir_fd=self.folder)
        except FileNotFoundError:
            return False
        finally:
            os.unlink(name, dir_fd=self.folder)
        return True

    def _clear(self) -> None:
        """Away with what a crash left behind: whoever is here holds the lock, so nobody works in it."""
        for name in os.listdir(self._root):
            if name.startswith(STAGING):
                shutil.rmtree(name, dir_fd=self._root)


def _set_attribute(descriptor: int, name: bytes, value: bytes) -> None:
    if not name.startswith(b"user.") or not hasattr(os, "setxattr"):
        raise Unsupported(
            f"an extended attribute {name.decode('utf-8', 'backslashreplace')!r} cannot be set here",
            hint="Leave attributes out: --exclude-column files.attributes.",
        )
    os.setxattr(descriptor, name, value)
