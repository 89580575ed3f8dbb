r"""Paths beneath a folder, and nothing outside it: every component is opened by itself, and no link is followed.

    parts = parts_of(b"notes/a.md")                # [b"notes", b"a.md"]; Corrupt for b"../x"
    with Folders(root) as folders:
        parent, name = folders.parent(b"notes/a.md")
        os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent)

A path comes from a snapshot, and whoever wrote that may mean harm. What a component is is asked of the kernel when it
is opened (`openat` with O_NOFOLLOW), never before, so a link that is put in its place meanwhile is not followed either.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from types import TracebackType

from snapstore.errors import Conflict, Corrupt

__all__ = ["DEEPEST", "Folders", "parts_of", "shown"]

DEEPEST = 255
"""How many names a path may have: the folders on the way are open at once."""

# On Windows nothing is ever opened here (see `snapstore.sources.opening`).
_FOLDER = 0 if sys.platform == "win32" else os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def shown(path: bytes) -> str:
    r"""A path for people: what is not UTF-8 as `\xff`, what is not printable escaped."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def parts_of(path: bytes) -> list[bytes]:
    """The names in a path. Raises `Corrupt` for one that is no path beneath a folder (format.md §8)."""
    parts = path.split(b"/")
    if b"\0" in path or len(parts) > DEEPEST or any(part in (b"", b".", b"..") for part in parts):
        raise Corrupt(
            f"the path {shown(path)!r} in the snapshot leads out of the folder, or nowhere",
            hint="No snapstore wrote this; nothing was changed. Where does the repository come from?",
        )
    return parts


class Folders:
    """Folders beneath a root, opened one below the other; the last one asked for stays open."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._open: list[tuple[bytes, int]] = []

    def __enter__(self) -> Folders:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open. The root is not ours."""
        self._keep(0)

    def parent(self, path: bytes) -> tuple[int, bytes]:
        """The folder that a path lies in, open until the next call, and the last name of the path.

        Raises `FileNotFoundError` where a folder is not there, `Conflict` where it is no folder (a link is none).
        """
        *above, name = parts_of(path)
        return self.folder(above), name

    def folder(self, parts: list[bytes]) -> int:
        """The folder of these names, open until the next call. Errors as `parent`."""
        same = 0
        while same < min(len(parts), len(self._open)) and self._open[same][0] == parts[same]:
            same += 1
        self._keep(same)
        for at in range(same, len(parts)):
            above = self._open[-1][1] if self._open else self._root
            try:
                found = os.open(parts[at], _FOLDER, dir_fd=above)
            except NotADirectoryError as error:  # a link that is opened as a folder says this too
                raise Conflict(
                    f"{shown(b'/'.join(parts[: at + 1]))} is no folder, and something is to be beneath it",
                    hint="A link is never followed. Move it away, or restore it with --exact.",
                ) from error
            self._open.append((parts[at], found))
        return self._open[-1][1] if self._open else self._root

    def forget(self) -> None:
        """Let go of folders that may have been replaced."""
        self._keep(0)

    def _keep(self, count: int) -> None:
        while len(self._open) > count:
            with suppress(OSError):
                os.close(self._open.pop()[1])
