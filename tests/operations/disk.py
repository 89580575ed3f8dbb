"""A folder whose every change is noted, and what its disk may hold if the power fails after any of them.

    disk = Disk(folder)
    with disk.noted():
        take(Repository.open(DirectoryBackend(folder)), ...)
    for left in disk.after_each(Cut.NAMES, Random(0)):
        left.backend                                      # what a reader then finds

POSIX promises what fsync was asked for: the bytes of a file once it is synced, a name once its folder is. Of what was
not synced a disk may hold anything: no bytes, some, zeros in their place, and names in any choice of them, deletions
among them (Pillai and others, "All File Systems Are Not Created Equal", 2014). Reading is not noted, nor is anything
outside the folder. It does not know what is stored.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from random import Random
from typing import Any

import pytest

from snapstore.backends import check_name
from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Invalid

__all__ = ["Cut", "Disk", "Left"]


class Cut(Enum):
    """What is left of what was not synced."""

    KILLED = auto()
    """All of it: only the process died."""
    NOTHING = auto()
    NAMES = auto()
    """Every name, and no bytes: a rename was quicker than the data."""
    TORN = auto()
    """Every name, and the first half of the bytes."""
    CHANCE = auto()
    """Any choice of names, and of each file no bytes, some, zeros or all."""


@dataclass(frozen=True, slots=True)
class Left:
    """The store after so many changes, of which `what` was the last."""

    step: int
    what: str
    backend: MemoryBackend


@dataclass(eq=False, slots=True)
class _File:
    data: bytes = b""
    synced: bytes = b""

    def left(self, cut: Cut, random: Random) -> bytes:
        more = len(self.data) - len(self.synced)
        choices = {
            Cut.KILLED: self.data,
            Cut.NOTHING: self.synced,
            Cut.NAMES: self.synced,
            Cut.TORN: self.data[: len(self.synced) + more // 2],
        }
        if cut is not Cut.CHANCE:
            return choices[cut]
        some = self.data[: len(self.synced) + random.randint(0, more)]
        return random.choice([self.synced, self.data, some, some + bytes(len(self.data) - len(some))])


@dataclass(eq=False, slots=True)
class _Folder:
    """`held` is what a process sees, `synced` what the disk holds for sure, `waiting` the changes between the two."""

    held: dict[str, _File | _Folder] = field(default_factory=dict)
    synced: dict[str, _File | _Folder] = field(default_factory=dict)
    waiting: list[tuple[str, _File | _Folder | None]] = field(default_factory=list)

    def change(self, name: str, to: _File | _Folder | None) -> None:
        self.waiting.append((name, to))
        _put(self.held, name, to)

    def sync(self) -> None:
        self.synced, self.waiting = dict(self.held), []

    def left(self, cut: Cut, random: Random) -> dict[str, _File | _Folder]:
        if cut is Cut.NOTHING:
            return self.synced
        if cut is not Cut.CHANCE:
            return self.held
        names = dict(self.synced)
        for name, to in self.waiting:
            if random.random() < 0.5:
                _put(names, name, to)
        return names


def _put(names: dict[str, _File | _Folder], name: str, to: _File | _Folder | None) -> None:
    if to is None:
        names.pop(name, None)
    else:
        names[name] = to


class _World:
    """A folder as a disk and those who look at it have it, step by step. Open files are known by a number."""

    def __init__(self, start: dict[str, bytes | None]) -> None:
        self.root = _Folder()
        self._open: dict[int, _File] = {}
        for path in sorted(start):
            data = start[path]
            folder, name = self._place(path)
            folder.held[name] = _Folder() if data is None else _File(data, data)
            folder.sync()

    def do(self, verb: str, *words: Any) -> None:
        getattr(self, verb)(*words)

    def create(self, path: str, number: int) -> None:
        folder, name = self._place(path)
        self._open[number] = _File()
        folder.change(name, self._open[number])

    def write(self, number: int, data: bytes) -> None:
        self._open[number].data += data

    def sync(self, number: int) -> None:
        self._open[number].synced = self._open[number].data

    def sync_folder(self, path: str) -> None:
        folder = self._node(path)
        assert isinstance(folder, _Folder)
        folder.sync()

    def make_folder(self, path: str) -> None:
        folder, name = self._place(path)
        folder.change(name, _Folder())

    def link(self, source: str, target: str) -> None:
        folder, name = self._place(target)
        folder.change(name, self._node(source))

    def rename(self, source: str, target: str) -> None:
        self.link(source, target)
        self.unlink(source)

    def unlink(self, path: str) -> None:
        folder, name = self._place(path)
        folder.change(name, None)

    def objects(self, cut: Cut, random: Random) -> MemoryBackend:
        """What a store lists of it: no temporary files, no lock."""
        backend = MemoryBackend()
        for path, data in _files(self.root, "", cut, random):
            try:
                backend.put(check_name(path), [data])
            except Invalid:
                continue
        return backend

    def _node(self, path: str) -> _File | _Folder:
        if path == ".":
            return self.root
        folder, name = self._place(path)
        return folder.held[name]

    def _place(self, path: str) -> tuple[_Folder, str]:
        parent, name = os.path.split(path)
        folder = self._node(parent or ".")
        assert isinstance(folder, _Folder)
        return folder, name


def _files(folder: _Folder, path: str, cut: Cut, random: Random) -> Iterator[tuple[str, bytes]]:
    for name, node in folder.left(cut, random).items():
        if isinstance(node, _Folder):
            yield from _files(node, f"{path}{name}/", cut, random)
        else:
            yield f"{path}{name}", node.left(cut, random)


class Disk:
    """Notes what happens beneath `root`. What lies there when this is made is on the disk for sure."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._start = {
            str(path.relative_to(root)): None if path.is_dir() else path.read_bytes() for path in root.rglob("*")
        }
        self._steps: list[tuple[Any, ...]] = []
        self._numbers: dict[int, int] = {}  # of the files written through these descriptors
        self._folders: dict[int, str] = {}  # that these descriptors are open on
        self._lock = threading.RLock()

    @property
    def steps(self) -> list[str]:
        """What was done, in order: `link snapshots/0a…`."""
        return [_told(step) for step in self._steps]

    def after_each(self, cut: Cut, random: Random, *, every: int = 1, first: int = 0) -> Iterator[Left]:
        """What is left after each change or each so many of them, and at last after all."""
        world, count = _World(self._start), len(self._steps)
        for number in range(count + 1):
            if number % every == first % every or number == count:
                yield Left(number, _told(self._steps[number - 1]) if number else "", world.objects(cut, random))
            if number < count:
                world.do(*self._steps[number])

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Within this, whatever the process does beneath the root is noted and done."""
        with pytest.MonkeyPatch.context() as patched:
            for name in ("open", "close", "writev", "fsync", "link", "rename", "replace", "unlink", "mkdir"):
                patched.setattr(os, name, self._noting(name, getattr(os, name)))
            yield

    def _noting(self, name: str, call: Any) -> Any:
        def noting(*words: Any, **named: Any) -> Any:
            with self._lock:
                result = call(*words, **named)
                getattr(self, f"_{name}")(result, *words)
                return result

        return noting

    def _open(self, descriptor: int, path: Any, flags: int, *_: Any) -> None:
        self._close(None, descriptor)  # by others than os.close, and opened again
        own = self._own(path)
        if own is not None and flags & os.O_CREAT:
            self._numbers[descriptor] = len(self._steps)
            self._steps.append(("create", own, len(self._steps)))
        elif own is not None and flags & os.O_DIRECTORY:
            self._folders[descriptor] = own

    def _close(self, _: None, descriptor: int) -> None:
        self._numbers.pop(descriptor, None)
        self._folders.pop(descriptor, None)

    def _writev(self, done: int, descriptor: int, buffers: Any) -> None:
        if descriptor in self._numbers:
            self._steps.append(("write", self._numbers[descriptor], b"".join(buffers)[:done]))

    def _fsync(self, _: None, descriptor: int) -> None:
        if descriptor in self._numbers:
            self._steps.append(("sync", self._numbers[descriptor]))
        elif descriptor in self._folders:
            self._steps.append(("sync_folder", self._folders[descriptor]))

    def _link(self, _: None, source: Any, target: Any) -> None:
        self._two("link", source, target)

    def _rename(self, _: None, source: Any, target: Any) -> None:
        self._two("rename", source, target)

    def _replace(self, _: None, source: Any, target: Any) -> None:
        self._two("rename", source, target)

    def _unlink(self, _: None, path: Any) -> None:
        if (own := self._own(path)) is not None:
            self._steps.append(("unlink", own))

    def _mkdir(self, _: None, path: Any, *__: Any) -> None:
        if (own := self._own(path)) is not None:
            self._steps.append(("make_folder", own))

    def _two(self, verb: str, source: Any, target: Any) -> None:
        one, other = self._own(source), self._own(target)
        if one is not None and other is not None:
            self._steps.append((verb, one, other))

    def _own(self, path: Any) -> str | None:
        """The path beneath the root, `.` for itself; None for one outside."""
        path = Path(path)
        return str(path.relative_to(self._root)) if path.is_relative_to(self._root) else None


def _told(step: tuple[Any, ...]) -> str:
    return " ".join(str(word) if not isinstance(word, bytes) else f"{len(word)} bytes" for word in step)
