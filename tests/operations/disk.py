"""A folder whose every change is noted, and what its disk may hold if the power fails after any of them.

    disk = Disk(folder)
    with disk.noted():
        take(Repository.open(DirectoryBackend(folder)), ...)
    for left in disk.after_each(Cut.NAMES, Random(0)):
        left.backend                                      # what a reader then finds, were the folder a store
        left.lay(another_folder)                          # all that is there

What may be lost is `cut`'s to say. What others than `os` write, Arrow or files of Python's own, is found in the folder
before the next call that changes a name or syncs. Reading is not noted, nor is anything outside the folder.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.operations.cut import Cut, Left, Sync, World

__all__ = ["Disk"]


class Disk:
    """Notes what happens beneath `root`. What lies there when this is made is on the disk for sure."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._start = {
            str(path.relative_to(root)): None if path.is_dir() else path.read_bytes() for path in root.rglob("*")
        }
        self._steps: list[tuple[Any, ...]] = []
        self._numbers: dict[int, int] = {}  # of the files made through these descriptors
        self._paths: dict[int, str] = {}  # of what was there when these descriptors were opened
        self._known = set(self._start)
        self._found: dict[str, tuple[int, bytes]] = {}  # by path, of files that others write: number and bytes
        self._lock = threading.RLock()

    @property
    def steps(self) -> list[str]:
        """What was done, in order: `link snapshots/0a…`."""
        return [_told(step) for step in self._steps]

    def after_each(
        self,
        cut: Cut,
        random: Random,
        *,
        every: int = 1,
        first: int = 0,
        without: Sync | None = None,
        beneath: str = "",
    ) -> Iterator[Left]:
        """What is left after each change or each so many of them, and at last after all; as if nobody had asked for
        syncs of the kind `without` of what is `beneath` this path.
        """
        world, count = World(self._start), len(self._steps)
        for number in range(count + 1):
            if number % every == first % every or number == count:
                yield Left(number, _told(self._steps[number - 1]) if number else "", world.left(cut, random))
            if number < count and not world.is_sync(without, beneath, *self._steps[number]):
                world.do(*self._steps[number])

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Within this, whatever the process does beneath the root is noted and done."""
        with pytest.MonkeyPatch.context() as patched:
            for name in ("open", "close", "writev", "pwrite", "ftruncate", *_LOOKED_BEFORE):
                patched.setattr(os, name, self._noting(name, getattr(os, name)))
            yield
            self._look()

    def _noting(self, name: str, call: Any) -> Any:
        def noting(*words: Any, **named: Any) -> Any:
            with self._lock:
                if name in _LOOKED_BEFORE:
                    self._look()
                result = call(*words, **named)
                getattr(self, f"_{name}")(result, *words)
                return result

        return noting

    def _open(self, descriptor: int, path: Any, flags: int, *_: Any) -> None:
        self._close(None, descriptor)  # by others than os.close, and opened again
        own = self._own(path)
        if own is not None and flags & os.O_CREAT and own not in self._known:
            self._numbers[descriptor] = self._create(own)
        elif own is not None:
            self._paths[descriptor] = own

    def _create(self, own: str) -> int:
        number = len(self._steps)
        self._steps.append(("create", own, number))
        self._known.add(own)
        self._found.pop(own, None)
        return number

    def _look(self) -> None:
        """Note what others wrote since the last look, in files that nobody here has open."""
        for path in sorted(self._root.rglob("*")):
            own = str(path.relative_to(self._root))
            if path.is_dir() or (own in self._known and own not in self._found):
                continue
            number, before = self._found[own] if own in self._found else (self._create(own), b"")
            data = path.read_bytes()
            same = len(before) if data.startswith(before) else 0  # written over
            if same < len(before):
                self._steps.append(("truncate", number, same))
            if same < len(data):
                self._steps.append(("write", number, data[same:]))
            self._found[own] = number, data

    def _close(self, _: None, descriptor: int) -> None:
        number = self._numbers.pop(descriptor, None)
        if number is not None and self._steps[-1][0] == "create" and self._steps[-1][2] == number:
            self._found[self._steps[-1][1]] = number, b""  # only made, for others to write
        self._paths.pop(descriptor, None)

    def _writev(self, done: int, descriptor: int, buffers: Any) -> None:
        if descriptor in self._numbers:
            self._steps.append(("write", self._numbers[descriptor], b"".join(buffers)[:done]))

    def _pwrite(self, done: int, descriptor: int, data: Any, at: int) -> None:
        if descriptor in self._numbers:
            self._steps.append(("write_at", self._numbers[descriptor], bytes(data[:done]), at))

    def _ftruncate(self, _: None, descriptor: int, size: int) -> None:
        if descriptor in self._numbers:
            self._steps.append(("truncate", self._numbers[descriptor], size))

    def _fsync(self, _: None, descriptor: int) -> None:
        if descriptor in self._numbers:
            self._steps.append(("sync", self._numbers[descriptor]))
        elif descriptor in self._paths:
            self._steps.append(("sync_path", self._paths[descriptor]))

    def _link(self, _: None, source: Any, target: Any) -> None:
        self._two("link", source, target)

    def _rename(self, _: None, source: Any, target: Any) -> None:
        self._two("rename", source, target)

    def _replace(self, _: None, source: Any, target: Any) -> None:
        self._two("rename", source, target)

    def _unlink(self, _: None, path: Any) -> None:
        if (own := self._own(path)) is not None:
            self._steps.append(("unlink", own))
            self._known.discard(own)
            self._found.pop(own, None)

    def _rmdir(self, _: None, path: Any) -> None:
        self._unlink(None, path)

    def _mkdir(self, _: None, path: Any, *__: Any) -> None:
        if (own := self._own(path)) is not None:
            self._steps.append(("make_folder", own))
            self._known.add(own)

    def _two(self, verb: str, source: Any, target: Any) -> None:
        one, other = self._own(source), self._own(target)
        if one is not None and other is not None:
            self._steps.append((verb, one, other))
            beneath = {own for own in self._known if own == one or own.startswith(one + "/")}
            self._known |= {other + own[len(one) :] for own in beneath}
            if verb == "rename":
                self._known -= beneath
                self._found = {own: found for own, found in self._found.items() if own not in beneath}

    def _own(self, path: Any) -> str | None:
        """The path beneath the root, `.` for itself; None for one outside."""
        path = Path(path)
        return str(path.relative_to(self._root)) if path.is_relative_to(self._root) else None


# Before these what others wrote is looked for.
_LOOKED_BEFORE = ("fsync", "link", "rename", "replace", "unlink", "mkdir", "rmdir")


def _told(step: tuple[Any, ...]) -> str:
    return " ".join(str(word) if not isinstance(word, bytes) else f"{len(word)} bytes" for word in step)
